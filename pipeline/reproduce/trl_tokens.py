"""Whether TRL, preparing rows by itself, makes the token ids of them that a run trained on."""

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import maybe_apply_chat_template

from pipeline.config import FineTuneJobConfig
from pipeline.method_config import SftConfig
from pipeline.methods.orpo import ORPOTrainer
from pipeline.unpaired_rows import UnpairedRow

# What templates, tokenizers and tables raise for rows that they cannot take.
_CANNOT_PREPARE = (TemplateError, ValueError, TypeError, KeyError, RuntimeError)
_Check = Callable[[FineTuneJobConfig, Dataset, Sequence[Any], PreTrainedTokenizerBase, int], bool]


def makes_same_tokens(
    config: FineTuneJobConfig,
    readable: list[dict[str, Any]],
    rows: Sequence[Any],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> bool:
    """Whether TRL's trainer of the method makes `rows` of `readable`, with the settings that a script gives it."""
    try:
        return _CHECKS[config.method.kind](config, Dataset.from_list(readable), rows, tokenizer, max_length)
    except _CANNOT_PREPARE:
        return False


def _without_model(trainer_class: type, tokenizer: PreTrainedTokenizerBase) -> Any:
    """A trainer that was given no model: preparing rows needs none."""
    trainer = trainer_class.__new__(trainer_class)
    trainer._tokenizer = trainer.processing_class = tokenizer
    return trainer


def _supervised(
    config: FineTuneJobConfig, readable: Dataset, rows: Sequence[Any], tokenizer: PreTrainedTokenizerBase, length: int
) -> bool:
    answers_only = (
        isinstance(config.method, SftConfig)
        and config.method.train_on == "assistant"
        and "messages" in readable.column_names
    )
    trainer = _without_model(SFTTrainer, tokenizer)
    trainer.completion_only_loss = False
    marked = not answers_only or has_generation_markers(tokenizer.chat_template)
    trainer.chat_template = None if marked else get_training_chat_template(tokenizer)
    arguments = SFTConfig(**_QUIET, max_length=length, assistant_only_loss=answers_only)
    made = trainer._prepare_dataset(readable, tokenizer, arguments, False, None, "train")
    return made["input_ids"][:] == [row.input_ids for row in rows] and made["labels"][:] == [row.labels for row in rows]


def _pairs(
    config: FineTuneJobConfig, readable: Dataset, rows: Sequence[Any], tokenizer: PreTrainedTokenizerBase, length: int
) -> bool:
    arguments = DPOConfig(**_QUIET, max_length=length)
    made = _without_model(DPOTrainer, tokenizer)._prepare_dataset(readable, tokenizer, arguments, "train")
    if made["prompt_ids"][:] != [row.prompt_ids for row in rows]:
        return False
    # The collator cuts answers off.
    room = [length - len(row.prompt_ids) for row in rows]
    return all(
        [ids[:kept] for ids, kept in zip(made[f"{side}_ids"], room, strict=True)]
        == [getattr(row, f"{side}_ids") for row in rows]
        for side in ("chosen", "rejected")
    )


def _odds_ratio_pairs(
    config: FineTuneJobConfig, readable: Dataset, rows: Sequence[Any], tokenizer: PreTrainedTokenizerBase, length: int
) -> bool:
    trainer = _without_model(ORPOTrainer, tokenizer)
    trainer.is_encoder_decoder, trainer.max_length = False, length
    for written, row in zip(readable, rows, strict=True):
        made = trainer.tokenize_row(maybe_apply_chat_template(written, tokenizer))
        for side, answer in (("chosen", row.chosen_ids), ("rejected", row.rejected_ids)):
            ids, labels = row.prompt_ids + answer, [-100] * len(row.prompt_ids) + answer
            if (made[f"{side}_input_ids"], made[f"{side}_labels"]) != (ids, labels):
                return False
    return True


def _marked_answers(
    config: FineTuneJobConfig,
    readable: Dataset,
    rows: Sequence[UnpairedRow],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
) -> bool:
    trainer = _without_model(KTOTrainer, tokenizer)
    trainer.calculate_KL = False
    arguments = KTOConfig(**_QUIET, max_length=length)
    made = trainer._prepare_dataset(readable, tokenizer, arguments, "eval")
    prompts, answers = ([getattr(row, name) for row in rows] for name in ("prompt_ids", "answer_ids"))
    return made["prompt_ids"][:] == prompts and made["completion_ids"][:] == answers


def _scored_pairs(
    config: FineTuneJobConfig, readable: Dataset, rows: Sequence[Any], tokenizer: PreTrainedTokenizerBase, length: int
) -> bool:
    arguments = RewardConfig(**_QUIET, max_length=length)
    made = _without_model(RewardTrainer, tokenizer)._prepare_dataset(readable, tokenizer, arguments, "train")
    return all(
        made[f"{side}_ids"][:] == [row.prompt_ids + getattr(row, f"{side}_ids") for row in rows]
        for side in ("chosen", "rejected")
    )


_QUIET: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none", "dataset_num_proc": None}
_CHECKS: dict[str, _Check] = {
    "sft": _supervised,
    "cpt": _supervised,
    "dpo": _pairs,
    "orpo": _odds_ratio_pairs,
    "kto": _marked_answers,
    "reward": _scored_pairs,
}
