"""SFT on rows with images: losses are TRL's, gradients stay in the language model, and the model learns to see."""

import json
from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image
from transformers import Trainer
from trl import SFTConfig, SFTTrainer

from pipeline.callbacks import TrackerCallback
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.job_tracker import JobTracker
from pipeline.methods.sft import build_trainer, training_arguments
from pipeline.model_manager import LoadedModel, ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.vision.squares import write_squares, write_zip

UNSAVED = {"save_strategy": "no", "eval_strategy": "no"}


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    manager = DataManager(config, tracker)
    examples = manager.read()
    loaded = ModelManager(config, tracker).load(sees_images=examples.have_images)
    return loaded, manager.encode(examples, loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> Trainer:
    loaded, data = prepare(config, tracker)
    callbacks = [TrackerCallback(tracker)]
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=callbacks)


def logged(trainer: Trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Rows with one picture, and rows without any."""
    rows = write_squares(tmp_path / "pictures", 12)
    for number in (1, 4, 5, 10):
        rows[number] |= {"file_name": None, "question": "Is there a square?", "answer": "I see no picture."}
    return write_zip(tmp_path / "mixed.zip", rows, tmp_path / "pictures")


def trl_rows(data: PreparedData, tracker: JobTracker, source: Path) -> Dataset:
    """The rows of the zip in TRL's own shape, in the order of the prepared ones."""
    import zipfile

    with zipfile.ZipFile(source) as archive:
        table = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        pictures = {
            row["file_name"]: Image.open(archive.open(row["file_name"])).copy() for row in table if row["file_name"]
        }
    chosen = [table[row.row - 1] for row in data.train]
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["question"]}],
                "completion": [{"role": "assistant", "content": row["answer"]}],
                "images": [pictures[row["file_name"]]] if row["file_name"] else [],
            }
            for row in chosen
        ]
    )


@pytest.mark.parametrize("accumulation", [1, 2])
def test_losses_and_gradients_are_those_of_trl(
    make_image_config: MakeConfig, tracker: JobTracker, mixed: Path, accumulation: int
) -> None:
    config = make_image_config(
        dataset={"path": str(mixed), "eval_share": 0},
        training={
            "max_steps": 3,
            "per_device_batch_size": 3,
            "gradient_accumulation_steps": accumulation,
            "batching": "random",
            **UNSAVED,
        },
    )
    mine = ours(config, tracker)
    mine.train()
    loaded, data = prepare(config, tracker)
    arguments = training_arguments(
        config,
        loaded,
        output_dir=tracker.run_dir.checkpoints,
        batching="random",
        max_length=data.max_length,
        evaluate=False,
    )
    assert isinstance(arguments, SFTConfig)
    arguments.completion_only_loss = True
    theirs = SFTTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=trl_rows(data, tracker, mixed),
        processing_class=loaded.processor,
    )
    theirs.train()
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), rel=1e-4)
    assert logged(mine, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-4)
