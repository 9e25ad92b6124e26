"""GRPO learns what it is for: answers to notes it never saw earn nearly all that can be earned."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from pipeline.events import EvaluationFinished, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.documents import DEMO_TEST, DEMO_TRAIN, demo_document
from tests.tiny_gemma import write_jsonl

ENOUGH = 0.8
HELD_OUT = 32


def notes(path: Path, source: Path, *, most: int | None = None) -> str:
    """Customers' notes without answers; the fields of each order as columns."""
    rows = [json.loads(line)["messages"] for line in source.read_text(encoding="utf-8").splitlines()[:most]]
    return str(write_jsonl(path, [{"prompt": note["content"], **json.loads(card["content"])} for note, card in rows]))


@pytest.mark.slow
def test_answers_come_to_say_where_and_how_an_order_is_sent(tmp_path: Path) -> None:
    """The clerk of the demo answers in one of six ways, of which two say both."""
    document = demo_document(
        learning_rate=0.001, per_device_batch_size=64, max_steps=25, eval_strategy="steps", eval_steps=25
    )
    document["dataset"] = {
        "path": notes(tmp_path / "train.jsonl", DEMO_TRAIN),
        "eval_path": notes(tmp_path / "test.jsonl", DEMO_TEST, most=HELD_OUT),
    }
    rewards = [{"kind": "contains", "column": column, "name": column, "weight": 0.5} for column in ("city", "by")]
    document["method"] = {"kind": "grpo", "rewards": rewards, "num_generations": 8, "max_completion_length": 40}
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    FineTuneJob(parse_job_config(document), run_dir, JobTracker(run_dir)).run()
    events, _ = run_dir.read_events()
    learned = [event.metrics["reward"] for event in events if isinstance(event, StepLogged)]
    (evaluation,) = [event for event in events if isinstance(event, EvaluationFinished)]
    assert fmean(learned[:3]) < 0.65
    assert fmean(learned[-5:]) >= ENOUGH
    assert evaluation.metrics["eval_reward"] >= ENOUGH
    assert min(evaluation.metrics["eval_rewards/city"], evaluation.metrics["eval_rewards/by"]) >= ENOUGH
