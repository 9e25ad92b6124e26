"""Gemma 4: images of different sizes have different numbers of tokens, and its inputs have names of their own.

Its processor needs torchvision, whose wheels are built for a GPU.
"""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoProcessor
from trl import SFTTrainer

from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods.sft import build_trainer, training_arguments
from pipeline.vision.collator import LEFT_OUT
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.vision.squares import COLOURS, QUESTION, draw_square, write_zip
from tests.pipeline.vision.test_sft_images import UNSAVED, logged, prepare, trl_rows
from tests.pipeline.vision.tiny_gemma4 import build_tiny_gemma4

pytestmark = pytest.mark.gpu
SIZES = ((60, 40), (100, 20), (30, 30))


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Pictures of three shapes, and a row without any."""
    (tmp_path / "pictures").mkdir()
    rows = []
    for number in range(12):
        colour = list(COLOURS)[number % len(COLOURS)]
        draw_square(colour, seed=number, size=SIZES[number // 4]).save(tmp_path / "pictures" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "question": QUESTION, "answer": f"{colour}."})
    rows[5] |= {"file_name": None, "question": "Is there a square?", "answer": "I see no picture."}
    return write_zip(tmp_path / "shapes.zip", rows, tmp_path / "pictures")


@pytest.fixture(params=[False, True], ids=["causal", "bidirectional"])
def gemma4(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return build_tiny_gemma4(tmp_path / "gemma4", bidirectional=request.param)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_losses_and_gradients_are_those_of_trl(
    make_config: MakeConfig, tracker: JobTracker, gemma4: Path, shapes: Path, accumulation: int
) -> None:
    training = {"per_device_batch_size": 3, "gradient_accumulation_steps": accumulation, "batching": "random"}
    config = make_config(
        model={"base_model": str(gemma4)},
        dataset={"path": str(shapes), "eval_share": 0},
        training={"max_steps": 3, **training, **UNSAVED},
    )
    loaded, data = prepare(config, tracker)
    mine = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    batch = next(iter(mine.get_train_dataloader()))
    assert {"mm_token_type_ids", "image_position_ids", "pixel_values", LEFT_OUT} < set(batch)
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
    arguments.completion_only_loss = True
    theirs = SFTTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=trl_rows(data, shapes),
        processing_class=loaded.processor,
    )
    # It takes the model at its word that the tokens of a step cannot be counted.
    theirs.model_accepts_loss_kwargs = True
    theirs.train()
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), rel=1e-4)
    assert logged(mine, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-4)


def test_run_counts_the_tokens_of_each_size(
    make_config: MakeConfig, tracker: JobTracker, gemma4: Path, shapes: Path
) -> None:
    config = make_config(model={"base_model": str(gemma4)}, dataset={"path": str(shapes), "eval_share": 0})
    _, data = prepare(config, tracker)
    processor = AutoProcessor.from_pretrained(gemma4)
    with zipfile.ZipFile(shapes) as archive:
        table = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
        pictures = [row["file_name"] and Image.open(archive.open(row["file_name"])).copy() for row in table]
    for row in data.train:
        picture = pictures[row.row - 1]
        images = [{"type": "image", "image": picture}] if picture else []
        turns = [
            {"role": "user", "content": [*images, {"type": "text", "text": table[row.row - 1]["question"]}]},
            {"role": "assistant", "content": [{"type": "text", "text": table[row.row - 1]["answer"]}]},
        ]
        encoded = processor.apply_chat_template(turns, tokenize=True, return_dict=True)
        assert [row.input_ids] == encoded["input_ids"]
    assert len({row.input_ids.count(processor.image_token_id) for row in data.train}) == 4


def test_run_leaves_a_processor(make_config: MakeConfig, tracker: JobTracker, gemma4: Path, shapes: Path) -> None:
    config = make_config(
        model={"base_model": str(gemma4)},
        dataset={"path": str(shapes), "eval_rows": 2},
        training={"gradient_checkpointing": True},
        export={"merged": True},
    )
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    for kind in ("adapter", "merged"):
        saved = AutoProcessor.from_pretrained(tracker.run_dir.artifact(kind))
        assert type(saved).__name__ == "Gemma4Processor"
