"""Weights of good and bad answers keep within the bounds that the paper on KTO gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_balance import LabelWeights, is_balanced, label_weights
from pipeline.method_config import KtoConfig

COUNTS = st.integers(1, 1_000_000)


@pytest.mark.parametrize(
    ("good", "bad", "weights"),
    [
        (500, 500, (1.0, 1.0)),
        (400, 300, (1.0, 1.0)),
        (100, 1000, (11.7, 1.0)),
        (1000, 100, (1.0, 8.57)),
        (1, 1_000_000, (100.0, 0.0000857)),
    ],
)
def test_rarer_kind_weighs_more(good: int, bad: int, weights: tuple[float, float]) -> None:
    assert label_weights(good, bad) == pytest.approx(weights)


def test_example_of_the_paper_is_balanced() -> None:
    """One good answer to ten bad ones: a weight of good ones between 10 and 13.33 (arXiv:2402.01306, section 4.2)."""
    assert [is_balanced(1, 10, LabelWeights(weight, 1.0)) for weight in (9.9, 10.0, 13.3, 13.4)] == [
        False,
        True,
        True,
        False,
    ]


@given(COUNTS, COUNTS)
def test_weights_always_balance_and_fit_the_configuration(good: int, bad: int) -> None:
    weights = label_weights(good, bad)
    assert is_balanced(good, bad, weights)
    KtoConfig(desirable_weight=weights.desirable, undesirable_weight=weights.undesirable)


@pytest.mark.parametrize(("good", "bad"), [(0, 5), (5, 0)])
def test_one_kind_cannot_be_balanced(good: int, bad: int) -> None:
    with pytest.raises(ValueError, match="nothing to be balanced with"):
        label_weights(good, bad)
