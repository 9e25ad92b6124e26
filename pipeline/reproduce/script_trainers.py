"""The trainers of TRL that scripts use, and what of their own they put over them, by method."""

from dataclasses import dataclass

from pipeline.method_config import MethodKind
from pipeline.reproduce.script_code import MISMATCHING_COLLATOR


@dataclass(frozen=True)
class TrainerNames:
    """What a script imports for a method. `compares`: whether noise in the base would look like a changed answer."""

    trainer_class: str
    config_class: str
    lengths: str
    package: str = "trl"
    model_class: str = "AutoModelForCausalLM"
    compares: bool = True
    more_imports: tuple[str, ...] = ()
    ready: str = ""
    after_trainer: str = ""

    def own_class(self, batching: str) -> str:
        """The class that the script makes its trainer of."""
        return "RunTrainer" if self.ready or batching == "grouped" else self.trainer_class


_READY = """
    def _prepare_dataset(self, dataset, *args):
        # Rows of token ids are ready.
        return dataset if "prompt_ids" in dataset.column_names else super()._prepare_dataset(dataset, *args)
"""
_READY_ORPO = """
    def tokenize_row(self, feature, model=None):
        if "prompt_ids" not in feature:
            return super().tokenize_row(feature, model)
        # Rows of token ids need labels only.
        row, prompt = {}, feature["prompt_ids"]
        for side in ("chosen", "rejected"):
            answer = feature[f"{side}_ids"]
            row[f"{side}_input_ids"] = prompt + answer
            row[f"{side}_attention_mask"] = [1] * len(prompt + answer)
            row[f"{side}_labels"] = [-100] * len(prompt) + answer
        return row
"""
# TRL keeps to one order, because it makes its pairs once.
_RANDOM_ORDER = """
    def _get_train_sampler(self, train_dataset=None):
        return RandomSampler(self.train_dataset)
"""
_SPARE = """
# Two answers that differ, for a batch of a single row.
answers = trainer.train_dataset["completion_ids"][:]
other = next((answer for answer in answers if answer != answers[0]), answers[0])
trainer.data_collator = MismatchingCollator(pad_token_id=tokenizer.pad_token_id, max_length=arguments.max_length)
trainer.data_collator.spare_answers = (answers[0], other)
"""

NAMES: dict[MethodKind, TrainerNames] = {
    "sft": TrainerNames("SFTTrainer", "SFTConfig", 'len(row["input_ids"])', compares=False),
    "cpt": TrainerNames("SFTTrainer", "SFTConfig", 'len(row["input_ids"])', compares=False),
    "dpo": TrainerNames(
        "DPOTrainer",
        "DPOConfig",
        'len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))',
        ready=_READY,
    ),
    "orpo": TrainerNames(
        "ORPOTrainer",
        "ORPOConfig",
        'max(len(row["chosen_input_ids"]), len(row["rejected_input_ids"]))',
        package="trl.experimental.orpo",
        ready=_READY_ORPO,
    ),
    "kto": TrainerNames(
        "KTOTrainer",
        "KTOConfig",
        'len(row["prompt_ids"]) + len(row["completion_ids"])',
        more_imports=("from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference",),
        ready=_READY,
        after_trainer=_SPARE,
    ),
    "reward": TrainerNames(
        "RewardTrainer",
        "RewardConfig",
        'max(len(row["chosen_ids"]), len(row["rejected_ids"]))',
        model_class="AutoModelForSequenceClassification",
    ),
}


def trainer_class(kind: MethodKind, *, grouped: bool) -> list[str]:
    """The classes that a script puts over TRL's; none where TRL's own trainer does all that the run did."""
    names = NAMES[kind]
    if names.own_class("grouped" if grouped else "random") == names.trainer_class:
        return []
    body = names.ready
    if kind == "kto" and not grouped:
        body += _RANDOM_ORDER
    if grouped:
        body += f"""
    def _get_train_sampler(self, train_dataset=None):
        lengths = [{names.lengths} for row in self.train_dataset]
        return LengthGroups([min(length, self.args.max_length) for length in lengths], self.args.train_batch_size)
"""
    own = [f"class RunTrainer({names.trainer_class}):\n    {body.strip()}\n"]
    return own if kind != "kto" else [MISMATCHING_COLLATOR, *own]
