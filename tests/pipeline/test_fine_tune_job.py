"""FineTuneJob: a whole run in one process, and what stands in the run folder afterwards."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.config import FineTuneJobConfig
from pipeline.errors import TrainingDiverged
from pipeline.events import (
    CheckpointSaved,
    EvaluationFinished,
    Event,
    JobCompleted,
    JobFailed,
    StageStarted,
    StepLogged,
    WarningRaised,
)
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import build_tiny_multimodal, chat_rows, write_jsonl


def run(config: FineTuneJobConfig, tracker: JobTracker) -> list[Event]:
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    return tracker.run_dir.read_events()[0]


def of_type(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def test_run_leaves_an_adapter_that_answers_differently(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path
) -> None:
    run(make_config(training={"max_steps": 5}), tracker)
    folder = tracker.run_dir.artifact("adapter")
    names = {path.name for path in folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert json.loads((folder / "training_config.json").read_text())["training"]["max_steps"] == 5
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    ids = AutoTokenizer.from_pretrained(folder)("How many carats?", return_tensors="pt").input_ids
    before = base(ids).logits
    assert not torch.allclose(PeftModel.from_pretrained(base, folder)(ids).logits, before)


def test_events_tell_the_run_from_begin_to_end(make_config: MakeConfig, tracker: JobTracker) -> None:
    events = run(make_config(training={"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2}), tracker)
    stages = [event.progress for event in events if isinstance(event, StageStarted)]
    assert stages == [0.0, 0.1, 0.2, 0.3, 0.4, 0.9]
    steps = of_type(events, StepLogged)
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert steps[-1].progress == pytest.approx(0.9)
    names = "loss learning_rate grad_norm tokens_per_second mean_token_accuracy num_tokens peak_memory_bytes"
    assert set(steps[0].metrics) == set(names.split())
    assert steps[0].metrics["tokens_per_second"] > 0
    assert 1e8 < steps[0].metrics["peak_memory_bytes"] < 1e11
    assert [event.step for event in of_type(events, EvaluationFinished)] == [2, 4]
    (checkpoint,) = of_type(events, CheckpointSaved)
    assert (tracker.run_dir.path / checkpoint.path / "trainer_state.json").is_file()
    assert isinstance(events[-1], JobCompleted)


def test_manifest_lists_what_was_made_and_with_what(make_config: MakeConfig, tracker: JobTracker) -> None:
    run(make_config(export={"merged": True}), tracker)
    manifest = tracker.run_dir.read_manifest()
    assert manifest is not None
    assert [artifact.kind for artifact in manifest.artifacts] == ["adapter", "merged"]
    assert manifest.versions["torch"].startswith("2.")
    assert {"train_loss", "eval_loss", "eval_perplexity", "eval_mean_token_accuracy", "steps"} <= set(manifest.metrics)
    assert not manifest.stopped_early


def test_merged_model_is_base_plus_adapter(make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    run(make_config(export={"merged": True}, training={"max_steps": 5}), tracker)
    run_dir = tracker.run_dir
    merged = AutoModelForCausalLM.from_pretrained(run_dir.artifact("merged"))
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    assert merged.generation_config.eos_token_id == base.generation_config.eos_token_id
    adapted = PeftModel.from_pretrained(base, run_dir.artifact("adapter"))
    ids = torch.tensor([[2, 60, 70, 80]])
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, atol=1e-4, rtol=1e-4)


def test_multimodal_model_learns_from_text(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    model = build_tiny_multimodal(tmp_path / "model")
    events = run(make_config(model={"base_model": str(model)}, export={"merged": True}), tracker)
    assert isinstance(events[-1], JobCompleted)
    merged = json.loads((tracker.run_dir.artifact("merged") / "config.json").read_text())
    assert merged["architectures"] == ["Gemma3ForConditionalGeneration"]


def test_failed_merge_does_not_fail_the_run(make_config: MakeConfig, tracker: JobTracker) -> None:
    # A file stands where the folder of the merged model has to go.
    tracker.run_dir.artifact("merged").write_text("in the way")
    events = run(make_config(export={"merged": True}), tracker)
    (warning,) = [event for event in of_type(events, WarningRaised) if event.code == "merge_failed"]
    assert "The adapter is saved" in warning.message
    assert isinstance(events[-1], JobCompleted)
    manifest = tracker.run_dir.read_manifest()
    assert manifest is not None
    assert [artifact.kind for artifact in manifest.artifacts] == ["adapter"]


def test_full_fine_tune_leaves_a_whole_model(make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    run(make_config(tuning={"kind": "full"}, model={"precision": "bf16"}), tracker)
    folder = tracker.run_dir.artifact("model")
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert config["eos_token_id"] == json.loads((tiny_gemma / "config.json").read_text())["eos_token_id"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.isfinite(model(torch.tensor([[2, 60]])).logits).all()
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_stop_keeps_what_was_learned(make_config: MakeConfig, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()

    def stop_at_third_step(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == 3:
            run_dir.request_stop()

    tracker = JobTracker(run_dir, stop_at_third_step)
    events = run(make_config(training={"max_steps": 50}), tracker)
    assert [event.step for event in of_type(events, StepLogged)][-1] == 4
    assert isinstance(events[-1], JobCompleted)
    assert events[-1].stopped_early
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert manifest.stopped_early
    assert manifest.artifacts[0].kind == "adapter"


def poisoned_model(folder: Path, tiny_gemma: Path) -> Path:
    """A model that turns every row with a tilde in it into nan."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer("~", add_special_tokens=False).input_ids] = float("nan")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_divergence_is_an_event_and_keeps_the_last_checkpoint(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    rows = chat_rows(40)
    rows[7]["messages"][1]["content"] += " ~"
    config = make_config(
        model={"base_model": str(poisoned_model(tmp_path / "poisoned", tiny_gemma))},
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0},
        training={"max_steps": 20, "save_strategy": "steps", "save_steps": 1},
    )
    with pytest.raises(TrainingDiverged):
        run(config, tracker)
    events = tracker.run_dir.read_events()[0]
    assert isinstance(events[-1], JobFailed)
    assert events[-1].code == "training_diverged"
    last = of_type(events, CheckpointSaved)[-1]
    weights = load_file(tracker.run_dir.path / last.path / "adapter_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    assert tracker.run_dir.read_manifest() is None
