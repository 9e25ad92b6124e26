"""Rewards compare with columns that the data set has."""

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.checks.preflight import findings_for, on_rows, write_rows


def rewarded(tmp_path: Path, rows: list[dict[str, Any]], **reward: Any) -> dict[str, Any]:
    file = write_rows(tmp_path / "prompts.jsonl", rows)
    return on_rows(file, method={"kind": "grpo", "rewards": [reward]})


def test_reward_of_a_missing_column_is_an_error(tmp_path: Path) -> None:
    rows = [{"prompt": f"How much is {n} and 1?", "solution": str(n + 1)} for n in range(60)]
    document = rewarded(tmp_path, rows, kind="numeric", column="result")
    finding = findings_for(document, tmp_path)["reward_column_missing"]
    assert (finding.severity, finding.field) == ("error", "method.rewards")
    assert "The reward numeric cannot be computed: the data set has no column 'result'" in finding.message
    assert "prompt, solution" in finding.message


@pytest.mark.parametrize(
    ("row", "reward"),
    [
        ({"prompt": "How much?", "solution": "1"}, {"kind": "exact_match", "column": "solution"}),
        ({"prompt": "How much?", "completion": "1"}, {"kind": "exact_match", "column": "answer"}),
        ({"prompt": "How much?", "solution": "1"}, {"kind": "length"}),
    ],
)
def test_reward_of_a_column_that_is_there_is_fine(tmp_path: Path, row: dict[str, Any], reward: dict[str, Any]) -> None:
    assert "reward_column_missing" not in findings_for(rewarded(tmp_path, [row] * 60, **reward), tmp_path)
