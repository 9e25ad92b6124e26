"""A whole run on an imported zip of images and a table, and what can be done with its result."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Message
from pipeline.errors import DataProblem, InvalidConfig, ModelUnavailable
from pipeline.events import DataLoaded, Event, JobCompleted
from pipeline.fine_tune_job import FineTuneJob
from pipeline.generate import Decoding, load_for_generation
from pipeline.job_tracker import JobTracker
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.vision.squares import COLOURS, QUESTION, draw_square, write_squares, write_zip


def run(config: FineTuneJobConfig, tracker: JobTracker) -> list[Event]:
    with tracker:
        FineTuneJob(config, tracker.run_dir, tracker).run()
    return tracker.run_dir.read_events()[0]


def data_loaded(events: list[Event]) -> DataLoaded:
    (event,) = [event for event in events if isinstance(event, DataLoaded)]
    return event


def ask(model: PreTrainedModel | PeftModel, processor: ProcessorMixin, colour: str, *, seed: int) -> str:
    """What the model says about an unseen square."""
    image = {"type": "image", "image": draw_square(colour, seed=seed)}
    turns = [{"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}]
    inputs = processor.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    output = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return str(processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


@pytest.mark.slow
def test_model_learns_to_name_the_colour_of_a_square(
    make_image_config: MakeConfig, tracker: JobTracker, tiny_seeing: Path, tmp_path: Path
) -> None:
    rows = write_squares(tmp_path / "pictures", 60)
    path = write_zip(tmp_path / "squares.zip", rows, tmp_path / "pictures")
    config = make_image_config(
        dataset={"path": str(path), "eval_share": 0},
        training={"max_steps": 150, "per_device_batch_size": 15, "eval_strategy": "no", "save_strategy": "no"},
    )
    run(config, tracker)
    folder = tracker.run_dir.artifact("adapter")
    processor = AutoProcessor.from_pretrained(folder)
    model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(tiny_seeing), folder).eval()
    asked = [colour for colour in COLOURS for _ in range(5)]
    answers = [ask(model, processor, colour, seed=1000 + seed) for seed, colour in enumerate(asked)]
    right = sum(answer == f"{colour}." for answer, colour in zip(answers, asked, strict=True))
    # Who says the same every time is right in five of fifteen.
    assert right >= 13


def test_run_leaves_adapter_merged_model_and_processor(
    make_image_config: MakeConfig, tracker: JobTracker, tiny_seeing: Path
) -> None:
    events = run(make_image_config(export={"merged": True}, dataset={"eval_rows": 4}), tracker)
    assert isinstance(events[-1], JobCompleted)
    assert (data_loaded(events).train_rows, data_loaded(events).eval_rows) == (20, 4)
    adapter, merged = tracker.run_dir.artifact("adapter"), tracker.run_dir.artifact("merged")
    names = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
    assert "language_model" in names
    processor = AutoProcessor.from_pretrained(merged)
    inputs = processor(
        images=[[draw_square("red", seed=1)]], text=["<bos><start_of_image>Colour?"], return_tensors="pt"
    )
    adapted = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(tiny_seeing), adapter)
    whole = AutoModelForImageTextToText.from_pretrained(merged)
    with torch.inference_mode():
        torch.testing.assert_close(whole(**inputs).logits, adapted(**inputs).logits, atol=1e-4, rtol=1e-4)
    assert type(AutoProcessor.from_pretrained(adapter)).__name__ == "Gemma3Processor"


def test_counted_tokens_are_those_of_the_rows(
    make_image_config: MakeConfig, tracker: JobTracker, squares: Path, processor: ProcessorMixin
) -> None:
    """Counted from the table by the processor alone, one row at a time."""
    events = run(make_image_config(dataset={"eval_share": 0}), tracker)
    tokens = trained = 0
    for number in range(24):
        answer = f"{list(COLOURS)[number % len(COLOURS)]}.<end_of_turn>\n"
        text = f"<bos><start_of_turn>user\n<start_of_image>{QUESTION}<end_of_turn>\n<start_of_turn>model\n{answer}"
        image = draw_square("red", seed=number)
        tokens += len(processor(images=[[image]], text=[text], add_special_tokens=False)["input_ids"][0])
        trained += len(processor.tokenizer(answer, add_special_tokens=False)["input_ids"])
    assert (data_loaded(events).tokens, data_loaded(events).trained_tokens) == (tokens, trained)


def test_full_fine_tune_leaves_a_model_that_sees(
    make_image_config: MakeConfig, tracker: JobTracker, tiny_seeing: Path
) -> None:
    run(make_image_config(tuning={"kind": "full"}, model={"precision": "bf16"}, training={"max_steps": 5}), tracker)
    folder = tracker.run_dir.artifact("model")
    tuned, base = (AutoModelForImageTextToText.from_pretrained(path).float() for path in (folder, tiny_seeing))
    processor = AutoProcessor.from_pretrained(folder)
    image = draw_square("red", seed=1)
    inputs = processor(images=[[image]], text=["<bos><start_of_image>Colour?"], return_tensors="pt")
    with torch.inference_mode():
        assert not torch.allclose(tuned(**inputs).logits, base(**inputs).logits, atol=1e-2)
        features = (model.get_image_features(inputs["pixel_values"]).pooler_output for model in (tuned, base))
        torch.testing.assert_close(*features, atol=2e-2, rtol=2e-2)


def test_playground_answers_after_a_run_on_images(
    make_image_config: MakeConfig, tracker: JobTracker, tiny_seeing: Path
) -> None:
    """It has text prompts only, and offers none of the held-out rows with images."""
    run(make_image_config(dataset={"eval_rows": 4}), tracker)
    assert tracker.run_dir.read_held_out() == []
    generator = load_for_generation(str(tiny_seeing), tracker.run_dir.artifact("adapter"), precision="fp32")
    answer = generator.generate([Message("user", "Hello?")], side="tuned", decoding=Decoding(4))
    assert 1 <= answer.tokens <= 4
    seen = Message("user", "Colour?", images=("a.png",), image_positions=(0,))
    with pytest.raises(DataProblem, match="it has images, which a text model does not read"):
        generator.generate([seen], side="base", decoding=Decoding(4))


def test_rows_that_cannot_be_used_are_told(make_image_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    rows = write_squares(tmp_path / "pictures", 9)
    rows[2]["question"] = "Where is <start_of_image>?"
    rows[5]["answer"] = "red. " * 60
    path = write_zip(tmp_path / "squares.zip", rows, tmp_path / "pictures")
    config = make_image_config(dataset={"path": str(path), "eval_share": 0}, method={"max_length": 60})
    loaded = data_loaded(run(config, tracker))
    assert (loaded.train_rows, loaded.dropped_rows, loaded.truncated_rows) == (8, 1, 1)
    assert loaded.dropped_examples[0].row == 3
    assert loaded.dropped_examples[0].reason.startswith("its text has <start_of_image> 2 times")


def test_images_beyond_the_limit_leave_nothing(make_image_config: MakeConfig, tracker: JobTracker) -> None:
    with pytest.raises(DataProblem, match=r"No row is left.*Row 1: its images do not fit into the limit of 8 tokens"):
        run(make_image_config(method={"max_length": 8}, dataset={"eval_share": 0}), tracker)


def test_text_model_is_refused(make_image_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"reads text only .* Choose a model that sees images, such as google/"):
        run(make_image_config(model={"base_model": str(tiny_gemma)}), tracker)


def test_model_without_its_processor_is_refused(
    make_image_config: MakeConfig, tracker: JobTracker, tiny_seeing: Path, tmp_path: Path
) -> None:
    for file in tiny_seeing.iterdir():
        if file.name != "processor_config.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelUnavailable, match="which say how its images are read"):
        run(make_image_config(model={"base_model": str(tmp_path)}), tracker)


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"training": {"batching": "packed"}}, "training.batching"),
        ({"model": {"attention": "flash_attention_2"}}, "model.attention"),
        ({"method": {"kind": "grpo", "rewards": [{"kind": "length"}]}}, "method.kind"),
    ],
)
def test_settings_that_do_not_go_with_images_are_refused(
    make_image_config: MakeConfig, tracker: JobTracker, sections: dict[str, dict[str, object]], field: str
) -> None:
    with pytest.raises(InvalidConfig, match=field):
        run(make_image_config(**sections), tracker)
