"""What an evaluation says: the loss of the held-out rows, its perplexity, and the share of right tokens."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from pipeline.data_manager import DataManager
from pipeline.evaluation.perplexity import perplexity
from pipeline.events import EvaluationFinished, JobCompleted, WarningRaised
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods import method_for
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.test_fine_tune_job import poisoned_model
from tests.tiny_gemma import chat_rows, write_jsonl


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_perplexity_stands_beside_the_loss_of_each_evaluation(
    make_config: MakeConfig, tracker: JobTracker, strategy: str
) -> None:
    training = {"max_steps": None, "epochs": 2, "per_device_batch_size": 20}
    FineTuneJob(
        make_config(training={**training, "eval_strategy": strategy, "eval_steps": 2}), tracker.run_dir, tracker
    ).run()
    events, _ = tracker.run_dir.read_events()
    evaluations = [event.metrics for event in events if isinstance(event, EvaluationFinished)]
    assert len(evaluations) == 2
    for metrics in evaluations:
        assert metrics["eval_perplexity"] == pytest.approx(math.exp(metrics["eval_loss"]))
    completed = events[-1]
    assert isinstance(completed, JobCompleted)
    assert completed.metrics["eval_perplexity"] == evaluations[-1]["eval_perplexity"]


def test_values_are_those_of_all_the_logits(make_config: MakeConfig, tracker: JobTracker) -> None:
    """Loss and accuracy computed again from whole logits, row by row, each token predicted by the one before it."""
    config = make_config(dataset={"eval_share": 0.5}, training={"per_device_batch_size": 3})
    loaded = ModelManager(config, tracker).load()
    data = DataManager(config, tracker).load(loaded)
    trainer = method_for("sft").build_trainer(
        config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[]
    )
    metrics = trainer.evaluate()
    base = AutoModelForCausalLM.from_pretrained(config.model.base_model)
    losses, right = [], []
    for row in data.evaluation:
        logits = base(torch.tensor([row.input_ids])).logits[0, :-1].float()
        targets = torch.tensor(row.labels[1:])
        trained = targets != -100
        losses += cross_entropy(logits[trained], targets[trained], reduction="none").tolist()
        right += (logits[trained].argmax(-1) == targets[trained]).tolist()
    assert metrics["eval_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert metrics["eval_mean_token_accuracy"] == pytest.approx(sum(right) / len(right))
    assert metrics["eval_perplexity"] == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-4)


def test_loss_that_is_no_number_is_told_and_harms_nothing(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    rows = chat_rows(4)
    rows[1]["messages"][1]["content"] += " ~"
    config = make_config(
        model={"base_model": str(poisoned_model(tmp_path / "poisoned", tiny_gemma))},
        dataset={"eval_path": str(write_jsonl(tmp_path / "rows.jsonl", rows))},
        evaluation={"early_stopping": 2, "keep_best": True},
    )
    FineTuneJob(config, tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    assert isinstance(events[-1], JobCompleted)
    assert "eval_loss" not in events[-1].metrics
    messages = [event.message for event in events if isinstance(event, WarningRaised)]
    assert "The loss of the held-out rows is nan at step 2." in messages
    assert tracker.run_dir.read_manifest() is not None


@pytest.mark.parametrize(
    ("loss", "expected"), [(0.0, 1.0), (math.log(50), 50.0), (2000.0, math.exp(709)), (math.inf, math.exp(709))]
)
def test_perplexity_never_overflows(loss: float, expected: float) -> None:
    assert perplexity(loss) == pytest.approx(expected)
