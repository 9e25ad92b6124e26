"""A step of a small model, done for real, over the sum of its operations: the ratio is what the sum leaves out."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, TrainerCallback

from pipeline.config import FineTuneJobConfig
from pipeline.data_manager import PreparedData
from pipeline.estimate.rates import Rates
from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
from pipeline.estimate.step_time import step_seconds
from pipeline.estimate.step_trace import trace_step
from pipeline.model_manager import LoadedModel, choose_precision, choose_trainable, weight_dtype_of
from pipeline.providers import provider_for
from pipeline.trainer import trainer_for

_ROWS, _PROMPT, _ANSWER = 8, 32, 96
_STEPS = 4
_SHAPE: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 128,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


def summed_seconds(device: torch.device, rates: Rates) -> float:
    """Seconds of the step by `rates`: those of its operations."""
    trace = trace_step(
        _config(),
        Gemma3TextConfig(**_SHAPE),
        rows=stand_in_rows("sft", _ROWS, prompt=_PROMPT, answer=_ANSWER),
        tokenizer=stand_in_tokenizer(),
        precision=choose_precision("auto", device=device),
        max_length=_PROMPT + _ANSWER,
        layers=range(_SHAPE["num_hidden_layers"]),
        on_gpu=device.type == "cuda",
    )
    return step_seconds(trace, rates, accumulation=1)


def measured_seconds(device: torch.device) -> float:
    """Seconds of the step, the shortest of some: whatever else goes on can only make it longer."""
    config, precision = _config(), choose_precision("auto", device=device)
    base = Gemma3ForCausalLM(Gemma3TextConfig(**_SHAPE)).to(device, weight_dtype_of(config, precision))
    model = choose_trainable(base, config, task="causal_lm", provider=provider_for("huggingface"))
    loaded = LoadedModel(
        model=model,
        tokenizer=stand_in_tokenizer(),
        precision=precision,
        device=device,
        context_length=_SHAPE["max_position_embeddings"],
    )
    rows = stand_in_rows("sft", _ROWS * _STEPS, prompt=_PROMPT, answer=_ANSWER)
    clock = _Clock(device)
    with tempfile.TemporaryDirectory() as folder:
        data = PreparedData(list(rows), [], _PROMPT + _ANSWER)
        with trainer_for(config, loaded, data=data, output_dir=Path(folder), callbacks=[clock]) as trainer:
            trainer.train()
    return min(clock.seconds)


def _config() -> FineTuneJobConfig:
    training = {"per_device_batch_size": _ROWS, "max_steps": _STEPS, "eval_strategy": "no", "save_strategy": "no"}
    return FineTuneJobConfig.model_validate(
        {"model": {"base_model": "a/small-model"}, "dataset": {"path": "rows"}, "training": training}
    )


class _Clock(TrainerCallback):
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: list[float] = []
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        self.seconds.append(time.perf_counter() - self._began)
