"""Preference pairs for tests, and runs and trainers made of them."""

from pathlib import Path
from typing import Any

from transformers import Trainer

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.events import Event
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods import method_for
from pipeline.model_manager import LoadedModel, ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

Row = dict[str, Any]
# What a script for TRL has to say for the run that `make_run` describes.
TRL_ARGUMENTS = {
    "max_steps": 4,
    "learning_rate": 0.01,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "weight_decay": 0.01,
    "optim": "adamw_torch_fused",
    "per_device_train_batch_size": 3,
    "per_device_eval_batch_size": 3,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "no",
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "seed": 42,
    "data_seed": 42,
    "bf16": False,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
}


def pair_rows(count: int, *, first: int = 0) -> list[Row]:
    """Conversations with a right and a wrong answer of different lengths."""
    rows = []
    for index in range(first, first + count):
        stone = STONES[index % len(STONES)]
        rows.append(
            {
                "prompt": [{"role": "user", "content": f"How many carats has the {stone} of box {index}?"}],
                "chosen": [_answer(f"The {stone} has {1 + index % 7} carats" + " exactly" * (index % 3) + ".")],
                "rejected": [_answer("I do not know" + " at all" * (index % 4) + ".")],
            }
        )
    return rows


def make_run(make_config: MakeConfig, folder: Path, kind: str, **sections: Any) -> FineTuneJobConfig:
    """A run of this method on 12 pairs, with 6 held out; keyword arguments are sections put over it."""
    paths = {
        "path": str(write_jsonl(folder / "pairs.jsonl", pair_rows(12))),
        "eval_path": str(write_jsonl(folder / "held_out.jsonl", pair_rows(6, first=12))),
    }
    training = {
        "max_steps": 4,
        "per_device_batch_size": 3,
        "batching": "random",
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
    }
    return make_config(
        dataset={**paths, **sections.pop("dataset", {})},
        method={"kind": kind, **sections.pop("method", {})},
        training={**training, **sections.pop("training", {})},
        **sections,
    )


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    """The model and the rows of a run."""
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def build(config: FineTuneJobConfig, tracker: JobTracker) -> Trainer:
    """The trainer of a run."""
    loaded, data = prepare(config, tracker)
    method = method_for(config.method.kind)
    return method.build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def run(config: FineTuneJobConfig, tracker: JobTracker) -> list[Event]:
    """The events of a whole run."""
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    return tracker.run_dir.read_events()[0]


def logged(trainer: Trainer, name: str) -> list[float]:
    """The logged values of this name."""
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}
