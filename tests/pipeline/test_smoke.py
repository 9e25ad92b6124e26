"""The trial of a run: what it tells of a run that works, and of runs that fail in each of the ways."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from pipeline.config import FineTuneJobConfig
from pipeline.events import StageStarted, StepLogged
from pipeline.fine_tune_job import FineTuneJob, load_all
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.smoke import findings_of, try_longest_batch
from pipeline.smoke_report import SmokeReport
from pipeline.smoke_rows import longest_rows
from pipeline.smoke_step import differing_adapter
from pipeline.trainer import ModelTrainer
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, build_tiny_gemma, build_tiny_multimodal, write_jsonl

SAME_REWARD = {"kind": "length", "maximum": 999}


def codes(report: SmokeReport) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.fixture
def prompts(tmp_path: Path) -> dict[str, Any]:
    rows = [{"prompt": f"How many carats has the {stone}?"} for stone in STONES]
    return {"path": str(write_jsonl(tmp_path / "prompts.jsonl", rows))}


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Any]:
    rows = [
        {"prompt": f"Is {number} odd?", "chosen": "Yes, " * (number % 5 + 1), "rejected": "No, " * (number % 7 + 1)}
        for number in range(20)
    ]
    return {"path": str(write_jsonl(tmp_path / "pairs.jsonl", rows))}


def test_run_that_works_is_measured_and_leaves_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    stages: list[str] = []
    report = try_longest_batch(
        make_config(),
        tmp_path / "trial",
        listener=lambda event: stages.append(event.stage) if isinstance(event, StageStarted) else None,
    )
    assert report.findings == [] and report.passed
    assert list(dict.fromkeys(stages)) == ["preparing", "loading_model", "loading_data", "training", "saving"]
    assert report.rows == 8 and report.longest_tokens is not None and report.longest_tokens > 60
    assert report.loss is not None and 5 < report.loss < 8
    assert report.step_seconds is not None and 0 < report.step_seconds < report.seconds
    assert report.peak_memory is not None and report.peak_memory > 1e8
    assert not (tmp_path / "trial").exists()


def test_loss_is_that_of_the_first_step_of_the_run(make_config: MakeConfig, tracker: JobTracker, chats: Path) -> None:
    lines = chats.read_text(encoding="utf-8").splitlines()[:8]
    chats = tracker.run_dir.path / "eight.jsonl"
    chats.write_text("\n".join(lines), encoding="utf-8")
    config = make_config(dataset={"path": str(chats), "eval_share": 0}, training={"max_steps": 1})
    report = try_longest_batch(config, tracker.run_dir.path / "trial")
    FineTuneJob(config, tracker.run_dir, tracker).run()
    (step,) = [event for event in tracker.run_dir.read_events()[0] if isinstance(event, StepLogged)]
    assert report.loss == pytest.approx(step.metrics["loss"], rel=1e-5)


@pytest.mark.parametrize("method", ["dpo", "orpo", "kto", "reward"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_every_preference_method_passes(
    make_config: MakeConfig, pairs: dict[str, Any], tmp_path: Path, method: str, tuning: str
) -> None:
    config = make_config(dataset=pairs, method={"kind": method}, tuning={"kind": tuning})
    report = try_longest_batch(config, tmp_path / "trial")
    assert report.findings == [] and report.rows == 8


@pytest.mark.parametrize(
    "sections",
    [
        {"tuning": {"kind": "full"}},
        {"tuning": {"kind": "full", "train_embeddings": True}, "model": {"precision": "bf16"}},
        {"tuning": {"train_embeddings": True}},
        {"tuning": {"variant": "dora"}, "model": {"quantization": "4bit"}},
        {"training": {"optimizer": "adafactor", "gradient_checkpointing": True}},
    ],
    ids=["full", "full with embeddings in bf16", "lora with embeddings", "quantized dora", "adafactor"],
)
def test_every_way_of_tuning_passes(make_config: MakeConfig, tmp_path: Path, sections: dict[str, Any]) -> None:
    assert try_longest_batch(make_config(**sections), tmp_path / "trial").findings == []


def test_two_batches_are_tried_where_gradients_add_up(make_config: MakeConfig, tmp_path: Path) -> None:
    training = {"gradient_accumulation_steps": 16, "per_device_batch_size": 3}
    report = try_longest_batch(make_config(training=training), tmp_path / "trial")
    assert (report.rows, report.findings) == (6, [])


def test_rows_with_images_pass(make_config: MakeConfig, tmp_path: Path) -> None:
    model = build_tiny_multimodal(tmp_path / "model")
    assert try_longest_batch(make_config(model={"base_model": str(model)}), tmp_path / "trial").findings == []


def test_answers_of_grpo_are_sampled_for_all_batches_of_a_step(
    make_config: MakeConfig, prompts: dict[str, Any], tmp_path: Path
) -> None:
    method = {"kind": "grpo", "rewards": [SAME_REWARD], "num_generations": 4, "max_completion_length": 8}
    training = {"per_device_batch_size": 2, "gradient_accumulation_steps": 4}
    report = try_longest_batch(make_config(dataset=prompts, method=method, training=training), tmp_path / "trial")
    assert codes(report) == ["smoke_nothing_learned"]
    assert report.passed and report.rows == 2
    assert "the same reward" in report.findings[0].message


def test_longest_rows_come_first(make_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_config(training={"per_device_batch_size": 2, "gradient_accumulation_steps": 2})
    _, data = load_all(config, tracker)
    chosen = longest_rows(config, data.train, packed_length=None)
    rest = [row for row in data.train if row not in chosen]
    assert len(chosen) == 4
    assert min(row.length for row in chosen) >= max(row.length for row in rest)
    packed = longest_rows(config, data.train, packed_length=100)
    assert sum(row.tokens for row in packed[:-1]) < 400 <= sum(row.tokens for row in packed)


def test_longest_answers_have_both_labels(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    rows = [{"prompt": f"{number}?", "completion": "Yes " * 9, "label": True} for number in range(9)]
    rows += [{"prompt": f"{number}?", "completion": "No", "label": False} for number in range(9)]
    dataset = {"path": str(write_jsonl(tmp_path / "labels.jsonl", rows)), "eval_share": 0}
    config = make_config(dataset=dataset, method={"kind": "kto"}, training={"per_device_batch_size": 4})
    _, data = load_all(config, tracker)
    chosen = longest_rows(config, data.train, packed_length=None)
    assert [row.good for row in chosen] == [True, True, True, False]


def test_packed_rows_pass(make_config: MakeConfig, tmp_path: Path) -> None:
    report = try_longest_batch(make_config(training={"batching": "packed"}), tmp_path / "trial")
    assert report.findings == [] and report.rows is not None and report.rows > 8


def broken_model(folder: Path, *, norm: float) -> Path:
    """A model whose last norm has a weight that spoils everything after it."""
    build_tiny_gemma(folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], norm)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_loss_that_is_no_number_is_found(make_config: MakeConfig, tmp_path: Path) -> None:
    model = {"base_model": str(broken_model(tmp_path / "model", norm=float("nan"))), "precision": "bf16"}
    report = try_longest_batch(make_config(model=model), tmp_path / "trial")
    assert codes(report) == ["smoke_not_finite"] and not report.passed
    assert report.findings[0].fixes[0].patch == {"model.precision": "fp32"}


def test_weights_that_do_not_change_are_found(make_config: MakeConfig, tmp_path: Path) -> None:
    # Gemma's norm multiplies by one more than its weight.
    model = {"base_model": str(broken_model(tmp_path / "model", norm=-1.0))}
    report = try_longest_batch(make_config(model=model), tmp_path / "trial")
    assert codes(report) == ["smoke_nothing_learned"] and not report.passed
    assert report.loss is not None


def test_problems_of_loading_keep_their_fields(make_config: MakeConfig, tmp_path: Path) -> None:
    report = try_longest_batch(make_config(tuning={"target_modules": "nowhere"}), tmp_path / "trial")
    assert [(finding.code, finding.field) for finding in report.findings] == [
        ("invalid_config", "tuning.target_modules")
    ]
    assert report.loss is None and not report.passed
    missing = try_longest_batch(make_config(dataset={"path": str(tmp_path / "none.csv")}), tmp_path / "trial")
    assert [(finding.code, finding.field) for finding in missing.findings] == [("data_problem", "dataset.path")]


def test_reward_that_fails_on_the_longest_prompt_is_found(
    make_config: MakeConfig, tmp_path: Path, prompts: dict[str, Any]
) -> None:
    rows = [*({"prompt": f"{number}?"} for number in range(12)), {"prompt": "Why?" * 20}]
    code = "def score(prompts, completions, **_):\n    return [1 / (len(prompt) < 60) for prompt in prompts]\n"
    (tmp_path / "reward.py").write_text(code, encoding="utf-8")
    method = {
        "kind": "grpo",
        "rewards": [{"kind": "python", "path": str(tmp_path / "reward.py"), "function": "score"}],
        "num_generations": 4,
        "max_completion_length": 8,
    }
    dataset = {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0}
    report = try_longest_batch(make_config(dataset=dataset, method=method), tmp_path / "trial")
    assert [(finding.code, finding.field) for finding in report.findings] == [("reward_failed", "method.rewards")]


def test_folder_that_cannot_be_written_is_found(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    report = try_longest_batch(make_config(), tmp_path / "file" / "trial")
    assert codes(report) == ["smoke_failed"]
    assert "NotADirectoryError" in report.findings[0].message


def test_adapter_that_was_altered_on_disk_differs(make_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_config()
    loaded, data = load_all(config, tracker)
    ModelTrainer(config, tracker, loaded=loaded, data=data).save()
    file = tracker.run_dir.artifact("adapter") / "adapter_model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] + 1}, file)
    assert isinstance(loaded.model, PeftModel)
    assert differing_adapter(loaded.model, file.parent) == [name]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_lack_of_memory_is_told_with_what_mends_it(make_config: MakeConfig, error: Exception) -> None:
    config = make_config(training={"per_device_batch_size": 8, "gradient_accumulation_steps": 2})
    (finding,) = findings_of(error, config, stage="training")
    assert (finding.code, finding.field) == ("smoke_out_of_memory", "training.per_device_batch_size")
    assert [fix.patch for fix in finding.fixes] == [
        {"training.per_device_batch_size": 4, "training.gradient_accumulation_steps": 4},
        {"training.gradient_checkpointing": True},
    ]


@pytest.mark.parametrize(
    ("rows", "method", "left"), [(9, "sft", 3), (1, "sft", None), (2, "kto", None), (6, "kto", 3), (7, "sft", 1)]
)
def test_fewer_rows_make_the_same_step(
    make_config: MakeConfig, pairs: dict[str, Any], rows: int, method: str, left: int | None
) -> None:
    training = {"per_device_batch_size": rows, "gradient_accumulation_steps": 2, "gradient_checkpointing": True}
    config: FineTuneJobConfig = make_config(training=training, method={"kind": method}, dataset=pairs)
    (finding,) = findings_of(MemoryError(), config, stage="training")
    wanted = (
        []
        if left is None
        else [{"training.per_device_batch_size": left, "training.gradient_accumulation_steps": 2 * rows // left}]
    )
    assert [fix.patch for fix in finding.fixes] == wanted


def test_model_that_does_not_fit_is_offered_in_fewer_bits(make_config: MakeConfig) -> None:
    (finding,) = findings_of(MemoryError(), make_config(), stage="loading_model")
    assert finding.field == "model.base_model"
    assert [fix.patch for fix in finding.fixes] == [{"model.quantization": "4bit"}]


def test_trial_does_not_touch_the_folder_of_a_run(make_config: MakeConfig, tmp_path: Path) -> None:
    RunDir(tmp_path / "run").create(make_config())
    before = sorted(tmp_path.rglob("*"))
    try_longest_batch(make_config(), tmp_path / "trial")
    assert sorted(tmp_path.rglob("*")) == before
