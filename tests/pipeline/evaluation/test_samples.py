"""Sample answers: the same prompts each time, the model's own greedy answers, and no trace in the training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.config import FineTuneJobConfig
from pipeline.events import EvaluationFinished, Event, JobCompleted, SamplesAnswered, StepLogged, WarningRaised
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.evaluation.method_rows import METHODS, PAIRS
from tests.tiny_gemma import chat_rows, write_jsonl

EVERY_TWO = {"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "per_device_batch_size": 4}


def run(config: FineTuneJobConfig, folder: Path) -> list[Event]:
    run_dir = RunDir(folder)
    run_dir.path.mkdir(exist_ok=True)
    FineTuneJob(config, run_dir, JobTracker(run_dir)).run()
    return run_dir.read_events()[0]


def samples_of(events: list[Event]) -> list[SamplesAnswered]:
    return [event for event in events if isinstance(event, SamplesAnswered)]


def values_of(events: list[Event]) -> list[tuple[int, dict[str, float]]]:
    """What the training and the evaluations logged, apart from times and memory."""
    left_out = ("tokens_per_second", "peak_memory_bytes", "runtime", "per_second")
    logged = [event for event in events if isinstance(event, (StepLogged, EvaluationFinished))]
    return [
        (event.step, {name: value for name, value in event.metrics.items() if not name.endswith(left_out)})
        for event in logged
    ]


@pytest.mark.parametrize(
    "sections",
    [
        {"tuning": {"dropout": 0.3}, "training": {"batching": "random"}},
        {"tuning": {"kind": "full"}, "training": {"gradient_checkpointing": True}},
        {"tuning": {"dropout": 0.3}, "model": {"precision": "bf16"}, "training": {"gradient_checkpointing": True}},
        {"tuning": {"rank": 4}, "model": {"quantization": "4bit", "precision": "bf16"}, "training": {}},
    ],
    ids=["dropout", "full with checkpointing", "bf16 with dropout and checkpointing", "4 bit"],
)
def test_samples_change_nothing_of_the_training(
    make_config: MakeConfig, tmp_path: Path, sections: dict[str, Any]
) -> None:
    training = {**EVERY_TWO, **sections["training"]}
    without, with_samples = (
        run(
            make_config(**{**sections, "training": training, "evaluation": {"samples": samples, "sample_tokens": 8}}),
            tmp_path / str(samples),
        )
        for samples in (0, 3)
    )
    assert samples_of(without) == []
    assert len(samples_of(with_samples)) == 3
    assert values_of(without) == values_of(with_samples)
    folder, name = ("model", "model") if sections["tuning"].get("kind") == "full" else ("adapter", "adapter_model")
    one, other = (load_file(tmp_path / samples / folder / f"{name}.safetensors") for samples in ("0", "3"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_same_prompts_are_answered_before_training_and_at_each_evaluation(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    events = run(make_config(training=EVERY_TWO, evaluation={"samples": 2, "sample_tokens": 6}), tmp_path / "run")
    samples = samples_of(events)
    assert [event.step for event in samples] == [0, 2, 4]
    asked = [[(sample.row, sample.prompt, sample.reference) for sample in event.samples] for event in samples]
    assert asked[0] == asked[1] == asked[2]
    rows = chat_rows(40)
    for number, prompt, reference in asked[0]:
        assert [turn["content"] for turn in rows[number - 1]["messages"][-2:]] == [prompt, reference]
    kinds = [event.type for event in events if event.type in ("step_logged", "samples_answered", "evaluation_finished")]
    assert kinds[0] == "samples_answered"
    assert kinds[3:5] == ["evaluation_finished", "samples_answered"]


def test_answers_are_those_of_the_saved_model(make_config: MakeConfig, tmp_path: Path, tiny_gemma: Path) -> None:
    """Batched with prompts of other lengths or alone, before and after training: the same greedy answers."""
    config = make_config(
        training={**EVERY_TWO, "max_steps": 2, "learning_rate": 0.1}, evaluation={"samples": 2, "sample_tokens": 12}
    )
    first, last = samples_of(run(config, tmp_path / "run"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    for event in (first, last):
        if event is last:
            model = PeftModel.from_pretrained(model, tmp_path / "run" / "adapter")
        for sample in event.samples:
            turns = chat_rows(40)[sample.row - 1]["messages"][:-1]
            ids = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=False
            )
            output = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
            assert sample.answer == tokenizer.decode(output, skip_special_tokens=True).strip()
    assert [sample.answer for sample in first.samples] != [sample.answer for sample in last.samples]


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_that_writes_has_samples(make_config: MakeConfig, tmp_path: Path, kind: str) -> None:
    method, rows = METHODS[kind]
    config = make_config(
        method=method,
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0.2},
        training={**EVERY_TWO, "max_steps": 2},
        evaluation={"samples": 4, "sample_tokens": 5},
    )
    events = run(config, tmp_path / "run")
    assert [event.step for event in samples_of(events)] == [0, 2]
    assert [event for event in events if isinstance(event, WarningRaised)] == []
    for sample in samples_of(events)[0].samples:
        row = rows[sample.row - 1]
        if kind == "cpt":
            assert sample.prompt + sample.reference == row["text"]
        else:
            assert sample.prompt == row["prompt"]
            right = {"kto": row.get("completion") if row.get("label") else None}.get(kind, row.get("chosen"))
            assert sample.reference == right


@pytest.mark.parametrize(
    "sections",
    [
        {"evaluation": {"samples": 0}},
        {"dataset": {"eval_share": 0}},
        {"training": {**EVERY_TWO, "eval_strategy": "no"}},
    ],
    ids=["none wanted", "nothing held out", "no evaluations"],
)
def test_there_are_no_samples_where_there_is_nothing_to_answer(
    make_config: MakeConfig, tmp_path: Path, sections: dict[str, Any]
) -> None:
    assert samples_of(run(make_config(**{"training": EVERY_TWO, **sections}), tmp_path / "run")) == []


def test_reward_model_has_no_samples(make_config: MakeConfig, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", PAIRS)
    config = make_config(method={"kind": "reward"}, dataset={"path": str(path)}, training=EVERY_TWO)
    events = run(config, tmp_path / "run")
    assert samples_of(events) == []
    assert isinstance(events[-1], JobCompleted)


def test_prompts_that_fill_the_context_are_passed_over(make_config: MakeConfig, tmp_path: Path) -> None:
    rows = chat_rows(4)
    rows[0]["messages"][0]["content"] += " exactly" * 300
    config = make_config(
        dataset={"eval_path": str(write_jsonl(tmp_path / "rows.jsonl", rows))},
        training=EVERY_TWO,
        evaluation={"sample_tokens": 4000},
    )
    samples = samples_of(run(config, tmp_path / "run"))
    assert [sample.row for sample in samples[0].samples] == [2, 3, 4]


def test_failing_samples_do_not_fail_the_run(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.GenerationMixin.generate", out_of_memory)
    events = run(make_config(training=EVERY_TWO), tmp_path / "run")
    (warning,) = [event for event in events if isinstance(event, WarningRaised)]
    assert warning.code == "samples_failed"
    assert "CUDA out of memory" in warning.message
    assert isinstance(events[-1], JobCompleted)


def test_resumed_run_does_not_answer_as_if_untrained(make_config: MakeConfig, tmp_path: Path) -> None:
    training = {**EVERY_TWO, "max_steps": 2, "save_strategy": "steps", "save_steps": 2}
    run(make_config(training=training, evaluation={"sample_tokens": 4}), tmp_path / "run")
    (tmp_path / "run" / "events.jsonl").unlink()
    events = run(make_config(training={**training, "max_steps": 4}, evaluation={"sample_tokens": 4}), tmp_path / "run")
    assert [event.step for event in samples_of(events)] == [4]
