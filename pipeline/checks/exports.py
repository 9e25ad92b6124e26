"""Checks of the exports that a run is told to make when it ends: whether they can be made, and sent."""

from collections.abc import Callable
from importlib.util import find_spec

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
from pipeline.config import FineTuneJobConfig
from pipeline.errors import UserError
from pipeline.exporters.destinations.address import parse_destination
from pipeline.exporters.gguf.tools import require_gguf
from pipeline.exporters.onnx.convert import require_onnx

_NEEDS: dict[str, Callable[[], None]] = {"gguf": require_gguf, "gguf_adapter": require_gguf, "onnx": require_onnx}
_LIBRARIES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}


def check_export_formats(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """What makes the chosen files is installed, and can make them of this result. The run itself is not harmed."""
    findings = []
    for name in config.export.formats:
        needed = _NEEDS.get(name)
        try:
            if needed is not None:
                needed()
        except UserError as missing:
            message = f"{missing} Otherwise the run ends well, and its export fails."
            findings.append(warning("export_not_installed", "export.formats", message, _without(config, name)))
    tuning = config.tuning
    whole = "is DoRA" if tuning.kind == "lora" and tuning.variant == "dora" else ""
    whole = "trains embeddings" if tuning.kind == "lora" and tuning.train_embeddings else whole
    if whole and "gguf_adapter" in config.export.formats:
        message = (
            f"The adapter {whole}, which a GGUF adapter has no place for. Choose gguf, which has it in its weights."
        )
        findings.append(error("export_adapter_not_plain", "export.formats", message, _without(config, "gguf_adapter")))
    return findings


def check_export_of_scorer(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """A reward model gives no text, by which exports are compared."""
    if config.method.kind != "reward" or not config.export.formats:
        return []
    message = (
        "A reward model gives scores and no text, by which exported files are proven. Take export.formats out; the run "
        "saves its adapter, and with export.merged the merged model."
    )
    fix = Fix(label="Export nothing", patch={"export.formats": [], "export.destinations": []})
    return [error("export_of_scorer", "export.formats", message, fix)]


def check_export_destinations(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The libraries and the key that the destinations need are there."""
    findings = []
    schemes = {parse_destination(place).scheme for place in config.export.destinations}
    for scheme, (library, extra) in _LIBRARIES.items():
        if scheme in schemes and find_spec(library) is None:
            message = f'Files cannot be sent to {scheme}:// yet. Run pip install "lapidary[{extra}]".'
            findings.append(warning("destination_not_installed", "export.destinations", message))
    if "hf" in schemes and facts.keys is not None and "HF_TOKEN" not in facts.keys:
        message = (
            "Files are to be sent to the Hugging Face Hub, and there is no HF_TOKEN. Save a token that may write on "
            "the Settings page."
        )
        findings.append(warning("destination_without_key", "export.destinations", message))
    return findings


def _without(config: FineTuneJobConfig, name: str) -> Fix:
    kept = [other for other in config.export.formats if other != name]
    patch = {"export.formats": kept} if kept else {"export.formats": [], "export.destinations": []}
    return Fix(label=f"Without {name}", patch=patch)
