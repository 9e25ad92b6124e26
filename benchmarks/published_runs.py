"""Fine-tuning runs of other tools whose memory was measured and published, each predicted by our trace of a step.

The runs are in tests/fixtures/published_memory. Each is traced as the job of ours that is nearest to it; where its
number formats or its loss are none of ours, the trace is given those; what no trace shows is added by arithmetic.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any, Literal
from unittest.mock import patch

import torch
import yaml
from peft import prepare_model_for_kbit_training
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from pipeline.chunked_loss import ChunkedLossOutput
from pipeline.estimate import hollow_model, step_trace
from pipeline.estimate.depth import trace_deep
from pipeline.estimate.device_memory import CONTEXT_BYTES, allocator_bytes
from pipeline.estimate.ledger import Peak
from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
from pipeline.estimate.step_trace import StepTrace, trace_step
from pipeline.methods import sft
from pipeline.validation import parse_job_config

FOLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "published_memory"
GIB = 1 << 30
# Of a batch that was sorted by length, the other rows are a little shorter and padded.
_PADDING = 8

Metric = Literal["allocated", "reserved", "device"]
"""Live tensors at their most; what PyTorch took from the device for them; all that the process took of it."""


class PublishedRun(BaseModel):
    """One published figure, and how the run was set up. Defaults are what most of them have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str = Field(description="Address of the page or file.")
    quote: str = Field(description="The figure as it is written there.")
    metric: Metric
    gib: float
    model: str = Field(description="Name of the file with the model's configuration.")
    model_settings: dict[str, Any] = Field({}, description="Of that configuration, where the tool's code differs.")
    tuning: Literal["lora", "full"] = "lora"
    rank: int = 8
    targets: str = "all-linear"
    dropout: float = 0.0
    variant: Literal["lora", "rslora", "dora"] = "lora"
    quantized: bool = Field(False, description="NF4 with constants that are quantized too.")
    rows: int
    tokens: int = Field(description="Of each row.")
    padded: bool = Field(False, description="Rows of a batch differ in length, so that attention needs a mask.")
    checkpointing: bool = False
    accumulation: int = 1
    autocast: bool = Field(False, description="Whether fp32 weights are computed with in bf16.")
    adapter: Literal["fp32", "bf16"] = "fp32"
    loss: Literal["whole", "kept", "chunked"] = Field(
        description="transformers' own loss; the same by a loop that keeps the logits until the next step; ours."
    )
    widened: bool = Field(False, description="Weights that are not quantized were put in fp32 by PEFT.")
    prepared: bool = Field(False, description="They were put in fp32 and back before the first step.")
    untied: bool = Field(False, description="Kept a head of its own where the model shares it with the embeddings.")
    offloaded: bool = Field(False, description="The inputs of the layers waited in the host's memory.")
    logit_bytes: float | None = Field(None, description="Bytes that the loss kept for a logit; None as traced.")
    moment_bytes: float | None = Field(None, description="Bytes of AdamW's moments a weight; None as traced.")
    known_error: float | None = Field(None, description="Share by which the prediction is known to be off.")
    known: str | None = Field(None, description="Why it is.")


@dataclass(frozen=True)
class Prediction:
    """Bytes: live tensors, what the allocator holds besides, and what lies outside of it. Zero where not measured."""

    tensors: int
    allocator: int
    context: int
    part: str
    by_purpose: Mapping[str, int]
    parameters: int
    trainable_parameters: int

    @property
    def gib(self) -> float:
        """What was to be measured, in GiB."""
        return (self.tensors + self.allocator + self.context) / GIB


def published_runs() -> list[PublishedRun]:
    """All runs of the collection."""
    documents = yaml.safe_load((FOLDER / "runs.yaml").read_text(encoding="utf-8"))
    return [PublishedRun(**document) for document in documents["runs"]]


def model_config_of(run: PublishedRun) -> PreTrainedConfig:
    """The configuration of the model that was tuned."""
    settings = json.loads((FOLDER / "models" / f"{run.model}.json").read_text(encoding="utf-8"))
    return AutoConfig.for_model(**settings | run.model_settings)


def predict(run: PublishedRun) -> Prediction:
    """What the run takes by our trace."""
    model_config = model_config_of(run)
    trace = _trace(run, model_config)
    peaks = {part: _corrected(peak, run, trace, model_config) for part, peak in trace.peaks.items() if part != "before"}
    if run.prepared:
        peaks["preparation"] = {"weights": _prepared_weights(peaks["loss"]["weights"], model_config)}
    part = max(peaks, key=lambda part: sum(peaks[part].values()))
    tensors = sum(peaks[part].values())
    return Prediction(
        tensors=tensors,
        allocator=0 if run.metric == "allocated" else allocator_bytes(tensors),
        context=CONTEXT_BYTES if run.metric == "device" else 0,
        part=part,
        by_purpose=peaks[part],
        parameters=trace.parameters,
        trainable_parameters=trace.trainable_parameters,
    )


def _trace(run: PublishedRun, model_config: PreTrainedConfig) -> StepTrace:
    config = parse_job_config(_document(run))
    rows = list(stand_in_rows("sft", 1, prompt=1, answer=run.tokens - 1))
    rows += stand_in_rows("sft", run.rows - 1, prompt=1, answer=run.tokens - 1 - _PADDING * run.padded)
    with _as_published(run):
        return trace_deep(
            model_config,
            lambda shorter, layers: trace_step(
                config,
                shorter,
                layers=layers,
                rows=rows,
                tokenizer=stand_in_tokenizer(),
                precision="bf16" if run.autocast else "fp32",
                max_length=run.tokens,
                on_gpu=True,
            ),
        )


def _document(run: PublishedRun) -> dict[str, Any]:
    full = {"kind": "full", "train_embeddings": True}
    lora = {
        "kind": "lora",
        "rank": run.rank,
        "target_modules": run.targets,
        "dropout": run.dropout,
        "variant": run.variant,
    }
    return {
        "model": {"base_model": f"published/{run.model}", "quantization": "4bit" if run.quantized else "none"},
        "dataset": {"path": "rows.jsonl"},
        "tuning": full if run.tuning == "full" else lora,
        "training": {
            "per_device_batch_size": run.rows,
            "gradient_accumulation_steps": run.accumulation,
            "gradient_checkpointing": run.checkpointing,
        },
    }


@contextmanager
def _as_published(run: PublishedRun) -> Iterator[None]:
    """Give the trace the number formats and the loss that no job of ours has."""
    choose_trainable = step_trace.choose_trainable

    def with_narrow_adapter(*args: Any, **kwargs: Any) -> Any:
        model = choose_trainable(*args, **kwargs)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.to(torch.bfloat16)
        return model

    def widen(model: PreTrainedModel) -> None:
        prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)

    with ExitStack() as stack:
        stack.enter_context(patch.object(step_trace, "weight_dtype_of", lambda *_: torch.bfloat16))
        if run.adapter == "bf16" and run.tuning == "lora":
            stack.enter_context(patch.object(step_trace, "choose_trainable", with_narrow_adapter))
        if run.widened:
            stack.enter_context(patch.object(hollow_model, "prepare_for_training", widen))
        if run.loss != "chunked":
            kept: list[torch.Tensor] | None = [] if run.loss == "kept" else None
            stack.enter_context(patch.object(sft, "use_chunked_loss", lambda model: _use_whole_logits(model, kept)))
        yield


def _use_whole_logits(model: PreTrainedModel, kept: list[torch.Tensor] | None) -> None:
    """Have the model compute all logits and its own loss. `kept`: a place in which the last logits stay alive."""
    whole = model.forward

    def forward(self: PreTrainedModel, *args: Any, **kwargs: Any) -> ChunkedLossOutput:
        output = whole(*args, **kwargs)
        if kept is not None:
            kept[:] = [output.logits]
        none = torch.zeros((), dtype=torch.int64)
        return ChunkedLossOutput(output.loss, output.loss.detach(), none, none)

    model.forward = MethodType(forward, model)
    model.accepts_loss_kwargs = True


def _corrected(peak: Peak, run: PublishedRun, trace: StepTrace, model_config: PreTrainedConfig) -> dict[str, int]:
    """The peak by purpose, with what our trainer does in another way exchanged."""
    text = model_config.get_text_config()
    held: dict[str, int] = dict(peak.by_purpose)
    if run.untied:
        held["weights"] += 2 * text.vocab_size * text.hidden_size
    if run.offloaded:
        inputs = 2 * run.rows * run.tokens * text.hidden_size * text.num_hidden_layers
        held["activations"] = max(0, held["activations"] - inputs)
    if run.logit_bytes is not None and held.get("logits"):
        held["logits"] = int(run.logit_bytes * run.rows * run.tokens * text.vocab_size)
    if run.moment_bytes is not None:
        held["optimizer"] = int(run.moment_bytes * trace.trainable_parameters)
    return held


def _prepared_weights(weights: int, model_config: PreTrainedConfig) -> int:
    """Bytes of the weights while PEFT's `prepare_model_for_kbit_training` makes those in 16 bits wider, one by one:
    embeddings and head in fp32, and the last of them in 16 bits too."""
    text = model_config.get_text_config()
    embeddings = 2 * text.vocab_size * text.hidden_size
    return weights + embeddings * (2 if text.tie_word_embeddings else 3)
