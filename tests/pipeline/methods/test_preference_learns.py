"""DPO, ORPO and reward models learn on the demo what they are for: to prefer right answers to new orders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL
from tests.pipeline.methods.demo_pairs import Row, Spoil, broken_form, write_demo_pairs, wrong_value

LEARNT = 0.95


class Judge:
    """Tells which of two answers a trained model prefers, by what its method compares."""

    def __init__(self, kind: str, adapter: Path) -> None:
        self.kind = kind
        self.tokenizer = AutoTokenizer.from_pretrained(adapter)
        auto = AutoModelForSequenceClassification if kind == "reward" else AutoModelForCausalLM
        options = {"num_labels": 1} if kind == "reward" else {}
        base = auto.from_pretrained(DEMO_MODEL, dtype=torch.float32, **options)
        self.model = PeftModel.from_pretrained(base, adapter).eval()

    @torch.no_grad()
    def share_right(self, pairs: list[Row]) -> float:
        """Share of the pairs whose chosen answer is preferred."""
        right = [
            self._value(row["prompt"] + row["chosen"]) > self._value(row["prompt"] + row["rejected"]) for row in pairs
        ]
        return sum(right) / len(right)

    def _value(self, turns: list[Row]) -> float:
        ids = torch.tensor([self.tokenizer.apply_chat_template(turns)["input_ids"]])
        start = len(self.tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True)["input_ids"])
        match self.kind:
            case "reward":
                return float(self.model(ids).logits)
            case "orpo":
                return float(self._log_probabilities(ids)[start - 1 :].mean())
            case _:
                with self.model.disable_adapter():
                    reference = self._log_probabilities(ids)
                return float((self._log_probabilities(ids) - reference)[start - 1 :].sum())

    def _log_probabilities(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).squeeze(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "spoil", "accuracy", "training"),
    [
        ("dpo", wrong_value, "eval_rewards/accuracies", {"epochs": 3, "learning_rate": 0.003}),
        ("orpo", wrong_value, "eval_rewards/accuracies", {"epochs": 1, "learning_rate": 0.003}),
        ("reward", broken_form, "eval_accuracy", {"epochs": 1, "learning_rate": 0.002}),
    ],
    ids=["dpo", "orpo", "reward"],
)
def test_new_pairs_are_judged_right(
    tmp_path: Path, kind: str, spoil: Spoil, accuracy: str, training: dict[str, Any]
) -> None:
    dataset = write_demo_pairs(tmp_path, spoil=spoil)
    config = parse_job_config(
        {
            "model": {"base_model": str(DEMO_MODEL)},
            "dataset": dataset,
            "method": {"kind": kind},
            "training": {"per_device_batch_size": 16, **training},
            "evaluation": {"samples": 0},
        }
    )
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    with JobTracker(run_dir) as tracker:
        FineTuneJob(config, run_dir, tracker).run()
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert manifest.metrics[accuracy] >= LEARNT
    pairs = [json.loads(line) for line in Path(dataset["eval_path"]).read_text(encoding="utf-8").splitlines()]
    assert Judge(kind, run_dir.artifact("adapter")).share_right(pairs) >= LEARNT
