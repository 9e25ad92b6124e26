"""A step of a run, once on hollow tensors and once for real."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.estimate.depth import trace_deep
from pipeline.estimate.ledger import Ledger, Peak, watched
from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
from pipeline.estimate.step_trace import StepTrace, trace_step
from pipeline.model_manager import LoadedModel, choose_trainable, task_of, weight_dtype_of
from pipeline.providers import provider_for
from pipeline.trainer import trainer_for

PROMPT, ANSWER = 8, 24
CPU = torch.device("cpu")


def rows_for(config: FineTuneJobConfig, *, batches: int = 1) -> Sequence[Any]:
    """Rows of one length for some batches."""
    count = config.training.per_device_batch_size * batches
    return stand_in_rows(config.method.kind, count, prompt=PROMPT, answer=ANSWER)


def traced(config: FineTuneJobConfig, *, on_gpu: bool = False, precision: Any = "fp32") -> StepTrace:
    """The step without weights and without computing."""
    return trace_deep(
        AutoConfig.from_pretrained(config.model.base_model),
        lambda shorter, layers: trace_step(
            config,
            shorter,
            rows=rows_for(config),
            tokenizer=stand_in_tokenizer(),
            precision=precision,
            max_length=PROMPT + ANSWER,
            layers=layers,
            on_gpu=on_gpu,
        ),
    )


def real_peak(config: FineTuneJobConfig, *, precision: Any = "fp32") -> Peak:
    """The most bytes of live tensors in two real steps."""
    steps = 2
    training = config.training.model_copy(
        update={"max_steps": steps, "eval_strategy": "no", "save_strategy": "no", "logging_steps": 1}
    )
    config = config.model_copy(update={"training": training})
    provider, task = provider_for("huggingface"), task_of(config, sees_images=False)
    ledger = Ledger()
    with watched(ledger), tempfile.TemporaryDirectory() as folder:
        base = provider.load_model(config.model, task=task, weight_dtype=weight_dtype_of(config, precision), device=CPU)
        model = choose_trainable(base, config, task=task, provider=provider)
        loaded = LoadedModel(
            model=model, tokenizer=stand_in_tokenizer(), precision=precision, device=CPU, context_length=2048
        )
        rows = rows_for(config, batches=config.training.gradient_accumulation_steps * steps)
        data = PreparedData(list(rows), [], PROMPT + ANSWER)
        with trainer_for(config, loaded, data=data, output_dir=Path(folder), callbacks=[]) as trainer:
            ledger.enter("steps")
            trainer.train()
    return ledger.peaks["steps"]
