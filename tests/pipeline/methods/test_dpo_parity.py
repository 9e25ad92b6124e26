"""DPO has the values of a script that one writes with TRL: losses, gradients, rewards, tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import DPOConfig, DPOTrainer

from pipeline.data_manager import DataManager
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.pipeline.methods.preference import TRL_ARGUMENTS, Row, build, logged, make_run, pair_rows
from tests.tiny_gemma import build_tiny_gemma, write_jsonl

LOGGED = ("loss", "grad_norm", "rewards/margins", "rewards/chosen", "entropy", "num_tokens")
EVALUATED = ("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins")


def trl_script(model: Path, folder: Path, *, full: bool, **arguments: Any) -> DPOTrainer:
    """The run as one writes it with TRL."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if full:
        base.get_input_embeddings().requires_grad_(False)
    set_seed(42)
    trainer = DPOTrainer(
        model=base,
        args=DPOConfig(output_dir=str(folder), **{**TRL_ARGUMENTS, **arguments}),
        train_dataset=Dataset.from_list(pair_rows(12)),
        eval_dataset=Dataset.from_list(pair_rows(6, first=12)),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=None
        if full
        else LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("sections", "arguments"),
    [
        ({}, {}),
        ({"training": {"gradient_accumulation_steps": 2}}, {"gradient_accumulation_steps": 2}),
        ({"training": {"gradient_checkpointing": True}}, {"gradient_checkpointing": True}),
        ({"method": {"loss_type": "ipo", "beta": 0.5}}, {"loss_type": "ipo", "beta": 0.5}),
        ({"method": {"loss_type": "hinge"}}, {"loss_type": "hinge"}),
        (
            {"method": {"loss_type": "robust", "label_smoothing": 0.2}},
            {"loss_type": "robust", "label_smoothing": 0.2},
        ),
        ({"method": {"loss_type": "apo_zero"}}, {"loss_type": "apo_zero"}),
        ({"method": {"loss_type": "apo_down"}}, {"loss_type": "apo_down"}),
        ({"method": {"max_length": 40}}, {"max_length": 40}),
        ({"tuning": {"kind": "full"}}, {"full": True}),
    ],
    ids=str,
)
def test_values_are_those_of_a_trl_script(
    make_config: MakeConfig,
    tracker: JobTracker,
    tiny_gemma: Path,
    tmp_path: Path,
    sections: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    mine = build(make_run(make_config, tmp_path, "dpo", **sections), tracker)
    mine.train()
    theirs = trl_script(tiny_gemma, tmp_path / "theirs", **{"full": False, **arguments})
    assert len(logged(mine, "loss")) == 4
    assert len(logged(mine, "eval_loss")) == 2
    for name in (*LOGGED, *EVALUATED):
        assert logged(mine, name) == pytest.approx(logged(theirs, name), abs=1e-4), name
    # The first update is at a rate of 0: until the second, the model is its reference, and rounding decides.
    assert logged(mine, "rewards/accuracies")[2:] == logged(theirs, "rewards/accuracies")[2:]


@pytest.mark.parametrize("softcap", [None, 20.0])
def test_capped_logits_are_capped(
    make_config: MakeConfig, tracker: JobTracker, tmp_path: Path, softcap: float | None
) -> None:
    model = build_tiny_gemma(tmp_path / "model", softcap=softcap)
    mine = build(make_run(make_config, tmp_path, "dpo", model={"base_model": str(model)}), tracker)
    mine.train()
    theirs = trl_script(model, tmp_path / "theirs", full=False)
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), abs=1e-4)


@pytest.mark.parametrize("plain", [False, True], ids=["conversations", "plain text"])
def test_ids_are_those_that_trl_makes(
    make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path, plain: bool
) -> None:
    rows: list[Row] = pair_rows(12)
    if plain:
        rows = [{side: turns[0]["content"] for side, turns in row.items()} for row in rows]
    dataset = {"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_path": None, "eval_share": 0}
    config = make_run(make_config, tmp_path, "dpo", dataset=dataset)
    loaded = ModelManager(config, tracker).load()
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    if plain:
        loaded.tokenizer.chat_template = tokenizer.chat_template = None
    data = DataManager(config, tracker).load(loaded)
    theirs = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_gemma),
        args=DPOConfig(
            output_dir=str(tmp_path / "theirs"), use_cpu=True, report_to="none", precompute_ref_log_probs=True
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    ).train_dataset
    for column in ("prompt_ids", "chosen_ids", "rejected_ids"):
        assert [getattr(row, column) for row in data.train] == theirs[column][:]
