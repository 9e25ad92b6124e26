"""The SFT method: its losses are TRL's, its evaluation weighs tokens, its batches follow the attention."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, Trainer, set_seed
from trl import SFTConfig, SFTTrainer

from pipeline.config import FineTuneJobConfig, LoraConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import TrainingDiverged
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.divergence import stop_on_divergence
from pipeline.methods.sft import build_trainer, choose_batching, training_arguments
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.providers import huggingface
from tests.pipeline.conftest import MakeConfig


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> Trainer:
    loaded, data = prepare(config, tracker)
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def logged(trainer: Trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


@pytest.mark.parametrize("train_on", ["assistant", "all"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_losses_and_gradients_are_those_of_trl(
    make_config: MakeConfig, tracker: JobTracker, accumulation: int, train_on: str
) -> None:
    config = make_config(
        training={
            "max_steps": 4,
            "per_device_batch_size": 3,
            "gradient_accumulation_steps": accumulation,
            "batching": "random",
            "save_strategy": "no",
        },
        method={"train_on": train_on},
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
        evaluate=True,
    )
    assert isinstance(arguments, SFTConfig)
    theirs = SFTTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=mine.train_dataset,
        eval_dataset=mine.eval_dataset,
        processing_class=loaded.tokenizer,
    )
    theirs.train()
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), rel=1e-5)
    assert logged(mine, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-4)
    assert logged(mine, "mean_token_accuracy")[-1] == pytest.approx(logged(theirs, "mean_token_accuracy")[-1], abs=0.05)


def test_trl_masks_the_same_tokens(make_config: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    """The rows as TRL tokenises and masks them by itself, from the conversations."""
    from datasets import Dataset

    from tests.tiny_gemma import chat_rows

    config = make_config(dataset={"eval_share": 0}, training={"save_strategy": "no", "eval_strategy": "no"})
    loaded, data = prepare(config, tracker)
    theirs = SFTTrainer(
        model=loaded.model,
        args=SFTConfig(
            output_dir=str(tracker.run_dir.checkpoints), assistant_only_loss=True, use_cpu=True, report_to="none"
        ),
        train_dataset=Dataset.from_list(chat_rows(40)),
        processing_class=AutoTokenizer.from_pretrained(tiny_gemma),
    )
    assert theirs.train_dataset["input_ids"][:] == [row.input_ids for row in data.train]
    assert theirs.train_dataset["labels"][:] == [row.labels for row in data.train]


def test_evaluation_loss_does_not_depend_on_the_batches(make_config: MakeConfig, tracker: JobTracker) -> None:
    losses = []
    for size in (1, 4, 20):
        config = make_config(dataset={"eval_share": 0.5}, training={"per_device_batch_size": size})
        losses.append(ours(config, tracker).evaluate()["eval_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_gradient_checkpointing_changes_no_loss(make_config: MakeConfig, tracker: JobTracker) -> None:
    losses = []
    for on in (False, True):
        trainer = ours(make_config(training={"gradient_checkpointing": on, "save_strategy": "no"}), tracker)
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_full_fine_tune_trains_the_language_model(make_config: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(
        make_config(
            tuning={"kind": "full"}, training={"max_steps": 10, "save_strategy": "no", "lr_scheduler": "constant"}
        ),
        tracker,
    )
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < losses[0] - 0.3


def test_batches_are_grouped_by_length(make_config: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_config(training={"per_device_batch_size": 4}), tracker)
    sampler = trainer._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler)
    assert sampler.batch_size == 4
    batches = list(trainer.get_train_dataloader())
    real = sum(int(batch["attention_mask"].sum()) for batch in batches)
    assert real / sum(batch["input_ids"].numel() for batch in batches) > 0.9


def test_each_epoch_has_an_order_of_its_own(make_config: MakeConfig, tracker: JobTracker) -> None:
    loader = ours(make_config(), tracker).get_train_dataloader()
    orders = []
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        orders.append([batch["input_ids"][0].tolist() for batch in loader])
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize(
    ("attention", "expected"), [("sdpa", "grouped"), ("eager", "grouped"), ("flash_attention_2", "packed")]
)
def test_auto_batching_follows_the_attention(make_config: MakeConfig, attention: str, expected: str) -> None:
    assert choose_batching(make_config(), attention=attention) == expected
    assert choose_batching(make_config(training={"batching": "random"}), attention=attention) == "random"


def test_packed_rows_do_not_see_each_other(make_config: MakeConfig, tracker: JobTracker) -> None:
    """The loss over packed rows is the loss over the same rows one by one."""
    losses = []
    for batching in ("packed", "random"):
        config = make_config(
            dataset={"eval_share": 0},
            method={"max_length": 200},
            training={"batching": batching, "per_device_batch_size": 40, "max_steps": 1, "save_strategy": "no"},
        )
        trainer = ours(config, tracker)
        trainer.train()
        losses.append(logged(trainer, "loss")[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_broken_loss_stops_before_the_weights_change(make_config: MakeConfig, tracker: JobTracker) -> None:
    config = make_config(training={"save_strategy": "no"})
    loaded, data = prepare(config, tracker)
    base = loaded.base.get_input_embeddings().weight
    trained = {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}
    base.data[:, 0] = float("nan")
    trainer = build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])
    stop_on_divergence(trainer)
    with pytest.raises(TrainingDiverged, match=r"The loss is nan at step 1. Lower the learning rate \(it is 0.01\)"):
        trainer.train()
    assert all((p == trained[name]).all() for name, p in loaded.model.named_parameters() if p.requires_grad)


def test_adapter_layers_take_narrow_inputs(make_config: MakeConfig) -> None:
    set_seed(0)
    config = make_config().model
    import torch

    base = huggingface.load_model(config, task="causal_lm", weight_dtype=torch.bfloat16, device=torch.device("cpu"))
    adapted = huggingface.attach_lora(base, LoraConfig(), task="causal_lm")
    seen: set[Any] = set()
    adapted.get_base_model().model.layers[0].self_attn.q_proj.lora_A["default"].register_forward_pre_hook(
        lambda module, inputs: seen.add(inputs[0].dtype)
    )
    ids = torch.tensor([[2, 50, 60]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        adapted(input_ids=ids)
    assert seen == {torch.bfloat16}
