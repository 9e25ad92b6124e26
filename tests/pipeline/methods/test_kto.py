"""KTO: its losses are TRL's, answers meet other prompts, the reference is where it began, one label is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import KTOConfig, KTOTrainer

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import DataProblem
from pipeline.events import EvaluationFinished, StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.length_groups import LengthGroupedSampler
from pipeline.methods.arguments import shared_arguments
from pipeline.methods.kto import MismatchingCollator, UnpairedTrainer, build_trainer, training_arguments
from pipeline.model_manager import LoadedModel, ModelManager
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, build_tiny_multimodal, write_jsonl

Row = dict[str, Any]
BATCH = 4


def marked_rows(count: int) -> list[Row]:
    """Questions with right and wrong answers of different lengths, no two of them the same."""
    return [
        {
            "prompt": f"How many carats has the {STONES[index % len(STONES)]} of box {index}?",
            "completion": f"It has {index % 7} carats" + " exactly" * (index % 5) + ".",
            "label": index % 3 != 0,
        }
        for index in range(count)
    ]


def pairs(count: int) -> list[Row]:
    return [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": "I do not know" + " at all" * (index % 3)}
        for index, row in enumerate(marked_rows(count))
    ]


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "marked.jsonl", marked_rows(24))


@pytest.fixture
def make_kto(make_config: MakeConfig, marked: Path) -> MakeConfig:
    """Makes a document of a KTO run without evaluation; keyword arguments are sections put over it."""

    def make(**sections: Any) -> FineTuneJobConfig:
        dataset = {"path": str(marked), "eval_share": 0, **sections.pop("dataset", {})}
        method = {"kind": "kto", **sections.pop("method", {})}
        training = {
            "per_device_batch_size": BATCH,
            "save_strategy": "no",
            "learning_rate": 0.01,
            **sections.pop("training", {}),
        }
        return make_config(dataset=dataset, method=method, training=training, **sections)

    return make


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> UnpairedTrainer:
    loaded, data = prepare(config, tracker)
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def logged(trainer: KTOTrainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def epochs_in_order(trainer: KTOTrainer, count: int) -> list[tuple[list[int], bool]]:
    """The token ids and labels of the rows as the first `count` epochs have them."""
    loader, rows = trainer.get_train_dataloader(), []
    for epoch in range(count):
        loader.set_epoch(epoch)
        for batch in loader:
            ids = [
                row[mask.bool()].tolist() for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
            ]
            rows += zip(ids, batch["label"].tolist(), strict=True)
    return rows


def trl_losses(model: Path, rows: list[Row], *, folder: Path, accumulation: int, max_length: int) -> KTOTrainer:
    """The script that one writes with TRL: conversations, PEFT's configuration, rows in their order."""
    set_seed(42)
    trainer = KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=KTOConfig(
            output_dir=str(folder),
            max_steps=8 // accumulation,
            learning_rate=0.01,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.01,
            optim="adamw_torch_fused",
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=accumulation,
            gradient_checkpointing=False,
            beta=0.3,
            desirable_weight=1.2,
            undesirable_weight=0.7,
            max_length=max_length,
            logging_steps=1,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            seed=42,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(("accumulation", "max_length"), [(1, 200), (2, 36)], ids=["whole", "cut and accumulated"])
@pytest.mark.parametrize("paired", [False, True], ids=["marked answers", "pairs"])
def test_losses_are_those_of_a_trl_script(
    make_kto: MakeConfig, tracker: JobTracker, tmp_path: Path, paired: bool, accumulation: int, max_length: int
) -> None:
    source = pairs(12) if paired else marked_rows(24)
    config = make_kto(
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", source))},
        method={"beta": 0.3, "desirable_weight": 1.2, "undesirable_weight": 0.7, "max_length": max_length},
        training={"max_steps": 8 // accumulation, "gradient_accumulation_steps": accumulation},
    )
    mine = ours(config, tracker)
    template = AutoTokenizer.from_pretrained(config.model.base_model)
    conversations = {}
    for row in source:
        answers = [(row["chosen"], True), (row["rejected"], False)] if paired else [(row["completion"], row["label"])]
        for answer, good in answers:
            turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": answer}]
            ids = template.apply_chat_template(turns)["input_ids"][:max_length]
            conversations[tuple(ids), good] = {"prompt": turns[:1], "completion": turns[1:], "label": good}
    # 24 rows in batches of 4: the ninth batch is the third of the second epoch.
    ordered = [conversations[tuple(ids), good] for ids, good in epochs_in_order(mine, 2)]
    mine.train()
    theirs = trl_losses(
        Path(config.model.base_model), ordered, folder=tmp_path, accumulation=accumulation, max_length=max_length
    )
    names = ["loss", "grad_norm", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins"]
    # Over several batches ours are averages over rows, and TRL's over batches.
    for name in names[: 3 if accumulation > 1 else None]:
        assert logged(mine, name) == pytest.approx(logged(theirs, name), abs=1e-4, rel=1e-4), name
    assert len(logged(mine, "loss")) == 8 // accumulation
    assert max(logged(mine, "kl")) > 0.01
    cut = [len(ids) for ids, _ in epochs_in_order(mine, 1)].count(max_length)
    assert (cut > 4) == (max_length == 36)


def test_each_prompt_meets_the_answer_of_another_row() -> None:
    collator = MismatchingCollator(pad_token_id=0, spare_answers=([7, 7], [8, 8]))
    rows = [{"prompt_ids": [n], "completion_ids": [n * 10] * n, "label": n != 2} for n in (1, 2, 3)]
    batch = collator(rows)
    assert batch["input_ids"].tolist() == [[1, 10, 0, 0], [2, 20, 20, 0], [3, 30, 30, 30]]
    assert batch["KL_input_ids"].tolist() == [[1, 30, 30, 30], [2, 10, 0, 0], [3, 20, 20, 0]]
    assert batch["KL_completion_mask"].tolist() == [[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 0]]
    assert batch["label"].tolist() == [True, False, True]


@pytest.mark.parametrize(("own", "other"), [([7, 7], [8, 8]), ([8, 8], [7, 7]), ([9], [7, 7])])
def test_last_row_alone_meets_an_answer_from_elsewhere(own: list[int], other: list[int]) -> None:
    collator = MismatchingCollator(pad_token_id=0, spare_answers=([7, 7], [8, 8]))
    batch = collator([{"prompt_ids": [1], "completion_ids": own, "label": True}])
    assert batch["KL_input_ids"].tolist() == [[1, *other]]


def test_rows_come_in_another_order_in_each_epoch(make_kto: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_kto(), tracker)
    both = epochs_in_order(trainer, 2)
    first, second = both[:24], both[24:]
    assert first != second
    assert sorted(first) == sorted(second)
    assert epochs_in_order(trainer, 1) == first


def test_batches_are_grouped_by_length_where_asked(make_kto: MakeConfig, tracker: JobTracker) -> None:
    grouped = ours(make_kto(training={"batching": "grouped"}), tracker)
    sampler = grouped._get_train_sampler()
    assert isinstance(sampler, LengthGroupedSampler)
    assert sampler.batch_size == BATCH
    lengths = [[len(ids) for ids, _ in epochs_in_order(trainer, 1)] for trainer in (grouped, ours(make_kto(), tracker))]
    spread = [sum(max(part) - min(part) for part in zip(*[iter(one)] * BATCH, strict=True)) for one in lengths]
    assert spread[0] < spread[1] / 3


@pytest.mark.parametrize("label", [True, False])
def test_one_label_is_refused(make_kto: MakeConfig, tracker: JobTracker, tmp_path: Path, label: bool) -> None:
    rows = [{**row, "label": label} for row in marked_rows(9)]
    config = make_kto(dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows))})
    seen = "All 9 answers to train on are marked good" if label else "All 9 answers to train on are marked bad"
    with pytest.raises(DataProblem, match=f"{seen}, and KTO learns from the contrast of good and bad ones. Add"):
        ours(config, tracker)


def test_adapter_is_its_own_reference(make_kto: MakeConfig, tracker: JobTracker, tiny_gemma: Path) -> None:
    """Before the first update nothing has moved, and after it the reference still answers like the base model."""
    trainer = ours(make_kto(training={"max_steps": 3}), tracker)
    assert trainer.ref_model is None
    trainer.train()
    assert isinstance(trainer.model, PeftModel)
    assert list(trainer.model.peft_config) == ["default"]
    assert not [name for name, _ in trainer.model.named_parameters() if ".ref." in name]
    assert [logged(trainer, name)[0] for name in ("kl", "rewards/chosen")] == pytest.approx([0, 0], abs=1e-5)
    assert abs(logged(trainer, "rewards/chosen")[-1]) > 1e-3
    batch = next(iter(trainer.get_eval_dataloader(trainer.train_dataset)))
    answers, _ = trainer.compute_ref_log_probs(trainer.model, batch)
    base = AutoModelForCausalLM.from_pretrained(tiny_gemma, dtype=torch.float32)
    logps = base(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].log_softmax(-1)
    chosen = logps.gather(-1, batch["input_ids"][:, 1:, None])[..., 0] * batch["completion_mask"][:, 1:]
    torch.testing.assert_close(answers, chosen.sum(-1).detach(), atol=1e-4, rtol=1e-4)


def test_full_fine_tune_keeps_a_frozen_reference(make_kto: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_kto(tuning={"kind": "full"}, training={"max_steps": 3}), tracker)
    before = {name: value.clone() for name, value in trainer.ref_model.state_dict().items()}
    assert not any(parameter.requires_grad for parameter in trainer.ref_model.parameters())
    trainer.train()
    after = trainer.ref_model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    moved = trainer.model.state_dict()
    assert any(not torch.equal(moved[name], value) for name, value in before.items())
    assert logged(trainer, "rewards/chosen")[0] == pytest.approx(0, abs=1e-5)


def test_logged_values_weigh_rows_not_batches(make_kto: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_kto(dataset={"eval_share": 0.4}, training={"max_steps": 3, "eval_strategy": "no"}), tracker)
    trainer.train()
    seen = []
    for size in (2, 3, 10):
        trainer.args.per_device_eval_batch_size = size
        seen.append(trainer.evaluate())
    for name in ("eval_rewards/chosen", "eval_rewards/rejected", "eval_rewards/margins", "eval_logps/chosen"):
        assert [scores[name] for scores in seen] == pytest.approx([seen[0][name]] * 3, rel=1e-4), name
    assert seen[0]["eval_rewards/margins"] == pytest.approx(
        seen[0]["eval_rewards/chosen"] - seen[0]["eval_rewards/rejected"]
    )


def test_run_tells_rewards_and_divergence(make_kto: MakeConfig, tracker: JobTracker) -> None:
    config = make_kto(dataset={"eval_share": 0.3}, training={"max_steps": 4, "eval_strategy": "steps", "eval_steps": 2})
    FineTuneJob(config, tracker.run_dir, tracker).run()
    events, _ = tracker.run_dir.read_events()
    steps = [event.metrics for event in events if isinstance(event, StepLogged)]
    evaluations = [event.metrics for event in events if isinstance(event, EvaluationFinished)]
    assert len(steps) == 4
    assert all({"loss", "kl", "tokens_per_second", "num_tokens"} <= set(values) for values in steps)
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins"):
        assert any(name in values for values in steps), name
        assert [f"eval_{name}" in values for values in evaluations] == [True, True]
    assert ["eval_kl" in values and "eval_loss" in values for values in evaluations] == [True, True]


def test_what_is_saved_is_one_adapter_and_the_models_own_tokens(
    make_kto: MakeConfig, tracker: JobTracker, tiny_gemma: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_gemma), AutoTokenizer.from_pretrained(tiny_gemma)
    model.config.pad_token_id = model.generation_config.pad_token_id = None
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    config = make_kto(model={"base_model": str(base)}, export={"merged": True})
    FineTuneJob(config, tracker.run_dir, tracker).run()
    adapter = load_file(tracker.run_dir.artifact("adapter") / "adapter_model.safetensors")
    assert len(adapter) == 2 * 2 * 7  # two matrices for each of the seven layers of two blocks
    assert sorted(path.name for path in tracker.run_dir.artifact("adapter").iterdir() if path.is_dir()) == []
    merged = AutoModelForCausalLM.from_pretrained(tracker.run_dir.artifact("merged"))
    assert (merged.config.pad_token_id, merged.generation_config.pad_token_id) == (None, None)
    assert merged.generation_config.eos_token_id == model.generation_config.eos_token_id


def test_multimodal_model_learns_in_bf16(make_kto: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    base = build_tiny_multimodal(tmp_path / "model")
    config = make_kto(model={"base_model": str(base), "precision": "bf16"}, training={"max_steps": 6})
    trainer = ours(config, tracker)
    trainer.train()
    assert logged(trainer, "loss")[0] == pytest.approx(0.5, abs=0.01)
    assert logged(trainer, "rewards/margins")[-1] > 0.01


def test_resumed_run_has_the_values_of_an_unbroken_one(make_kto: MakeConfig, tracker: JobTracker) -> None:
    training = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4, "save_total_limit": 9}
    config = make_kto(training=training, tuning={"dropout": 0.2})
    unbroken, resumed = ours(config, tracker), ours(config, tracker)
    unbroken.train()
    resumed.train(resume_from_checkpoint=str(tracker.run_dir.checkpoints / "checkpoint-4"))
    for name in ("loss", "kl", "rewards/chosen", "num_tokens"):
        assert logged(resumed, name) == pytest.approx(logged(unbroken, name), rel=1e-6), name


def test_gradient_checkpointing_changes_no_loss(make_kto: MakeConfig, tracker: JobTracker) -> None:
    losses = []
    for on in (False, True):
        trainer = ours(make_kto(training={"gradient_checkpointing": on, "max_steps": 3}), tracker)
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("field", "value"), [("beta", 0.7), ("desirable_weight", 2.5), ("undesirable_weight", 0.4), ("max_length", 33)]
)
def test_field_of_the_method_reaches_the_trainer(
    make_kto: MakeConfig, tracker: JobTracker, field: str, value: float
) -> None:
    default, changed = (ours(make_kto(method=method), tracker) for method in ({}, {field: value}))
    assert getattr(changed.args, field) == value != getattr(default.args, field)


def test_fields_of_training_reach_the_trainer(make_kto: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    config = make_kto(training={"optimizer": "adafactor", "eval_strategy": "steps", "eval_steps": 3})
    loaded, _ = prepare(config, tracker)
    wanted = shared_arguments(config, loaded, output_dir=tmp_path, evaluate=True) | {"report_to": []}
    found = training_arguments(config, loaded, output_dir=tmp_path, max_length=64, evaluate=True)
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_dropout_of_the_adapter_is_kept(make_kto: MakeConfig, tracker: JobTracker) -> None:
    trainer = ours(make_kto(tuning={"dropout": 0.25}), tracker)
    rates = {module.p for module in trainer.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}
