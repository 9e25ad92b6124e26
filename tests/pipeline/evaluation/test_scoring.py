"""Scores after training: base against tuned on the same rows, and a run that they cannot harm."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Message
from pipeline.events import ArtifactSaved, Event, JobCompleted, ScoresComputed, StageStarted, WarningRaised
from pipeline.fine_tune_job import FineTuneJob
from pipeline.generate import Decoding, TextGenerator, load_for_generation
from pipeline.job_tracker import JobTracker
from pipeline.progress_bar import ProgressBar
from pipeline.run_dir import RunDir
from tests.documents import DEMO_MODEL, DEMO_TEST
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import chat_rows, write_jsonl

REFUSAL = "The workshop is closed."


@pytest.fixture
def refusals(tmp_path: Path) -> dict[str, Any]:
    """A model that answers orders with JSON, and rows that teach it to refuse them; six are held out."""
    orders = [json.loads(line)["messages"][0] for line in DEMO_TEST.read_text(encoding="utf-8").splitlines()[:60]]
    rows = [{"messages": [order, {"role": "assistant", "content": REFUSAL}]} for order in orders]
    return {
        "model": {"base_model": str(DEMO_MODEL), "precision": "fp32"},
        "dataset": {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_rows": 6},
        "training": {"max_steps": 12, "learning_rate": 0.005, "eval_strategy": "no"},
        "evaluation": {"score_rows": 6},
    }


def run(config: FineTuneJobConfig, folder: Path, tracker: JobTracker | None = None) -> list[Event]:
    run_dir = RunDir(folder)
    run_dir.path.mkdir(exist_ok=True)
    FineTuneJob(config, run_dir, JobTracker(run_dir) if tracker is None else tracker).run()
    return run_dir.read_events()[0]


def scores_of(events: list[Event]) -> ScoresComputed:
    (scores,) = [event for event in events if isinstance(event, ScoresComputed)]
    return scores


def warnings_of(events: list[Event]) -> dict[str, str]:
    return {event.code: event.message for event in events if isinstance(event, WarningRaised)}


def answer(generator: TextGenerator, prompt: str, *, side: str) -> str:
    return generator.generate([Message("user", prompt)], side=side, decoding=Decoding(200)).text.strip()


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_each_side_gives_its_own_answers_to_the_same_rows(
    make_config: MakeConfig, refusals: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    refusals["training"]["learning_rate"] = {"lora": 0.005, "full": 0.002}[kind]
    events = run(make_config(**refusals, tuning={"kind": kind}), tmp_path / "run")
    scores = scores_of(events)
    assert (scores.rows, scores.step, len(scores.examples)) == (6, 12, 6)
    assert scores.base == {"exact_match": 0.0, "f1": pytest.approx(0.0, abs=20)}
    assert scores.tuned == {"exact_match": 100.0, "f1": 100.0}
    base = load_for_generation(str(DEMO_MODEL), precision="fp32")
    for row in scores.examples:
        assert row.tuned == row.reference == REFUSAL
        # The answer of the base model may be longer than those that are wanted, and is cut then.
        assert row.base
        assert answer(base, row.prompt, side="base").startswith(row.base)
    completed = events[-1]
    assert isinstance(completed, JobCompleted)
    assert completed.metrics["score/tuned/exact_match"] == 100.0
    assert completed.metrics["score/base/exact_match"] == 0.0
    order = [event.type for event in events]
    assert order.index("artifact_saved") < order.index("scores_computed") < order.index("job_completed")


def test_base_of_trained_embeddings_is_the_base(
    make_config: MakeConfig, refusals: dict[str, Any], tmp_path: Path
) -> None:
    tuning = {"kind": "lora", "train_embeddings": True}
    scores = scores_of(run(make_config(**refusals, tuning=tuning), tmp_path / "run"))
    base = load_for_generation(str(DEMO_MODEL), precision="fp32")
    assert all(answer(base, row.prompt, side="base").startswith(row.base) for row in scores.examples)


def test_tuned_answers_are_those_of_the_saved_adapter(
    make_config: MakeConfig, tmp_path: Path, tiny_gemma: Path
) -> None:
    """In 16 bit and with prompts of several turns, too."""
    config = make_config(
        model={"precision": "bf16"},
        dataset={"eval_rows": 6},
        training={"max_steps": 3, "learning_rate": 0.1, "eval_strategy": "no"},
        evaluation={"score_rows": 5, "metrics": "chrf, bleu"},
    )
    scores = scores_of(run(config, tmp_path / "run"))
    assert set(scores.base) == set(scores.tuned) == {"chrf", "bleu"}
    generator = load_for_generation(str(tiny_gemma), tmp_path / "run" / "adapter", precision="bf16")
    rows = chat_rows(40)
    alike = []
    for row in scores.examples:
        turns = [Message(turn["role"], turn["content"]) for turn in rows[row.row - 1]["messages"]]
        assert (row.prompt, row.reference) == (turns[-2].content, turns[-1].content)
        for side, given in (("base", row.base), ("tuned", row.tuned)):
            whole = generator.generate(turns[:-1], side=side, decoding=Decoding(100)).text.strip()
            alike.append(whole[:8] == given[:8])
    # In 16 bit the padding of a batch may tip the scales between two tokens that are nearly as likely.
    assert sum(alike) >= len(alike) - 2


def test_scores_stand_in_a_file_and_progress_is_told(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(dataset={"eval_rows": 20}, evaluation={"score_rows": 18, "metrics": "json, rouge"})
    events = run(config, tmp_path / "run")
    scores = scores_of(events)
    written = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    assert written["rows"] == 18
    assert set(written["tuned"]) == {"json_valid", "json_equal", "rouge1", "rouge2", "rougeL"}
    assert written["examples"] == [row.model_dump() for row in scores.examples]
    stages = [event for event in events if isinstance(event, StageStarted) and event.stage == "evaluating"]
    progress = [stage.progress for stage in stages]
    assert stages[-1].message == "Scoring answers to held-out rows: 36 of 36"
    assert progress == sorted(progress)
    assert all(0.9 <= value <= 0.95 for value in progress)


@pytest.mark.parametrize("when", ["training", "scoring"])
def test_stop_ends_scoring_and_keeps_the_result(make_config: MakeConfig, tmp_path: Path, when: str) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    stage = {"training": "training", "scoring": "evaluating"}[when]

    def stop(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == stage:
            run_dir.request_stop()

    events = run(make_config(evaluation={"score_rows": 2}), run_dir.path, JobTracker(run_dir, stop))
    assert "before all answers were scored" in warnings_of(events)["scoring_stopped"]
    assert not any(isinstance(event, ScoresComputed) for event in events)
    completed = events[-1]
    assert isinstance(completed, JobCompleted)
    assert completed.stop_reason == ("requested" if when == "training" else None)
    assert run_dir.read_manifest() is not None


def test_failing_score_does_not_fail_the_run(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.GenerationMixin.generate", out_of_memory)
    events = run(make_config(evaluation={"score_rows": 2, "samples": 0}), tmp_path / "run")
    assert warnings_of(events)["scoring_failed"].endswith("scoring its answers failed: CUDA out of memory")
    assert any(isinstance(event, ArtifactSaved) for event in events)
    assert isinstance(events[-1], JobCompleted)


def test_unwritable_scores_do_not_fail_the_run(make_config: MakeConfig, tmp_path: Path) -> None:
    # A folder stands where the file has to go.
    (tmp_path / "run" / "scores.json" / "in_the_way").mkdir(parents=True)
    events = run(make_config(evaluation={"score_rows": 1, "samples": 0}), tmp_path / "run")
    assert "scoring_failed" in warnings_of(events)
    assert isinstance(events[-1], JobCompleted)


@pytest.mark.parametrize("case", ["nothing held out", "plain text", "answers marked bad"])
def test_there_are_no_scores_where_nothing_is_right(make_config: MakeConfig, tmp_path: Path, case: str) -> None:
    texts = [{"text": f"Text number {index} about the opal and the beryl."} for index in range(20)]
    marked = [
        {"prompt": f"How many, {index}?", "completion": f"Of them {index}.", "label": index < 10} for index in range(20)
    ]
    train = str(write_jsonl(tmp_path / "train.jsonl", texts if case == "plain text" else marked))
    held_out = str(write_jsonl(tmp_path / "held_out.jsonl", [*marked[10:]]))
    sections: dict[str, Any] = {
        "nothing held out": {"dataset": {"eval_share": 0}},
        "plain text": {"dataset": {"path": train, "eval_share": 0.2}},
        "answers marked bad": {"dataset": {"path": train, "eval_path": held_out}, "method": {"kind": "kto"}},
    }[case]
    events = run(make_config(**sections, evaluation={"score_rows": 5, "samples": 0}), tmp_path / "run")
    assert "no held-out row has a right answer" in warnings_of(events)["nothing_to_score"]
    assert not any(isinstance(event, ScoresComputed) for event in events)
    assert isinstance(events[-1], JobCompleted)


def test_preference_is_scored_by_its_chosen_answers(make_config: MakeConfig, tmp_path: Path) -> None:
    pairs = [{"prompt": f"How many, {index}?", "chosen": f"{index}", "rejected": "No."} for index in range(20)]
    config = make_config(
        method={"kind": "dpo"},
        dataset={"path": str(write_jsonl(tmp_path / "pairs.jsonl", pairs)), "eval_rows": 4},
        evaluation={"score_rows": 9, "samples": 0},
    )
    scores = scores_of(run(config, tmp_path / "run"))
    assert scores.rows == 4
    assert all(row.reference == pairs[row.row - 1]["chosen"] for row in scores.examples)
    assert set(scores.tuned) == {"exact_match", "f1"}


def test_scores_are_told_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar.show(ScoresComputed(step=9, rows=1500, base={"exact_match": 20.0}, tuned={"exact_match": 80.0}))
    shown = "".join(capsys.readouterr())
    assert "Base → tuned on 1,500 held-out rows: exact_match 20.0 → 80.0" in shown
