"""Evaluation rows that tell something, and rows that nobody has checked."""

from pathlib import Path
from typing import Any

import pytest

from tests.documents import DEMO_TRAIN, demo_document
from tests.pipeline.checks.preflight import findings_for, on_rows, patched, write_rows

ROWS = [{"prompt": f"What is stone {n}?", "completion": f"Stone {n} is a gem."} for n in range(60)]


def test_fewer_held_out_rows_than_a_batch_are_told_and_mended(tmp_path: Path) -> None:
    document = on_rows(write_rows(tmp_path / "rows.jsonl", ROWS), training={"eval_strategy": "epoch"})
    finding = findings_for(document, tmp_path)["evaluation_smaller_than_batch"]
    assert (finding.severity, finding.message.startswith("3 rows are held out")) == ("warning", True)
    assert "evaluation_smaller_than_batch" not in findings_for(patched(document, finding), tmp_path)


def test_few_rows_are_not_all_to_be_held_out(tmp_path: Path) -> None:
    document = on_rows(write_rows(tmp_path / "rows.jsonl", ROWS[:20]), training={"eval_strategy": "epoch"})
    finding = findings_for(document, tmp_path)["evaluation_smaller_than_batch"]
    assert (finding.message.startswith("1 row is held out"), finding.fixes) == (True, ())


@pytest.mark.parametrize("training", [{"eval_strategy": "no"}, {"eval_strategy": "epoch", "per_device_batch_size": 3}])
def test_enough_held_out_rows_or_no_evaluation_are_fine(tmp_path: Path, training: dict[str, Any]) -> None:
    document = on_rows(write_rows(tmp_path / "rows.jsonl", ROWS), training=training)
    assert "evaluation_smaller_than_batch" not in findings_for(document, tmp_path)


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [({"keep_best": True}, "The best weights are to be kept"), ({"early_stopping": 2}, "to stop by its evaluations")],
)
def test_nothing_to_judge_by_is_an_error_and_mended(tmp_path: Path, evaluation: dict[str, Any], words: str) -> None:
    document = demo_document(eval_strategy="epoch", save_strategy="epoch")
    document |= {"dataset": {"path": str(DEMO_TRAIN), "eval_share": 0}, "evaluation": evaluation}
    finding = findings_for(document, tmp_path)["nothing_to_judge_by"]
    assert (finding.severity, words in finding.message) == ("error", True)
    assert findings_for(patched(document, finding), tmp_path) == {}


def test_rows_that_nobody_has_checked_are_told(tmp_path: Path) -> None:
    finding = findings_for(on_rows(write_rows(tmp_path / "rows.jsonl", ROWS)), tmp_path)["rows_not_checked"]
    assert (finding.severity, "Import the data set" in finding.message) == ("info", True)
    assert findings_for(demo_document(), tmp_path) == {}
