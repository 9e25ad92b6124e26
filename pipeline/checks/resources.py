"""Checks of the machine."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding
from pipeline.config import FineTuneJobConfig

# Events, log and manifest of a long run.
_BOOKKEEPING_BYTES = 64 << 20
# AdamW keeps two fp32 moments a weight; a checkpoint of a bf16 model holds 2 + 8 bytes a weight.
_FULL_CHECKPOINT_FACTOR = 5


def check_disk_space(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The volume of the run folder holds the checkpoints that are kept and the exports."""
    weights = 0 if facts.model is None else facts.model.weights_bytes
    needed = _BOOKKEEPING_BYTES + (weights if config.export.merged else 0)
    if config.tuning.kind == "full":
        # The trainer writes the new checkpoint before it deletes the oldest.
        saves = config.training.save_strategy != "no" or config.evaluation.keep_best
        kept = config.training.save_total_limit + 1 if saves else 0
        needed += weights * (1 + _FULL_CHECKPOINT_FACTOR * kept)
    if facts.free_disk_bytes >= needed:
        return []
    message = (
        f"The run needs about {needed / 1e9:.1f} GB on disk and {facts.free_disk_bytes / 1e9:.1f} GB are free. "
        "Free some space, or keep fewer checkpoints."
    )
    return [Finding(code="disk_full", severity="error", field="training.save_total_limit", message=message)]
