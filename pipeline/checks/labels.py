"""Checks of answers that are marked good or bad."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.label_balance import HIGHEST_RATIO, LabelWeights, label_weights
from pipeline.method_config import KtoConfig

# Between 1:1 and 4:3 is best; as much the other way is within the chance of drawing held-out rows.
_LOWEST_RATIO = 1 / HIGHEST_RATIO


def check_labels(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """There are good and bad answers, and the rarer kind has the weight that makes up for it."""
    data, method = facts.data, config.method
    if not isinstance(method, KtoConfig) or not isinstance(data, Inspection) or data.format != "unpaired_preference":
        return []
    good, bad = data.labels["good"], data.labels["bad"]
    if not good or not bad:
        message = f"Every answer is {'good' if good else 'bad'}. KTO learns from good and bad answers; add the others."
        return [error("one_label", "dataset.path", message)]
    weights = LabelWeights(method.desirable_weight, method.undesirable_weight)
    if _LOWEST_RATIO <= good * weights.desirable / (bad * weights.undesirable) <= HIGHEST_RATIO:
        return []
    better = label_weights(good, bad)
    message = (
        f"{good:,} answers are good and {bad:,} are bad, with the weights {weights.desirable:g} and "
        f"{weights.undesirable:g}. KTO learns best where both kinds count about the same: use {better.desirable:g} and "
        f"{better.undesirable:g}."
    )
    patch = {"method.desirable_weight": better.desirable, "method.undesirable_weight": better.undesirable}
    field = "method.desirable_weight" if better.desirable > better.undesirable else "method.undesirable_weight"
    return [warning("labels_unbalanced", field, message, Fix(label="Balance the weights", patch=patch))]
