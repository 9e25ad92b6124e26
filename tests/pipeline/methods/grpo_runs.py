"""What the tests of GRPO are made of: prompts with a column for rewards, quick runs over them, and what they logged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.events import StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods.grpo import build_trainer
from pipeline.methods.grpo_trainer import PromptTrainer
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

REWARDS = [
    {"kind": "length", "maximum": 24, "weight": 2.0},
    {"kind": "contains", "column": "letter", "weight": 0.5},
]
LETTERS = "etao"


def write_prompts(path: Path) -> Path:
    """Six prompts with a letter each."""
    rows = [
        {"prompt": f"How many carats has the {stone}?", "letter": LETTERS[index % len(LETTERS)]}
        for index, stone in enumerate(STONES[:6])
    ]
    return write_jsonl(path, rows)


def grpo_maker(make_config: MakeConfig, prompts: Path) -> MakeConfig:
    """Makes documents of quick GRPO runs without evaluation; keyword arguments are sections put over them."""

    def make(**sections: Any) -> FineTuneJobConfig:
        method = {"kind": "grpo", "rewards": REWARDS, "num_generations": 4, "max_completion_length": 10}
        training = {"per_device_batch_size": 8, "save_strategy": "no", "eval_strategy": "no"}
        dataset = {"path": str(prompts), "eval_share": 0}
        return make_config(
            **{
                **sections,
                "method": {**method, **sections.get("method", {})},
                "training": {**training, **sections.get("training", {})},
                "dataset": {**dataset, **sections.get("dataset", {})},
            }
        )

    return make


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> PromptTrainer:
    loaded, data = prepare(config, tracker)
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def logged(trainer: Any, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def run(config: FineTuneJobConfig, folder: Path) -> RunDir:
    run_dir = RunDir(folder)
    run_dir.path.mkdir(exist_ok=True)
    FineTuneJob(config, run_dir, JobTracker(run_dir)).run()
    return run_dir


def events_of(run_dir: RunDir, kind: type) -> list[Any]:
    events, _ = run_dir.read_events()
    return [event for event in events if isinstance(event, kind)]


def values(run_dir: RunDir, names: Sequence[str]) -> dict[tuple[int, str], float]:
    steps = events_of(run_dir, StepLogged)
    return {(step.step, name): step.metrics[name] for step in steps for name in names if name in step.metrics}
