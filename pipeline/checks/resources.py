"""Checks of the machine: room on its disks, memory for merging, and whether it stays awake until the end."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
from pipeline.checks.sizes import adapter_bytes, adapter_checkpoint_bytes, download_bytes, model_bytes
from pipeline.config import FineTuneJobConfig

# Events, log and manifest of a long run.
_BOOKKEEPING_BYTES = 64 << 20
# Weights that are trained are fp32, and AdamW keeps two fp32 moments of each: 12 bytes where the base model has 2.
_FULL_CHECKPOINT_FACTOR = 6
# What is held beside the weights while they are read and written.
_MERGE_FACTOR = 1.25


def check_disk_space(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The volume of the run folder holds the checkpoints that are kept and the exports, and that of the downloads the
    base model."""
    download = download_bytes(facts)
    beside = download if facts.download_shares_disk else 0
    kept = config.training.save_total_limit
    needed = beside + _run_bytes(config, facts, kept=kept)
    findings = []
    if facts.download_dir is not None and not facts.download_shares_disk and facts.free_download_bytes < download:
        free = facts.free_download_bytes / 1e9
        message = (
            f"The base model is a download of about {download / 1e9:.1f} GB, and {free:.1f} GB are free at "
            f"{facts.download_dir}. Free some space, or choose a smaller model."
        )
        findings.append(error("download_disk_full", "model.base_model", message))
    if facts.free_disk_bytes < needed:
        message = (
            f"The run needs about {needed / 1e9:.1f} GB on disk and {facts.free_disk_bytes / 1e9:.1f} GB are free. "
            "Free some space, or keep fewer checkpoints."
        )
        fewer = Fix(label="Keep one checkpoint", patch={"training.save_total_limit": 1})
        mends = kept > 1 and beside + _run_bytes(config, facts, kept=1) <= facts.free_disk_bytes
        fixes = (fewer,) if mends else ()
        findings.append(error("disk_full", "training.save_total_limit", message, *fixes))
    return findings


def check_merge_memory(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The computer's memory holds the whole model that a quantized scorer is merged into, beside the run.

    All other models are merged file by file.
    """
    is_scorer = config.method.kind == "reward"
    reads_again = config.export.merged and config.model.quantization != "none" and is_scorer
    needed = int(_MERGE_FACTOR * model_bytes(facts))
    if facts.on_cpu and _computes_in_fp32(config, facts):
        needed *= 2
    if not reads_again or facts.free_memory_bytes is None or needed <= facts.free_memory_bytes:
        return []
    message = (
        f"Merging a reward model reads the whole model into the computer's memory, about {needed / 1e9:.1f} GB, and "
        f"{facts.free_memory_bytes / 1e9:.1f} GB are free. The adapter alone needs none of it: switch merging off."
    )
    fix = Fix(label="Do not merge", patch={"export.merged": False})
    return [warning("merge_memory", "export.merged", message, fix)]


def check_sleep_time(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """A machine that is stopped because nobody visits it has finished the run before."""
    hours = facts.sleeps_after_hours
    if hours is None or facts.run_seconds is None or facts.run_seconds <= hours * 3600:
        return []
    message = (
        f"The run takes about {facts.run_seconds / 3600:,.0f} hours, and this Space is put to sleep {hours} hours "
        "after the last visit, which interrupts the run. Open the studio more often than that, or choose paid hardware."
    )
    return [warning("sleeps_before_end", "training.epochs", message)]


def _run_bytes(config: FineTuneJobConfig, facts: Facts, *, kept: int) -> int:
    weights = model_bytes(facts)
    saves = config.training.save_strategy != "no" or config.evaluation.keep_best
    # The trainer writes the new checkpoint before it deletes the oldest.
    checkpoints = kept + 1 if saves else 0
    if config.tuning.kind == "full":
        results, checkpoint = weights, _FULL_CHECKPOINT_FACTOR * weights
    else:
        results, checkpoint = adapter_bytes(config, facts), adapter_checkpoint_bytes(config, facts)
    return _BOOKKEEPING_BYTES + results + checkpoints * checkpoint + (weights if config.export.merged else 0)


def _computes_in_fp32(config: FineTuneJobConfig, facts: Facts) -> bool:
    precision = config.model.precision
    return precision == "fp32" or (precision == "auto" and facts.cpu_has_bf16 is False)
