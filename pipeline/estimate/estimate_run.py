"""Estimates a run on devices: traces its steps, and makes memory and time of the traces."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from transformers import AutoConfig, PreTrainedConfig

from pipeline.config import FineTuneJobConfig
from pipeline.data.fetch import kind_of_source
from pipeline.data.integrity.lengths import percentile
from pipeline.estimate.depth import trace_deep
from pipeline.estimate.fit import fit
from pipeline.estimate.generation import generation_bytes
from pipeline.estimate.memory import memory_estimate
from pipeline.estimate.rates import Rates
from pipeline.estimate.run_rows import RunRows, choose_batches, encode_run_rows
from pipeline.estimate.run_time import RowCounts, time_estimate
from pipeline.estimate.stand_ins import stand_in_rows
from pipeline.estimate.step_trace import StepTrace, trace_step
from pipeline.estimates import Device, DeviceEstimate, Estimate, Fit, verdict
from pipeline.method_config import GrpoConfig
from pipeline.model_manager import LoadedModel, Precision, choose_precision
from pipeline.providers import provider_for
from pipeline.providers.loading_errors import explained
from pipeline.providers.model_source import located

# Rows that nobody has seen: a question and an answer of an assistant.
_ASSUMED_PROMPT, _ASSUMED_ANSWER = 128, 384
# A usual batch that is nearly as large as the heaviest takes as long.
_AS_LONG = 0.9
# Shares of the rows that stay whole when rows are cut to save memory, and where cutting ends.
_SHORTER, _SHORTEST = (0.99, 0.95, 0.9, 0.75), 64


@dataclass(frozen=True)
class _Traced:
    heaviest: StepTrace
    usual: StepTrace


def estimate_run(
    config: FineTuneJobConfig,
    devices: Sequence[Device],
    *,
    counts: RowCounts,
    imports: Path,
    measured_rates: Callable[[], Rates],
) -> Estimate:
    """What the run of `config` needs on each of `devices`. No weights are read, and no device is computed on.

    Raises:
        ModelUnavailable: the model's configuration or tokenizer cannot be had.
        DataProblem: the rows are here and cannot be used.
    """
    began = time.perf_counter()
    _resident()
    loaded, model_config = _without_weights(config)
    rows, assumptions = _rows(config, loaded, imports=imports)
    traces: dict[tuple[bool, Precision], _Traced] = {}
    found = []
    for device in devices:
        precision = _precision(config, device)
        key = (device.on_gpu, precision)
        if key not in traces:
            traces[key] = _trace(config, loaded, model_config, rows, precision=precision, on_gpu=device.on_gpu)
        found.append(_on_device(config, device, model_config, traces[key], rows, counts, precision, measured_rates))
    any_trace = next(iter(traces.values())).heaviest
    return Estimate(
        devices=found,
        parameters=any_trace.parameters,
        trainable_parameters=any_trace.trainable_parameters,
        layers=model_config.get_text_config().num_hidden_layers,
        rows_at_once=config.training.per_device_batch_size,
        longest_tokens=max(row.length for row in rows.heaviest),
        max_length=rows.max_length,
        seen_rows=0 if assumptions else len(rows.rows),
        assumptions=assumptions,
        traced_seconds=time.perf_counter() - began,
    )


def fit_run(
    config: FineTuneJobConfig,
    device: Device,
    *,
    counts: RowCounts,
    imports: Path,
    measured_rates: Callable[[], Rates],
    progress: Callable[[str], None],
) -> Fit:
    """The configuration nearest to `config` that fits `device`. Raises as `estimate_run` does."""
    loaded, model_config = _without_weights(config)
    encoded: dict[int | None, RunRows] = {}

    def rows_of(changed: FineTuneJobConfig) -> RunRows:
        # Only the limit changes what the rows are; the batch chooses among them.
        limit = changed.method.max_length
        if limit not in encoded:
            encoded[limit] = _rows(changed, loaded, imports=imports)[0]
        known = encoded[limit]
        return choose_batches(changed, known.rows, max_length=known.max_length)

    def estimate(changed: FineTuneJobConfig) -> DeviceEstimate:
        training = changed.training
        progress(
            f"Trying batches of {training.per_device_batch_size}, "
            f"{training.gradient_accumulation_steps} added up{_in_words(changed)}"
        )
        rows, precision = rows_of(changed), _precision(changed, device)
        traced = _trace(changed, loaded, model_config, rows, precision=precision, on_gpu=device.on_gpu)
        return _on_device(changed, device, model_config, traced, rows, counts, precision, measured_rates)

    def shorter() -> list[tuple[int, float]]:
        lengths = sorted(row.length for row in rows_of(config).rows)
        found = {}
        for share in _SHORTER:
            length = max(_SHORTEST, percentile(lengths, share))
            found[length] = sum(item > length for item in lengths) / len(lengths)
        return [(length, cut) for length, cut in found.items() if cut > 0]

    return fit(config, estimate, shorter=shorter)


def _in_words(config: FineTuneJobConfig) -> str:
    said = ", with checkpointing" if config.training.gradient_checkpointing else ""
    return said + (", in 4 bits" if config.model.quantization == "4bit" else "")


@cache
def _resident() -> int:
    """Memory of this process with all libraries of a run and no tensor: as it was at the first request."""
    return int(psutil.Process().memory_info().rss)


def _without_weights(config: FineTuneJobConfig) -> tuple[LoadedModel, PreTrainedConfig]:
    provider, source = provider_for("huggingface"), located(config.model)
    tokenizer = provider.load_tokenizer(config.model)
    with explained(config.model):
        model_config = AutoConfig.from_pretrained(
            source.base_model, revision=source.revision, trust_remote_code=source.trust_remote_code
        )
    loaded = LoadedModel(
        model=cast(Any, None),
        tokenizer=tokenizer,
        precision="fp32",
        device=torch.device("cpu"),
        context_length=model_config.get_text_config().max_position_embeddings,
    )
    return loaded, model_config


def _rows(config: FineTuneJobConfig, loaded: LoadedModel, *, imports: Path) -> tuple[RunRows, list[str]]:
    if kind_of_source(config.dataset.path) == "file":
        return encode_run_rows(config, loaded, imports=imports), []
    limit = config.method.max_length
    answer = _ASSUMED_ANSWER if limit is None else max(1, limit - _ASSUMED_PROMPT)
    answer = config.method.max_completion_length if isinstance(config.method, GrpoConfig) else answer
    size = config.training.per_device_batch_size
    rows = stand_in_rows(config.method.kind, size, prompt=_ASSUMED_PROMPT, answer=answer)
    length = _ASSUMED_PROMPT + answer
    said = f"The rows of {config.dataset.path} are not on this machine yet; rows of {length:,} tokens are assumed."
    return choose_batches(config, rows, max_length=length), [said]


def _precision(config: FineTuneJobConfig, device: Device) -> Precision:
    wanted = config.model.precision
    if not device.on_gpu:
        return choose_precision("fp32" if wanted == "fp16" else wanted, device=torch.device("cpu"))
    if wanted == "auto":
        return "bf16" if device.has_bf16 else "fp32"
    # As many bytes; processors do not compute in fp16.
    return "bf16" if wanted == "fp16" else wanted


def _trace(
    config: FineTuneJobConfig,
    loaded: LoadedModel,
    model_config: PreTrainedConfig,
    rows: RunRows,
    *,
    precision: Precision,
    on_gpu: bool,
) -> _Traced:
    # Which kernel computes attention is known by the device; what is installed here says nothing about it.
    attention = "eager" if config.model.attention == "eager" else "sdpa"
    traced = config.model_copy(update={"model": config.model.model_copy(update={"attention": attention})})

    def trace(batch: Sequence[Any], *, memory: bool) -> StepTrace:
        return trace_deep(
            model_config,
            lambda shorter, layers: trace_step(
                traced,
                shorter,
                rows=batch,
                tokenizer=loaded.tokenizer,
                processor=loaded.processor,
                precision=precision,
                max_length=rows.max_length,
                layers=layers,
                on_gpu=on_gpu,
            ),
            memory=memory,
        )

    heaviest = trace(rows.heaviest, memory=True)
    longest, usual = (max(row.length for row in batch) for batch in (rows.heaviest, rows.usual))
    return _Traced(heaviest, heaviest if usual >= longest * _AS_LONG else trace(rows.usual, memory=False))


def _on_device(
    config: FineTuneJobConfig,
    device: Device,
    model_config: PreTrainedConfig,
    traced: _Traced,
    rows: RunRows,
    counts: RowCounts,
    precision: Precision,
    measured_rates: Callable[[], Rates],
) -> DeviceEstimate:
    sampling = 0
    if isinstance(config.method, GrpoConfig):
        sampling = generation_bytes(
            model_config,
            traced.heaviest,
            sequences=config.training.per_device_batch_size,
            tokens=max(row.length for row in rows.heaviest) + config.method.max_completion_length,
            number_bytes=4 if precision == "fp32" else 2,
        )
    memory = memory_estimate(traced.heaviest, on_gpu=device.on_gpu, resident=_resident(), sampling=sampling)
    rates = device.rates if device.rates is not None else measured_rates()
    seconds = time_estimate(config, traced.usual, rates, rows=rows, counts=counts, precision=precision)
    return DeviceEstimate(
        name=device.name, free=device.free, memory=memory, time=seconds, verdict=verdict(memory, device.free)
    )
