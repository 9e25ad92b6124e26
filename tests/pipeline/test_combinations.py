"""Settings that contradict each other are refused with a sentence, before a model or a row is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.checks.combinations import combination_findings, refuse_contradictions
from pipeline.errors import InvalidConfig
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config

GRPO = {"kind": "grpo", "rewards": [{"kind": "exact_match", "column": "answer"}]}
BASE: dict[str, Any] = {"model": {"base_model": "/nowhere/model"}, "dataset": {"path": "/nowhere/rows.jsonl"}}
NEVER = {"eval_strategy": "no"}

CONTRADICTIONS = [
    ("packing_other_method", {"method": {"kind": "dpo"}, "training": {"batching": "packed"}}, "DPO compares whole"),
    ("packing_other_method", {"method": GRPO, "training": {"batching": "packed"}}, "GRPO compares whole answers"),
    ("generations_do_not_divide", {"method": GRPO, "training": {"per_device_batch_size": 6}}, "Add up 4 batches"),
    ("batch_of_one_answer", {"method": {"kind": "kto"}, "training": {"per_device_batch_size": 1}}, "has one row"),
    ("smoothing_without_effect", {"method": {"kind": "dpo", "loss_type": "ipo", "label_smoothing": 0.1}}, "type ipo"),
    ("smoothing_without_effect", {"method": {"kind": "dpo", "label_smoothing": 0.1}}, "or use robust"),
    ("robust_without_smoothing", {"method": {"kind": "dpo", "loss_type": "robust"}}, "that share is 0"),
    ("no_best_evaluation", {"training": NEVER, "evaluation": {"keep_best": True}}, "best evaluation are to be kept"),
    ("no_evaluation_to_stop_by", {"training": NEVER, "evaluation": {"early_stopping": 2}}, "Evaluate each epoch"),
    ("reward_model_answers", {"method": {"kind": "reward"}, "evaluation": {"score_rows": 9}}, "writes no answers"),
]
DOUBTS = [
    ("packing_slow", {"model": {"attention": "sdpa"}, "training": {"batching": "packed"}}),
    ("batching_without_effect", {"method": GRPO, "training": {"batching": "grouped"}}),
    ("dropout_slow", {"model": {"provider": "unsloth"}, "tuning": {"dropout": 0.1}}),
]
SOUND = [
    {},
    {"method": {"kind": "kto"}, "training": {"per_device_batch_size": 2}},
    {"training": {"batching": "packed"}},
    {"method": GRPO},
    {"method": {"kind": "dpo", "loss_type": "robust", "label_smoothing": 0.1}},
    {"tuning": {"dropout": 0.1}},
    {"evaluation": {"keep_best": True, "early_stopping": 3, "score_rows": 50}},
]


def document(sections: dict[str, Any]) -> dict[str, Any]:
    whole = json.loads(json.dumps(BASE))
    for name, values in sections.items():
        whole.setdefault(name, {}).update(values)
    return whole


def codes(data: dict[str, Any]) -> list[str]:
    return [finding.code for finding in combination_findings(parse_job_config(data))]


@pytest.mark.parametrize(("code", "sections", "words"), CONTRADICTIONS)
def test_contradiction_is_refused_before_anything_is_loaded(
    code: str, sections: dict[str, Any], words: str, tmp_path: Path
) -> None:
    config = parse_job_config(document(sections))
    run_dir = RunDir(tmp_path)
    with pytest.raises(InvalidConfig, match=words), JobTracker(run_dir) as tracker:
        FineTuneJob(config, run_dir, tracker).run()
    events, _ = run_dir.read_events()
    assert [event.type for event in events] == ["job_failed"]


@pytest.mark.parametrize(("code", "sections"), [(code, sections) for code, sections, _ in CONTRADICTIONS] + DOUBTS)
def test_fix_of_a_combination_mends_it(code: str, sections: dict[str, Any]) -> None:
    data = document(sections)
    (finding,) = combination_findings(parse_job_config(data))
    assert finding.code == code
    for path, value in finding.fixes[0].patch.items():
        section, name = path.split(".")
        data.setdefault(section, {})[name] = value
    assert codes(data) == []


@pytest.mark.parametrize(("code", "sections"), DOUBTS)
def test_doubtful_combination_may_run(code: str, sections: dict[str, Any]) -> None:
    refuse_contradictions(parse_job_config(document(sections)))


@pytest.mark.parametrize("sections", SOUND)
def test_sound_combination_has_no_finding(sections: dict[str, Any]) -> None:
    assert codes(document(sections)) == []
