"""A traced step takes the memory that the real step takes, with any method and tuning."""

from typing import Any

import pytest

from tests.pipeline.conftest import MakeConfig
from tests.pipeline.estimate.steps import real_peak, traced

# Token ids and counters are not all the same in both; nothing else differs.
TOLERANCE = 0.002
# The trace of a reward model holds the last layer's output until the loss is known, the real step not quite as long:
# one tensor, of which a model of two layers has few.
REWARD_TOLERANCE = 0.04
GRPO = {
    "kind": "grpo",
    "rewards": [{"kind": "regex", "pattern": "."}],
    "num_generations": 4,
    "max_completion_length": 24,
}


def sections(**changes: Any) -> dict[str, Any]:
    training = {"per_device_batch_size": 4, **changes.pop("training", {})}
    return {"training": training, **changes}


CASES: dict[str, dict[str, Any]] = {
    "lora": sections(),
    "full": sections(tuning={"kind": "full"}),
    "full, checkpointing": sections(tuning={"kind": "full"}, training={"gradient_checkpointing": True}),
    "accumulation": sections(training={"gradient_accumulation_steps": 3}),
    "checkpointing": sections(training={"gradient_checkpointing": True}),
    "dora": sections(tuning={"variant": "dora"}),
    "embeddings": sections(tuning={"train_embeddings": True}),
    "adafactor": sections(training={"optimizer": "adafactor"}, tuning={"kind": "full"}),
    "eager": sections(model={"attention": "eager"}),
    "4 bits": sections(model={"quantization": "4bit"}),
    "8 bits": sections(model={"quantization": "8bit"}),
    "continued": sections(method={"kind": "cpt"}),
    "dpo": sections(method={"kind": "dpo"}),
    "dpo, full": sections(method={"kind": "dpo"}, tuning={"kind": "full"}),
    "dpo, 4 bits": sections(method={"kind": "dpo"}, model={"quantization": "4bit"}),
    "orpo": sections(method={"kind": "orpo"}),
    "kto": sections(method={"kind": "kto"}),
    "reward": sections(method={"kind": "reward"}),
}
QUICK = ("lora", "full, checkpointing", "accumulation", "4 bits", "dpo", "kto")


@pytest.mark.parametrize(
    "case", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_traced_peak_is_the_real_one(make_config: MakeConfig, case: str) -> None:
    config = make_config(**CASES[case])
    tolerance = REWARD_TOLERANCE if case == "reward" else TOLERANCE
    assert traced(config).peak[1].total == pytest.approx(real_peak(config).total, rel=tolerance)


def test_traced_peak_in_bf16_is_the_real_one(make_config: MakeConfig) -> None:
    config = make_config(**sections(model={"precision": "bf16"}))
    predicted, real = traced(config, precision="bf16").peak[1], real_peak(config, precision="bf16")
    assert predicted.total == pytest.approx(real.total, rel=TOLERANCE)


def test_peak_is_told_by_purpose(make_config: MakeConfig) -> None:
    trace = traced(make_config(**sections(tuning={"rank": 4})))
    held = trace.peak[1].by_purpose
    assert sum(held.values()) == trace.peak[1].total
    # Weights in fp32, AdamW with two moments of each; gradients come and go.
    assert held["adapter"] == 4 * trace.trainable_parameters
    assert held["optimizer"] == 2 * held["adapter"]
    assert held["weights"] >= 4 * (trace.parameters - trace.trainable_parameters)
    assert trace.peaks["optimizer"].by_purpose["gradients"] == held["adapter"]


def test_answers_that_are_sampled_are_trained_on(make_config: MakeConfig) -> None:
    few = traced(make_config(**sections(method={**GRPO, "max_completion_length": 8})))
    many = traced(make_config(**sections(method=GRPO)))
    assert many.peak[1].by_purpose["activations"] > 1.5 * few.peak[1].by_purpose["activations"]


def test_gpu_keeps_no_table_of_attention(make_config: MakeConfig) -> None:
    long = sections(model={"attention": "eager"}, training={"per_device_batch_size": 16})
    eager = traced(make_config(**long), on_gpu=True, precision="bf16")
    fused = traced(make_config(**{**long, "model": {"attention": "sdpa"}}), on_gpu=True, precision="bf16")
    assert fused.peak[1].total < eager.peak[1].total
    kinds = {operation.kind for counts in fused.operations.values() for operation in counts}
    assert {"attention", "product", "movement"} <= kinds


def test_nothing_hollow_is_left_behind(make_config: MakeConfig) -> None:
    config = make_config(**sections(model={"quantization": "4bit"}))
    first = traced(config).peak[1].total
    assert real_peak(config).total == pytest.approx(first, rel=TOLERANCE)
    assert traced(config).peak[1].total == first
