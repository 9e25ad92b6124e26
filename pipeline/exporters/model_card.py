"""Writes the model card of an export, README.md with the picture of the loss, from what is known and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.exporters.base_facts import BaseFacts, base_facts
from pipeline.exporters.card_files import CardFile, file_table, version_table
from pipeline.exporters.card_tables import (
    data_table,
    result_table,
    score_table,
    settings_table,
)
from pipeline.exporters.hub_visibility import is_public_dataset
from pipeline.exporters.loss_picture import draw_curve
from pipeline.exporters.markdown_text import Markdown, escaped, fenced, table
from pipeline.exporters.run_facts import RunFacts, run_facts
from pipeline.exporters.source import ExportSource
from pipeline.exporters.usage import serve_commands
from pipeline.exporters.usage_models import AdapterFacts, read_adapter_facts
from pipeline.method_config import METHOD_NAMES

CARD_FILE = "README.md"
TEMPLATE = "model_card.md.jinja"
_LIBRARIES = {"merged": "transformers", "adapter": "peft", "gguf": "gguf", "gguf_adapter": "gguf"}
_VARIANTS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
_BITS = {"none": "", "4bit": " on the base in 4 bits (QLoRA)", "8bit": " on the base in 8 bits"}


def write_model_card(
    folder: Path,
    *,
    name: str,
    source: ExportSource,
    base_folder: Path,
    bundle: Sequence[CardFile],
    repo: str | None = None,
    is_public: Callable[[str], bool] = is_public_dataset,
) -> list[Path]:
    """Write `README.md`, and `loss.png` or `reward.png` where the run has such values, to `folder`.

    Args:
        name: what the model is called
        base_folder: where the base model lies on this machine; only its licence and kind are read
        bundle: what the export delivers, with the report of each compared file
        repo: `owner/name` on the Hugging Face Hub, where the files go there
        is_public: whether a data set of the Hub may be named in the card's header, where search finds it

    Returns:
        The files that were written.
    """
    base = base_facts(source.base, base_folder)
    weights = source.adapter if source.whole is None else source.whole
    facts = run_facts(source.run, weights) if source.run is not None and weights is not None else None
    adapter = None if source.adapter is None else read_adapter_facts(source.adapter)
    if adapter is not None and (base_folder / "tokenizer_config.json").is_file():
        # An adapter without a tokenizer is delivered with the base's.
        adapter = replace(adapter, has_tokenizer=True)
    picture = _draw(facts, folder)
    commands = serve_commands(
        bundle,
        name=name,
        repo=repo,
        base_model=base.hub_id,
        base_folder=f"path/to/{base.name}",
        adapter=adapter,
        talks=_talks(base, weights),
    )
    text = _template().render(
        header=Markdown(_header(base, facts, bundle, is_public=is_public)),
        name=name,
        base=base,
        facts=facts,
        tuning=_tuning(facts, adapter),
        method=None if facts is None else METHOD_NAMES[facts.config.method.kind],
        is_adapter=all(file.format in ("adapter", "gguf_adapter") for file in bundle),
        has_gguf=any(file.format == "gguf" for file in bundle),
        is_experimental=any(file.format == "onnx" for file in bundle),
        files=file_table(bundle),
        commands=commands,
        is_on_hub=repo is not None,
        data=[] if facts is None else data_table(facts),
        settings=[] if facts is None else settings_table(facts),
        results=[] if facts is None else result_table(facts),
        scores=[] if facts is None else score_table(facts),
        picture=None if picture is None else picture.name,
        versions=version_table({} if facts is None else facts.versions, bundle),
    )
    card = folder / CARD_FILE
    card.write_text(text, encoding="utf-8")
    return [card] if picture is None else [card, picture]


def _draw(facts: RunFacts | None, folder: Path) -> Path | None:
    if facts is None or not facts.curve.has_points:
        return None
    kept = facts.step if facts.step != facts.steps else None
    picture = folder / f"{facts.curve.name}.png"
    picture.write_bytes(draw_curve(facts.curve, kept_step=kept))
    return picture


def _talks(base: BaseFacts, weights: Path | None) -> bool:
    return base.has_chat_template or (weights is not None and (weights / "chat_template.jinja").is_file())


def _tuning(facts: RunFacts | None, adapter: AdapterFacts | None) -> str:
    """What was trained, in words."""
    if facts is None:
        return "an adapter" if adapter is None or adapter.rank == 0 else f"an adapter of rank {adapter.rank}"
    tuning = facts.config.tuning
    if tuning.kind == "full":
        return "all weights of the language model"
    return f"{_VARIANTS[tuning.variant]} of rank {tuning.rank}{_BITS[facts.config.model.quantization]}"


def _header(
    base: BaseFacts, facts: RunFacts | None, bundle: Sequence[CardFile], *, is_public: Callable[[str], bool]
) -> str:
    """The card's YAML for the Hub: https://huggingface.co/docs/hub/model-cards."""
    formats = list(dict.fromkeys(file.format for file in bundle))
    header: dict[str, Any] = {}
    if base.licence is not None:
        header["license"] = base.licence.id
        if base.licence.id == "other":
            header |= {"license_name": base.licence.name, "license_link": base.licence.link}
    if base.hub_id is not None:
        # Its weights are not the base's in fewer bits, so a GGUF file of it is a fine-tune too.
        is_adapter = all(kind in ("adapter", "gguf_adapter") for kind in formats)
        header |= {"base_model": base.hub_id, "base_model_relation": "adapter" if is_adapter else "finetune"}
    header["library_name"] = next((library for kind, library in _LIBRARIES.items() if kind in formats), None)
    header["pipeline_tag"] = "image-text-to-text" if base.sees_images else "text-generation"
    data = None if facts is None else facts.data
    if data is not None and data.hub_id is not None and is_public(data.hub_id):
        header["datasets"] = [data.hub_id]
    header["language"] = None if data is None else data.language
    header["tags"] = ["lapidary", *_tags(facts, formats)]
    known = {key: value for key, value in header.items() if value is not None}
    return yaml.safe_dump(known, sort_keys=False, allow_unicode=True).strip()


def _tags(facts: RunFacts | None, formats: Sequence[str]) -> list[str]:
    tags = [kind for kind in ("gguf", "onnx") if any(found.startswith(kind) for found in formats)]
    if facts is not None:
        tags.append(facts.config.method.kind)
        tags += [facts.config.tuning.variant] if facts.config.tuning.kind == "lora" else []
    return tags


def _address(text: str) -> Markdown:
    """What is checked to be a part of an address; nothing in it ends a link."""
    return Markdown(quote(text, safe="/:%?=&#~"))


def _template() -> Any:
    folder = Path(__file__).parents[2] / "assets"
    environment = Environment(  # noqa: S701 - what it writes is Markdown; `finalize` makes every value harmless
        loader=FileSystemLoader(folder),
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"address": _address, "fenced": fenced, "table": table}
    return environment.get_template(TEMPLATE)
