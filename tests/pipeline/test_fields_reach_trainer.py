"""Every field of the job document changes something: no setting may be accepted and ignored."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedModel

from pipeline.config import FineTuneJobConfig, LoraConfig, ModelConfig
from pipeline.config_fields import config_fields
from pipeline.data_manager import DataManager, PreparedData
from pipeline.job_tracker import JobTracker
from pipeline.methods.sft import choose_batching, training_arguments
from pipeline.model_manager import LoadedModel, ModelManager
from pipeline.providers import Task, huggingface
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import chat_rows, write_jsonl


class RecordingProvider:
    """The real provider, with a note of the configuration it was given."""

    def __init__(self) -> None:
        self.config: ModelConfig | None = None

    def load_tokenizer(self, config: ModelConfig) -> Any:
        return huggingface.load_tokenizer(config)

    def load_model(
        self, config: ModelConfig, *, task: Task, weight_dtype: torch.dtype, device: torch.device
    ) -> PreTrainedModel:
        self.config = config
        return huggingface.load_model(config, task=task, weight_dtype=weight_dtype, device=device)

    def attach_lora(self, model: PreTrainedModel, config: LoraConfig, *, task: Task) -> PeftModel:
        return huggingface.attach_lora(model, config, task=task)

    def save_merged(self, model: PeftModel, folder: Path) -> None:
        huggingface.save_merged(model, folder)


@dataclass
class Bench:
    """What a run is made of, built from one job document."""

    config: FineTuneJobConfig
    tracker: JobTracker

    @property
    def arguments(self) -> Any:
        return training_arguments(
            self.config,
            self.loaded,
            output_dir=Path("out"),
            batching=choose_batching(self.config, attention="sdpa"),
            max_length=64,
            evaluate=True,
        )

    @property
    def loaded(self) -> LoadedModel:
        return ModelManager(self.config, self.tracker).load()

    @property
    def lora(self) -> Any:
        model = self.loaded.model
        assert isinstance(model, PeftModel)
        return model.peft_config["default"]

    @property
    def data(self) -> PreparedData:
        return DataManager(self.config, self.tracker).load(self.loaded)

    @property
    def given_to_provider(self) -> ModelConfig:
        provider = RecordingProvider()
        ModelManager(self.config, self.tracker, provider).load()
        assert provider.config is not None
        return provider.config


def argument(name: str) -> Callable[[Bench], Any]:
    return lambda bench: getattr(bench.arguments, name)


def adapter(name: str) -> Callable[[Bench], Any]:
    return lambda bench: getattr(bench.lora, name)


def trainable(bench: Bench) -> int:
    return sum(parameter.numel() for parameter in bench.loaded.model.parameters() if parameter.requires_grad)


# field: (another value, where it shows, what shows there; None: anything but what the default shows)
FIELDS: dict[str, tuple[Any, Callable[[Bench], Any], Any]] = {
    "name": ("other", argument("run_name"), "other"),
    "model.precision": ("bf16", lambda bench: bench.loaded.precision, "bf16"),
    "model.attention": ("eager", lambda bench: bench.loaded.attention, "eager"),
    "model.revision": ("v2", lambda bench: bench.given_to_provider.revision, "v2"),
    "model.trust_remote_code": (True, lambda bench: bench.given_to_provider.trust_remote_code, True),
    "dataset.eval_share": (0.5, lambda bench: len(bench.data.evaluation), 20),
    "dataset.eval_rows": (7, lambda bench: len(bench.data.evaluation), 7),
    "dataset.mapping": (
        {"format": "text", "text": [{"kind": "template", "template": "Talk: {messages}"}]},
        lambda bench: bench.data.train[0].input_ids,
        None,
    ),
    "dataset.max_rows": (5, lambda bench: len(bench.data.train), 4),
    "model.allow_pickle": (True, lambda bench: bench.given_to_provider.allow_pickle, True),
    "model.quantization": ("4bit", lambda bench: bench.given_to_provider.quantization, "4bit"),
    "tuning.variant": ("dora", adapter("use_dora"), True),
    "tuning.kind": ("full", lambda bench: isinstance(bench.loaded.model, PeftModel), False),
    "tuning.rank": (4, adapter("r"), 4),
    "tuning.alpha": (7, adapter("lora_alpha"), 7),
    "tuning.dropout": (0.25, adapter("lora_dropout"), 0.25),
    "tuning.target_modules": ("q_proj", adapter("target_modules"), {"q_proj"}),
    "method.train_on": ("all", lambda bench: sum(row.trained_tokens for row in bench.data.train), None),
    "method.max_length": (40, lambda bench: bench.data.max_length, 40),
    "training.epochs": (7.0, argument("num_train_epochs"), 7.0),
    "training.max_steps": (9, argument("max_steps"), 9),
    "training.learning_rate": (0.5, argument("learning_rate"), 0.5),
    "training.per_device_batch_size": (3, argument("per_device_train_batch_size"), 3),
    "training.gradient_accumulation_steps": (5, argument("gradient_accumulation_steps"), 5),
    "training.lr_scheduler": ("linear", argument("lr_scheduler_type"), "linear"),
    "training.warmup_ratio": (0.4, argument("warmup_steps"), 0.4),
    "training.weight_decay": (0.7, argument("weight_decay"), 0.7),
    "training.max_grad_norm": (2.5, argument("max_grad_norm"), 2.5),
    "training.optimizer": ("adafactor", argument("optim"), "adafactor"),
    "training.batching": ("packed", argument("packing"), True),
    "training.gradient_checkpointing": (True, argument("gradient_checkpointing"), True),
    "training.logging_steps": (6, argument("logging_steps"), 6),
    "training.eval_strategy": ("steps", argument("eval_strategy"), "steps"),
    "training.eval_steps": (13, argument("eval_steps"), 13),
    "training.save_strategy": ("steps", argument("save_strategy"), "steps"),
    "training.save_steps": (14, argument("save_steps"), 14),
    "training.save_total_limit": (4, argument("save_total_limit"), 4),
    "training.seed": (3, argument("seed"), 3),
}
# Tested where more than one setting has to change for them to show.
ELSEWHERE = {
    "model.base_model": "every test of a run",
    "model.provider": "providers/test_unsloth",
    "dataset.path": "every test of a run",
    "dataset.eval_path": "test_data_manager",
    "dataset.train_split": "test_data_manager",
    "dataset.eval_split": "test_data_manager",
    "dataset.split_column": "test_data_manager",
    "dataset.group_near_duplicates": "test_data_manager",
    "dataset.prompt_column": "here",
    "dataset.completion_column": "here",
    "tuning.train_embeddings": "here",
    "export.merged": "test_fine_tune_job",
    "export.formats": "test_export_routes",
    "export.quantizations": "test_export_routes",
    "export.destinations": "test_export_routes",
    "export.private": "test_export_routes",
    "evaluation.samples": "evaluation/test_samples",
    "evaluation.sample_tokens": "evaluation/test_samples",
    "evaluation.keep_best": "evaluation/test_early_stopping",
    "evaluation.early_stopping": "evaluation/test_early_stopping",
    "evaluation.score_rows": "evaluation/test_scoring",
    "evaluation.metrics": "evaluation/test_scoring",
    "tracking.wandb": "trackers/test_run_with_trackers",
    "tracking.wandb_offline": "trackers/test_wandb",
    "tracking.trackio": "trackers/test_run_with_trackers",
    "tracking.tensorboard": "trackers/test_run_with_trackers",
    "tracking.project": "trackers/test_wandb",
    "tracking.wait_seconds": "trackers/test_wandb",
}


def test_every_field_is_looked_at() -> None:
    looked_at = set(FIELDS) | set(ELSEWHERE)
    assert {flag.path for flag in config_fields() if flag.section != "method"} == {
        path for path in looked_at if not path.startswith("method.")
    }


@pytest.mark.parametrize("field", FIELDS)
def test_field_shows(field: str, make_config: MakeConfig, tracker: JobTracker) -> None:
    value, look, expected = FIELDS[field]
    section, _, leaf = field.rpartition(".")
    before = look(Bench(make_config(), tracker))
    after = look(Bench(make_config(**({section: {leaf: value}} if section else {leaf: value})), tracker))
    assert after != before
    if expected is not None:
        assert after == expected


def test_seed_reaches_the_data_order(make_config: MakeConfig, tracker: JobTracker) -> None:
    assert Bench(make_config(training={"seed": 3}), tracker).arguments.data_seed == 3


def test_evaluation_takes_the_batch_size_too(make_config: MakeConfig, tracker: JobTracker) -> None:
    assert Bench(make_config(training={"per_device_batch_size": 3}), tracker).arguments.per_device_eval_batch_size == 3


def test_train_embeddings_shows(make_config: MakeConfig, tracker: JobTracker) -> None:
    without, with_them = (
        trainable(Bench(make_config(tuning={"kind": "full", "train_embeddings": wanted}), tracker))
        for wanted in (False, True)
    )
    assert with_them - without > 0


def test_named_columns_show(make_config: MakeConfig, tracker: JobTracker, tmp_path: Path) -> None:
    turns = [row["messages"] for row in chat_rows(4)]
    path = write_jsonl(tmp_path / "rows.jsonl", [{"ask": t[0]["content"], "say": t[1]["content"]} for t in turns])
    columns = {"path": str(path), "prompt_column": "ask", "completion_column": "say"}
    tokenizer = AutoTokenizer.from_pretrained(make_config().model.base_model)
    text = tokenizer.decode(Bench(make_config(dataset=columns), tracker).data.train[0].input_ids)
    assert turns[0][0]["content"] in text or turns[1][0]["content"] in text
