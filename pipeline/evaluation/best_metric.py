"""Which value of an evaluation tells whether it is better than another, by method."""

from typing import NamedTuple

from pipeline.method_config import MethodKind


class BestMetric(NamedTuple):
    """Name of a value that every evaluation has, and which way it gets better."""

    name: str
    higher_is_better: bool = False


# GRPO's loss is about zero by construction: advantages sum to zero within a group. Its reward is what it learns.
_BY_METHOD: dict[MethodKind, BestMetric] = {"grpo": BestMetric("eval_reward", higher_is_better=True)}


def best_metric(method: MethodKind) -> BestMetric:
    """The value by which evaluations of this method are compared: the loss of the held-out rows, or the reward."""
    return _BY_METHOD.get(method, BestMetric("eval_loss"))
