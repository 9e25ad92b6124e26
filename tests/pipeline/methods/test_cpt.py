"""Continued pre-training: each token of a text is learned once, in pieces where it is long, with the losses of TRL."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, set_seed
from trl import SFTConfig, SFTTrainer

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example
from pipeline.data.integrity.lengths import UNCUT_LENGTH
from pipeline.data_manager import DataManager, PreparedData
from pipeline.events import DataLoaded, EvaluationFinished, RowDropped, WarningRaised
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.methods.cpt import Document, DocumentEncoder, build_trainer
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.row_encoder import IGNORED, RowEncoder
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import STONES, write_jsonl

BATCH = 4
BOS, FIRST_WORD = 2, 10


def texts(count: int) -> list[str]:
    """Texts of one to nine sentences, no two of them the same."""
    return [
        " ".join(
            f"In box {index} the {STONES[(index + part) % len(STONES)]} has {part} carats."
            for part in range(1 + index % 9)
        )
        for index in range(count)
    ]


@pytest.fixture
def make_cpt(make_config: MakeConfig, tmp_path: Path) -> MakeConfig:
    """Makes a document of a run on 30 texts without evaluation; keyword arguments are sections put over it."""
    path = write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in texts(30)])

    def make(**sections: Any) -> FineTuneJobConfig:
        dataset = {"path": str(path), "eval_share": 0, **sections.pop("dataset", {})}
        method = {"kind": "cpt", **sections.pop("method", {})}
        training = {"per_device_batch_size": BATCH, "save_strategy": "no", **sections.pop("training", {})}
        return make_config(dataset=dataset, method=method, training=training, **sections)

    return make


def prepare(config: FineTuneJobConfig, tracker: JobTracker) -> tuple[LoadedModel, PreparedData]:
    loaded = ModelManager(config, tracker).load()
    return loaded, DataManager(config, tracker).load(loaded)


def ours(config: FineTuneJobConfig, tracker: JobTracker) -> SFTTrainer:
    loaded, data = prepare(config, tracker)
    return build_trainer(config, loaded, data=data, output_dir=tracker.run_dir.checkpoints, callbacks=[])


def logged(trainer: SFTTrainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def learned(piece: Document) -> list[int]:
    """The tokens of a piece that a model predicts: a first one is never predicted."""
    pairs = zip(piece.input_ids[1:], piece.labels[1:], strict=True)
    return [token for token, label in pairs if label != IGNORED]


@given(st.integers(2, 400), st.integers(8, 60), st.booleans())
def test_pieces_teach_each_token_once(length: int, max_length: int, begins_with_bos: bool) -> None:
    ids = list(range(FIRST_WORD, FIRST_WORD + length))
    if begins_with_bos:
        ids[0] = BOS
    pieces = Document(1, ids, list(ids), begins_with_bos).cut(max_length)
    assert [token for piece in pieces for token in learned(piece)] == ids[1:]
    assert all(2 <= piece.length <= max_length for piece in pieces)
    assert sum(piece.trained_tokens for piece in pieces) == length - 1
    for piece in pieces:
        assert (piece.input_ids[0] == BOS) == begins_with_bos
        # What is read before a token is what stands before it in the text.
        text = [token for token in piece.input_ids if token != BOS]
        assert text == list(range(text[0], text[0] + len(text)))


def test_text_that_fits_stays_whole() -> None:
    document = Document(1, [BOS, 10, 11], [BOS, 10, 11], begins_with_bos=True)
    assert document.cut(8) == [document]


def test_text_of_one_token_is_dropped_with_the_reason(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.add_bos_token, tokenizer.eos_token = False, None
    dropped: list[RowDropped] = []
    encoder = DocumentEncoder(RowEncoder(tokenizer, train_on="all"))
    examples = [Example(4, text="a"), Example(5, text="agate"), Example(6, text="")]
    rows = encoder.encode(examples, on_dropped=dropped.append)
    assert [row.row for row in rows] == [5]
    assert not rows[0].begins_with_bos
    assert [(one.row, one.reason) for one in dropped] == [
        (number, "it is shorter than two tokens, so there is none to predict") for number in (4, 6)
    ]


@pytest.mark.parametrize("max_length", [None, 64])
def test_long_texts_are_read_in_pieces(
    make_cpt: MakeConfig,
    tracker: JobTracker,
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
    max_length: int | None,
) -> None:
    """Without a limit they are as long as the longest text or the model's context, which is 256 here."""
    long, short = " ".join(texts(60)), texts(1)[0]
    path = write_jsonl(tmp_path / "long.jsonl", [{"text": long}, {"text": short}])
    config = make_cpt(dataset={"path": str(path)}, method={"max_length": max_length})
    _, data = prepare(config, tracker)
    limit = 256 if max_length is None else max_length
    assert data.max_length == limit
    counts = [len(tokenizer(text)["input_ids"]) for text in (long, short)]
    assert counts[0] > 10 * limit
    assert {row.row for row in data.train} == {1, 2}
    assert sum(row.trained_tokens for row in data.train) == sum(counts)  # the end token added, the first not predicted
    assert max(row.length for row in data.train) == limit
    (event,) = [event for event in tracker.run_dir.read_events()[0] if isinstance(event, DataLoaded)]
    assert (event.truncated_rows, event.dropped_rows, event.train_rows) == (0, 0, len(data.train))
    assert not [event for event in tracker.run_dir.read_events()[0] if isinstance(event, WarningRaised)]


def test_limit_from_the_data_keeps_pieces_small(make_cpt: MakeConfig, tracker: JobTracker) -> None:
    """The longest text decides up to 2,048 tokens; nothing is lost by cutting longer ones there."""
    manager = DataManager(make_cpt(), tracker)
    assert manager._max_length([100, 9000], 131_072) == UNCUT_LENGTH
    assert manager._max_length([100, 700], 131_072) == 700
    assert manager._max_length([100, 9000], 512) == 512


def pieces_by_hand(text: str, tokenizer: PreTrainedTokenizerBase, size: int) -> list[dict[str, list[int]]]:
    """A text's pieces of `size` tokens, each after the first beginning with the begin token and the last one's end."""
    ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    pieces = [{"input_ids": ids[:size], "labels": ids[:size]}]
    position = size
    while position < len(ids):
        new = ids[position : position + size - 2]
        pieces.append(
            {"input_ids": [ids[0], ids[position - 1], *new], "labels": [-100, -100, *new]},
        )
        position += len(new)
    return pieces


def trl_losses(model: Path, rows: list[dict[str, list[int]]], folder: Path) -> SFTTrainer:
    """The script that one writes with TRL: tokenised pieces, PEFT's configuration, rows in their order."""
    set_seed(42)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder),
            max_steps=5,
            learning_rate=0.01,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.01,
            optim="adamw_torch_fused",
            per_device_train_batch_size=BATCH,
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            train_sampling_strategy="sequential",
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


@pytest.mark.parametrize("batching", ["grouped", "random"])
def test_losses_are_those_of_a_trl_script(
    make_cpt: MakeConfig, tracker: JobTracker, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, batching: str
) -> None:
    config = make_cpt(method={"max_length": 48}, training={"max_steps": 5, "batching": batching})
    mine = ours(config, tracker)
    by_hand = [piece for text in texts(30) for piece in pieces_by_hand(text, tokenizer, 48)]
    assert len(by_hand) > 50
    assert sorted(mine.train_dataset["input_ids"]) == sorted(piece["input_ids"] for piece in by_hand)
    known = {tuple(piece["input_ids"]): piece for piece in by_hand}
    loader = mine.get_train_dataloader()
    loader.set_epoch(0)
    order = [
        tuple(ids[mask.bool()].tolist())
        for batch in loader
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    mine.train()
    theirs = trl_losses(Path(config.model.base_model), [known[ids] for ids in order], tmp_path)
    assert len(logged(mine, "loss")) == 5
    assert logged(mine, "loss") == pytest.approx(logged(theirs, "loss"), abs=1e-4)
    assert logged(mine, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-3)


def test_packed_pieces_do_not_see_each_other(make_cpt: MakeConfig, tracker: JobTracker) -> None:
    """The loss over packed pieces is the loss over the same pieces one by one."""
    losses = []
    for batching in ("packed", "random"):
        config = make_cpt(
            method={"max_length": 60},
            training={"batching": batching, "per_device_batch_size": 200, "max_steps": 1},
        )
        trainer = ours(config, tracker)
        trainer.train()
        losses.append(logged(trainer, "loss")[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("wanted", [False, True])
def test_embeddings_learn_where_asked(make_cpt: MakeConfig, tracker: JobTracker, wanted: bool) -> None:
    trainer = ours(make_cpt(tuning={"kind": "full", "train_embeddings": wanted}), tracker)
    before = trainer.model.get_input_embeddings().weight.detach().clone()
    trainer.train()
    assert torch.equal(trainer.model.get_input_embeddings().weight, before) != wanted


def test_run_tells_the_perplexity_of_held_out_texts(make_cpt: MakeConfig, tracker: JobTracker) -> None:
    config = make_cpt(dataset={"eval_share": 0.2}, method={"max_length": 48}, training={"max_steps": 2})
    FineTuneJob(config, tracker.run_dir, tracker).run()
    evaluations = [event.metrics for event in tracker.run_dir.read_events()[0] if isinstance(event, EvaluationFinished)]
    assert evaluations
    assert evaluations[-1]["eval_perplexity"] == pytest.approx(math.exp(evaluations[-1]["eval_loss"]))
