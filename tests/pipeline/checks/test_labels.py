"""KTO's good and bad answers: both there, and weighed against each other."""

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.checks.preflight import findings_for, on_rows, patched, write_rows


def labelled(tmp_path: Path, *, good: int, bad: int, **method: Any) -> dict[str, Any]:
    rows = [
        {"prompt": f"What is stone {n}?", "completion": f"Stone {n} is a gem.", "label": n < good}
        for n in range(good + bad)
    ]
    file = write_rows(tmp_path / f"labels-{good}-{bad}.jsonl", rows)
    return on_rows(file, method={"kind": "kto", **method}, training={"learning_rate": 1e-5})


@pytest.mark.parametrize(
    ("good", "bad", "field"), [(90, 10, "method.undesirable_weight"), (10, 90, "method.desirable_weight")]
)
def test_rare_label_without_weight_is_told_and_mended(tmp_path: Path, good: int, bad: int, field: str) -> None:
    document = labelled(tmp_path, good=good, bad=bad)
    finding = findings_for(document, tmp_path)["labels_unbalanced"]
    assert (finding.severity, finding.field) == ("warning", field)
    assert f"{good} answers are good and {bad} are bad" in finding.message
    assert "labels_unbalanced" not in findings_for(patched(document, finding), tmp_path)


def test_weights_that_overshoot_are_told(tmp_path: Path) -> None:
    document = labelled(tmp_path, good=50, bad=50, undesirable_weight=5.0)
    finding = findings_for(document, tmp_path)["labels_unbalanced"]
    assert "labels_unbalanced" not in findings_for(patched(document, finding), tmp_path)


@pytest.mark.parametrize("good", [45, 50, 55])
def test_labels_about_as_often_are_fine(tmp_path: Path, good: int) -> None:
    assert "labels_unbalanced" not in findings_for(labelled(tmp_path, good=good, bad=100 - good), tmp_path)


@pytest.mark.parametrize(("good", "word"), [(40, "good"), (0, "bad")])
def test_one_label_alone_is_an_error(tmp_path: Path, good: int, word: str) -> None:
    finding = findings_for(labelled(tmp_path, good=good, bad=40 - good), tmp_path)["one_label"]
    assert finding.message.startswith(f"Every answer is {word}.")


def test_pairs_hold_as_many_good_answers_as_bad_ones(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(60)]
    found = findings_for(on_rows(write_rows(tmp_path / "pairs.jsonl", rows), method={"kind": "kto"}), tmp_path)
    assert not {"labels_unbalanced", "one_label"} & set(found)
