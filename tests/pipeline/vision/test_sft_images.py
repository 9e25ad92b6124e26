"""SFT on rows with images: losses are TRL's, gradients stay in the language model, and the model learns to see."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import Trainer
from trl import SFTConfig, SFTTrainer

from pipeline.callbacks import TrackerCallback
from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.events import WarningRaised
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.sft import build_trainer, training_arguments
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.vision.collator import LEFT_OUT
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


def trl_rows(data: PreparedData, source: Path) -> Dataset:
    """The rows of the zip in TRL's own shape, in the order of the prepared ones."""
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
        train_dataset=trl_rows(data, mixed),
        processing_class=loaded.processor,
    )
    theirs.train()
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), rel=1e-4)
    assert logged(mine, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-4)


def test_loss_depends_on_the_images(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_image_config(), tracker)
    batch = next(iter(trainer.get_train_dataloader()))
    batch.pop(LEFT_OUT)
    with torch.no_grad():
        loss = trainer.model(**batch).loss.item()
        batch["pixel_values"] = -batch["pixel_values"]
        assert trainer.model(**batch).loss.item() != pytest.approx(loss, rel=1e-3)


def test_rows_are_held_out_by_their_images(make_image_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    """Questions about one image stay on one side; the same question about different images may be on both."""
    rows = write_squares(tmp_path / "pictures", 12)
    rows += [{**row, "question": "And is it large?", "answer": "Yes."} for row in rows]
    path = write_zip(tmp_path / "twice.zip", rows, tmp_path / "pictures")
    _, data = prepare(make_image_config(dataset={"path": str(path), "eval_share": 0.25}), tracker)
    assert len(data.evaluation) == 6
    assert len({row.images for row in data.evaluation}) == 3
    assert not {row.images for row in data.evaluation} & {row.images for row in data.train}


def test_evaluation_loss_does_not_depend_on_the_batches(
    make_image_config: MakeConfig, tracker: JobTracker, mixed: Path
) -> None:
    losses = []
    for size in (1, 3, 12):
        config = make_image_config(
            dataset={"path": str(mixed), "eval_share": 0.5}, training={"per_device_batch_size": size}
        )
        losses.append(ours(config, tracker).evaluate()["eval_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_stay_in_the_language_models_adapter(
    make_image_config: MakeConfig, tracker: JobTracker, checkpointing: bool
) -> None:
    training = {"max_steps": 3, "weight_decay": 0, "gradient_checkpointing": checkpointing, **UNSAVED}
    trainer = ours(make_image_config(training=training), tracker)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    seen: list[bool] = []
    base = trainer.model.get_base_model().model
    base.multi_modal_projector.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    trainer.train()
    changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if "lora_" in name}
    assert all("language_model" in name for name in changed)
    assert seen
    assert not any(seen)


def test_gradient_checkpointing_changes_no_loss(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    losses = []
    for on in (False, True):
        trainer = ours(make_image_config(training={"gradient_checkpointing": on, **UNSAVED}), tracker)
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_full_fine_tune_leaves_the_eyes_as_they_are(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_image_config(tuning={"kind": "full"}, training=UNSAVED), tracker)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    assert len(changed) > 20
    assert all("language_model" in name for name in changed)


def test_bf16_trains_to_the_same_values(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = ours(make_image_config(model={"precision": precision}, training=UNSAVED), tracker)
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


def test_rows_of_similar_length_share_a_batch(make_image_config: MakeConfig, tracker: JobTracker, mixed: Path) -> None:
    config = make_image_config(
        dataset={"path": str(mixed), "eval_share": 0}, training={"per_device_batch_size": 2, "batching": "auto"}
    )
    trainer = ours(config, tracker)
    assert isinstance(trainer._get_train_sampler(), LengthGroupedSampler)
    batches = list(trainer.get_train_dataloader())
    assert sum(len(batch["input_ids"]) for batch in batches) == 12
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert real / sum(batch["input_ids"].numel() for batch in batches) > 0.97


def test_image_that_is_lost_while_training_is_told_once(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_image_config(
        dataset={"eval_share": 0}, training={"max_steps": None, "epochs": 2, "per_device_batch_size": 1, **UNSAVED}
    )
    trainer = ours(config, tracker)
    lost = trainer.train_dataset[5]
    Path(lost["images"][0]).unlink()
    trainer.train()
    warnings = [event for event in tracker.run_dir.read_events()[0] if isinstance(event, WarningRaised)]
    assert [warning.message.split(" while")[0] for warning in warnings] == [f"Row {lost['row']} is left out"]
    losses = logged(trainer, "loss")
    assert len(losses) == 48
    assert losses.count(0.0) == 2
    assert all(loss == loss for loss in losses)


def test_speed_counts_the_tokens_of_images(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_image_config(
        dataset={"eval_share": 0}, training={"max_steps": 1, "per_device_batch_size": 24, **UNSAVED}
    )
    trainer = ours(config, tracker)
    trainer.train()
    assert logged(trainer, "num_tokens") == [sum(len(ids) for ids in trainer.train_dataset["input_ids"])]
