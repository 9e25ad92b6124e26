"""Steps, intervals and batches that fit the rows."""

from pathlib import Path
from typing import Any

import pytest

from tests.documents import demo_document
from tests.pipeline.checks.preflight import findings_for, on_rows, patched, write_rows

PROMPTS = [{"prompt": f"How much is {n} and 1?", "solution": str(n + 1)} for n in range(3)]
GRPO = {"kind": "grpo", "rewards": [{"kind": "length"}], "num_generations": 4}


def test_values_that_are_never_logged_are_told(tmp_path: Path) -> None:
    document = demo_document(logging_steps=100_000)
    finding = findings_for(document, tmp_path)["never_logged"]
    assert finding.severity == "warning"
    assert findings_for(patched(document, finding), tmp_path) == {}


@pytest.mark.parametrize("training", [{"per_device_batch_size": 16}, {"gradient_accumulation_steps": 16}])
def test_step_of_more_prompts_than_there_are_is_an_error(tmp_path: Path, training: dict[str, Any]) -> None:
    document = on_rows(write_rows(tmp_path / "prompts.jsonl", PROMPTS), method=GRPO, training=training)
    finding = findings_for(document, tmp_path)["too_few_prompts"]
    assert (finding.severity, "and there are 2 to train on" in finding.message) == ("error", True)
    found = findings_for(patched(document, finding), tmp_path)
    assert not {"too_few_prompts", "generations_do_not_divide"} & set(found)


def test_step_of_fewer_prompts_than_there_are_is_fine(tmp_path: Path) -> None:
    document = on_rows(write_rows(tmp_path / "prompts.jsonl", PROMPTS), method=GRPO)
    document["training"]["per_device_batch_size"] = 8
    assert "too_few_prompts" not in findings_for(document, tmp_path)


def test_fix_of_an_unfilled_step_leaves_kto_company(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "completion": f"A{n}", "label": n % 2 == 0} for n in range(4)]
    document = on_rows(write_rows(tmp_path / "labels.jsonl", rows), method={"kind": "kto"})
    finding = findings_for(document, tmp_path)["step_not_filled"]
    assert not {"step_not_filled", "batch_of_one_answer"} & set(findings_for(patched(document, finding), tmp_path))
