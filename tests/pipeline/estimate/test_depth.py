"""Traces of few layers, extended, against traces of the whole model."""

from typing import Any

import pytest
from transformers import AutoConfig, PreTrainedConfig

from pipeline.estimate.depth import trace_deep, with_layers
from pipeline.estimate.stand_ins import stand_in_rows, stand_in_tokenizer
from pipeline.estimate.step_trace import StepTrace, trace_step
from pipeline.validation import parse_job_config

SHAPE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
}
PATTERN = ["sliding_attention"] * 5 + ["full_attention"]
DEEP: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SHAPE, "num_hidden_layers": 14},
    "gemma3": {"model_type": "gemma3_text", **SHAPE, "num_hidden_layers": 22, "sliding_window": 8},
    # Its layers that see everything have heads of another width.
    "gemma4": {
        "model_type": "gemma4_text",
        **SHAPE,
        "num_hidden_layers": 18,
        "layer_types": PATTERN * 3,
        "global_head_dim": 32,
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": 512,
    },
    # One table has an embedding for each layer, and the last layers use keys and values of others.
    "gemma4 with embeddings for each layer": {
        "model_type": "gemma4_text",
        **SHAPE,
        "num_hidden_layers": 18,
        "layer_types": PATTERN * 3,
        "num_kv_shared_layers": 6,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 512,
    },
}


def config_of(**sections: Any) -> Any:
    training = {"per_device_batch_size": 2, **sections.pop("training", {})}
    return parse_job_config(
        {"model": {"base_model": "some/model"}, "dataset": {"path": "rows.jsonl"}, "training": training, **sections}
    )


@pytest.mark.parametrize(
    "name", ["llama", pytest.param("gemma3", marks=pytest.mark.slow), "gemma4", "gemma4 with embeddings for each layer"]
)
@pytest.mark.parametrize(
    "sections",
    [{}, {"tuning": {"kind": "full"}, "training": {"gradient_checkpointing": True}}],
    ids=["lora", "full, checkpointing"],
)
def test_extended_trace_is_that_of_the_whole_model(name: str, sections: dict[str, Any]) -> None:
    model_config, config = AutoConfig.for_model(**DEEP[name]), config_of(**sections)
    depths: list[int] = []

    def trace(shorter: PreTrainedConfig, layers: Any) -> StepTrace:
        depths.append(len(layers))
        return trace_step(
            config,
            shorter,
            rows=stand_in_rows("sft", 2, prompt=4, answer=28),
            tokenizer=stand_in_tokenizer(),
            precision="fp32",
            max_length=32,
            layers=layers,
        )

    extended = trace_deep(model_config, trace)
    assert max(depths) < 10
    whole = trace(model_config, range(model_config.num_hidden_layers))
    assert (extended.parameters, extended.trainable_parameters) == (whole.parameters, whole.trainable_parameters)
    assert extended.peak[1].total == pytest.approx(whole.peak[1].total, rel=0.002)
    assert flops(extended) == pytest.approx(flops(whole), rel=0.001)
    assert moved(extended) == pytest.approx(moved(whole), rel=0.01)


def flops(trace: StepTrace) -> int:
    return sum(operation.flops * count for counts in trace.operations.values() for operation, count in counts.items())


def moved(trace: StepTrace) -> int:
    return sum(operation.moved * count for counts in trace.operations.values() for operation, count in counts.items())


def test_shorter_configuration_keeps_what_belongs_to_each_layer() -> None:
    whole = AutoConfig.for_model(**DEEP["gemma4"])
    shorter = with_layers(whole, (0, 5, 17))
    assert shorter.layer_types == ["sliding_attention", "full_attention", "full_attention"]
    widths = [shorter.per_layer_config[layer].head_dim for layer in range(3)]
    assert widths == [16, 32, 32]
    assert whole.num_hidden_layers == 18


def test_model_of_few_layers_is_traced_whole() -> None:
    depths: list[int] = []
    model_config = AutoConfig.for_model(**{**DEEP["llama"], "num_hidden_layers": 3})

    def trace(shorter: PreTrainedConfig, layers: Any) -> StepTrace:
        depths.append(len(layers))
        return StepTrace(peaks={}, operations={}, batches=1, parameters=0, trainable_parameters=0)

    trace_deep(model_config, trace)
    assert depths == [3]
