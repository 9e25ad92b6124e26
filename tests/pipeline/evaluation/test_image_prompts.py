"""Answers to held-out rows with images: as the model gives them when asked as its processor would ask."""

from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.evaluation.answering import Answerer
from pipeline.evaluation.held_out import held_out_prompts
from pipeline.events import SamplesAnswered, ScoresComputed, StepLogged, WarningRaised
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.run_dir import RunDir
from pipeline.vision.images import UnreadableImage
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.vision.squares import write_squares, write_zip
from tests.tiny_gemma import build_tiny_multimodal


@pytest.fixture
def config(make_config: MakeConfig, tmp_path: Path) -> FineTuneJobConfig:
    """A run on eight coloured squares, four of them held out."""
    squares = write_zip(tmp_path / "squares.zip", write_squares(tmp_path / "pictures", 8), tmp_path / "pictures")
    return make_config(
        model={"base_model": str(build_tiny_multimodal(tmp_path / "model"))},
        dataset={"path": str(squares), "eval_rows": 4, "group_near_duplicates": False},
        training={"per_device_batch_size": 2, "eval_strategy": "steps", "eval_steps": 2},
        evaluation={"samples": 3, "sample_tokens": 6, "score_rows": 2, "metrics": "exact_match"},
    )


def load(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    data = DataManager(config, tracker)
    examples = data.read()
    loaded = ModelManager(config, tracker).load(sees_images=True)
    return loaded, data.encode(examples, loaded)


def test_image_is_seen_as_its_processor_shows_it(config: FineTuneJobConfig, tracker: JobTracker) -> None:
    loaded, data = load(config, tracker)
    prompts = held_out_prompts(data.held_out, loaded, count=4, keep=lambda prompt: True)
    assert len(prompts) == 4
    subject = Answerer(loaded.base, loaded.processing, precision="fp32", end_ids=[1])
    answers = subject.answer(prompts, max_new_tokens=6)
    processor = AutoProcessor.from_pretrained(config.model.base_model)
    model = AutoModelForImageTextToText.from_pretrained(config.model.base_model)
    for example, prompt, answer in zip(data.held_out, prompts, answers, strict=True):
        question = example.messages[0]
        parts = [{"type": "image"}, {"type": "text", "text": question.content}]
        text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        inputs = processor(
            text=[text], images=[[Image.open(question.images[0])]], add_special_tokens=False, return_tensors="pt"
        )
        assert inputs["input_ids"][0].tolist() == prompt.ids
        output = model.generate(**inputs, max_new_tokens=6, do_sample=False)[0, len(prompt.ids) :]
        assert answer.text == processor.tokenizer.decode(output, skip_special_tokens=True).strip()
        assert prompt.shown == f"[image]{question.content}"
        assert prompt.reference == example.messages[-1].content


def test_samples_with_images_change_nothing_of_the_training(config: FineTuneJobConfig, tmp_path: Path) -> None:
    runs = []
    for samples in (0, 3):
        run_dir = RunDir(tmp_path / str(samples))
        run_dir.path.mkdir()
        evaluation = config.evaluation.model_copy(update={"samples": samples})
        FineTuneJob(config.model_copy(update={"evaluation": evaluation}), run_dir, JobTracker(run_dir)).run()
        runs.append(run_dir.read_events()[0])
    without, with_samples = ([event.metrics["loss"] for event in run if isinstance(event, StepLogged)] for run in runs)
    assert without == with_samples
    assert [event.step for event in runs[1] if isinstance(event, SamplesAnswered)] == [0, 2]
    (scores,) = [event for event in runs[1] if isinstance(event, ScoresComputed)]
    assert scores.rows == 2
    assert not any(isinstance(event, WarningRaised) for event in runs[1])


def test_image_that_is_gone_is_told(config: FineTuneJobConfig, tracker: JobTracker) -> None:
    loaded, data = load(config, tracker)
    prompts = held_out_prompts(data.held_out, loaded, count=1, keep=lambda prompt: True)
    Path(prompts[0].image_row.images[0]).unlink()
    with pytest.raises(UnreadableImage, match="cannot be read"):
        Answerer(loaded.base, loaded.processing, precision="fp32", end_ids=[1]).answer(prompts, max_new_tokens=2)
