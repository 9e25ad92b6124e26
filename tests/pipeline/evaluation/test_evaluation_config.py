"""The names of scores in the job document."""

import pytest

from pipeline.errors import InvalidConfig
from pipeline.training_config import EvaluationConfig
from pipeline.validation import parse_job_config
from tests.documents import demo_document


def test_scores_are_named_once_each_in_their_order() -> None:
    assert EvaluationConfig(metrics="rouge, exact_match,rouge").metric_names == ("rouge", "exact_match")
    assert EvaluationConfig().metric_names == ()


@pytest.mark.parametrize("given", ["accuracy", "auto, f1", "f1, bleurt"])
def test_unknown_score_is_refused_with_those_there_are(given: str) -> None:
    with pytest.raises(InvalidConfig, match=r"evaluation.metrics: has no score called .* some of: exact_match, f1"):
        parse_job_config({**demo_document(), "evaluation": {"metrics": given}})
