"""What a script has to know of a run is in the run's folder, from its first checkpoint on."""

import json
from pathlib import Path

import pytest

from pipeline.errors import InvalidConfig
from pipeline.events import DataLoaded, ModelLoaded
from pipeline.job_tracker import JobTracker
from pipeline.reproduce.run_facts import read_facts
from tests.pipeline.conftest import MakeConfig

MODEL = ModelLoaded(parameters=9, trainable_parameters=3, device="cuda", precision="bf16", attention="sdpa")
DATA = DataLoaded(
    train_rows=30, eval_rows=2, tokens=900, trained_tokens=400, max_length=77, truncated_rows=0, dropped_rows=0
)


def write_adapter(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 16}), encoding="utf-8")


def test_facts_of_a_run_that_trains_come_from_its_checkpoint(make_config: MakeConfig, tracker: JobTracker) -> None:
    tracker.run_dir.create(make_config(model={"quantization": "4bit"}))
    with pytest.raises(InvalidConfig, match=r"has not loaded its model and rows yet\. Wait until it trains"):
        read_facts(tracker.run_dir)
    tracker.record(MODEL)
    tracker.record(DATA)
    with pytest.raises(InvalidConfig, match=r"no adapter or checkpoint yet.*Wait for one"):
        read_facts(tracker.run_dir)
    write_adapter(tracker.run_dir.checkpoints / "checkpoint-4")
    facts = read_facts(tracker.run_dir)
    assert (facts.precision, facts.attention, facts.device, facts.max_length) == ("bf16", "sdpa", "cuda", 77)
    assert (facts.train_rows, facts.trained_tokens, facts.adapter) == (30, 400, {"r": 16})
    assert set(facts.versions) >= {"torch", "transformers", "trl", "peft", "datasets", "bitsandbytes"}
    assert not facts.sees_images


def test_full_fine_tune_needs_no_adapter(make_config: MakeConfig, tracker: JobTracker) -> None:
    tracker.run_dir.create(make_config(tuning={"kind": "full"}))
    tracker.record(MODEL)
    tracker.record(DATA.model_copy(update={"max_length": 5}))
    # A run that was started again loads again.
    tracker.record(MODEL.model_copy(update={"precision": "fp32"}))
    tracker.record(DATA)
    facts = read_facts(tracker.run_dir)
    assert (facts.adapter, facts.precision, facts.max_length) == (None, "fp32", 77)


def test_processor_beside_the_weights_tells_of_images(make_config: MakeConfig, tracker: JobTracker) -> None:
    tracker.run_dir.create(make_config())
    tracker.record(MODEL)
    tracker.record(DATA)
    write_adapter(tracker.run_dir.artifact("adapter"))
    (tracker.run_dir.artifact("adapter") / "processor_config.json").write_text("{}", encoding="utf-8")
    assert read_facts(tracker.run_dir).sees_images
