"""Suggested values are what their rules say, fit together, and make a document that a run accepts."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checks.combinations import combination_findings
from pipeline.checks.machine import Gpu
from pipeline.checks.schedule import times_seen, total_steps
from pipeline.config_fields import config_fields
from pipeline.hardware_specs import gpu_spec
from pipeline.learning_rules import epochs_for, held_out_rows, rank_for, rows_per_step
from pipeline.memory_rules import Accelerator, plan_weights, rows_at_once
from pipeline.method_config import MethodKind
from pipeline.smart_defaults import smart_defaults
from pipeline.suggestions import BaseModelFacts, Goal, RowFacts, SuggestedValue
from pipeline.validation import parse_job_config

GEMMA_4B = BaseModelFacts("Gemma 3 4B", 4.3e9, context_length=131_072, is_gemma=True)
GEMMA_1B = BaseModelFacts("Gemma 3 1B", 1.0e9, context_length=32_768, is_gemma=True)
METHODS: tuple[MethodKind, ...] = get_args(MethodKind)


def rows(count: int, **facts: Any) -> RowFacts:
    return RowFacts(**{"rows": count, "held_out": 0, "is_drawn": True, "have_answers": True, **facts})


def suggested(
    model: BaseModelFacts | None, data: RowFacts | None, gpu: Accelerator | None, goal: Goal | None = None
) -> dict[str, SuggestedValue]:
    return {value.field: value for value in smart_defaults(model, data, gpu, goal)}


def values_of(*facts: Any) -> dict[str, Any]:
    return {path: value.value for path, value in suggested(*facts).items()}


def document_with(values: dict[str, Any], goal: Goal) -> dict[str, Any]:
    method: dict[str, Any] = {"kind": goal.method}
    if goal.method == "grpo":
        method |= {"rewards": [{"kind": "length"}], "num_generations": goal.num_generations}
    document: dict[str, Any] = {
        "model": {"base_model": "google/gemma-3-4b-it"},
        "dataset": {"path": "rows.jsonl"},
        "tuning": {"kind": goal.tuning},
        "method": method,
    }
    for path, value in values.items():
        section, name = path.split(".")
        document.setdefault(section, {})[name] = value
    return document


@given(
    count=st.integers(1, 3_000_000),
    parameters=st.none() | st.floats(3e6, 1e11),
    memory=st.none() | st.integers(4, 180),
    method=st.sampled_from(METHODS),
    tuning=st.sampled_from(["lora", "full"]),
    longest=st.none() | st.integers(1, 200_000),
    generations=st.integers(2, 33),
    has_bf16=st.booleans(),
    is_gemma=st.booleans(),
)
def test_suggestions_make_a_document_that_a_run_accepts(
    count: int,
    parameters: float | None,
    memory: int | None,
    method: MethodKind,
    tuning: Any,
    longest: int | None,
    generations: int,
    has_bf16: bool,
    is_gemma: bool,
) -> None:
    goal = Goal(method, tuning, num_generations=generations)
    gpu = None if memory is None else Gpu(0, "GPU", memory << 30, memory << 30, (8, 0) if has_bf16 else (7, 5))
    model = BaseModelFacts("Model", parameters, context_length=8192, is_gemma=is_gemma)
    found = suggested(model, rows(count, longest=longest, p95=longest), gpu, goal)
    config = parse_job_config(document_with({path: value.value for path, value in found.items()}, goal))
    assert combination_findings(config) == []
    assert times_seen(config, max(1, count - round(count * config.dataset.eval_share))) >= 1
    assert all(value.reason.endswith(".") and len(value.reason) > 20 for value in found.values())
    assert set(found) <= {field.path for field in config_fields()}


@given(count=st.integers(20, 200_000), method=st.sampled_from(METHODS))
def test_intervals_end_before_the_run_does(count: int, method: MethodKind) -> None:
    goal = Goal(method)
    config = parse_job_config(document_with(values_of(GEMMA_1B, rows(count), gpu_spec("l4"), goal), goal))
    training = config.training
    steps = total_steps(config, count - round(count * config.dataset.eval_share))
    if training.eval_strategy == "steps":
        assert training.eval_steps * 2 <= steps
    if training.save_strategy == "steps":
        assert training.save_steps * 2 <= steps
    assert training.warmup_ratio * steps < steps / 2


@pytest.mark.parametrize(
    ("method", "count", "epochs", "word"),
    [
        ("sft", 100, 10, "few"),
        ("sft", 600, 5, "few"),
        ("sft", 5_000, 3, "usual"),
        ("sft", 12_000, 2, "many"),
        ("sft", 500_000, 1, "many"),
        ("cpt", 1_000, 4, "usual"),
        ("cpt", 100_000, 1, "many"),
        ("dpo", 500, 3, "few"),
        ("dpo", 60_000, 1, "usual"),
    ],
)
def test_epochs_follow_the_number_of_rows(method: MethodKind, count: int, epochs: int, word: str) -> None:
    chosen, reason = epochs_for(count, method)
    assert chosen == epochs
    assert f"{count:,}" in reason and word in reason


@pytest.mark.parametrize(("count", "together"), [(30, 4), (450, 8), (1_000, 16), (2_000, 32), (10**6, 32)])
def test_rows_of_an_update_follow_the_number_of_rows(count: int, together: int) -> None:
    assert rows_per_step(count)[0] == together


@pytest.mark.parametrize(
    ("count", "parameters", "rank"),
    [
        (500, 4e9, 8),
        (5_000, 4e9, 16),
        (50_000, 4e9, 32),
        (500_000, 4e9, 64),
        (5_000, 0.27e9, 32),
        (500_000, 0.27e9, 64),
    ],
)
def test_rank_follows_rows_and_size(count: int, parameters: float, rank: int) -> None:
    assert rank_for(count, "sft", parameters=parameters)[0] == rank
    assert rank_for(count, "grpo", parameters=parameters)[0] == 16


@pytest.mark.parametrize(("count", "held_out"), [(3, 0), (30, 6), (200, 20), (5_000, 250), (10**6, 1_000)])
def test_rows_held_out_are_enough_and_not_too_many(count: int, held_out: int) -> None:
    assert held_out_rows(count, "sft")[0] == held_out


@pytest.mark.parametrize(
    ("parameters", "gpu", "tuning", "quantization", "fits"),
    [
        (1.0e9, "t4", "lora", "none", True),
        (4.3e9, "t4", "lora", "none", True),
        (12.2e9, "rtx-4090", "lora", "4bit", True),
        (12.2e9, "a100-80gb", "lora", "none", True),
        (27.4e9, "l40s", "lora", "4bit", True),
        (70e9, "rtx-4090", "lora", "4bit", False),
        (1.0e9, "l4", "full", "none", True),
        (4.3e9, "l4", "full", "none", False),
    ],
)
def test_weights_are_rounded_where_whole_ones_leave_no_room(
    parameters: float, gpu: str, tuning: str, quantization: str, fits: bool
) -> None:
    plan = plan_weights(parameters, gpu_spec(gpu), tuning=tuning)
    assert (plan.quantization, plan.fits) == (quantization, fits)


def test_longer_rows_and_pairs_leave_room_for_fewer() -> None:
    plan = plan_weights(4.3e9, gpu_spec("l4"), tuning="lora")
    one = rows_at_once(4.3e9, plan, method="sft", row_tokens=None)
    assert rows_at_once(4.3e9, plan, method="dpo", row_tokens=None) == one // 2
    assert rows_at_once(4.3e9, plan, method="sft", row_tokens=4096) == one // 4
    assert rows_at_once(4.3e9, plan, method="sft", row_tokens=10**6) == 1


def test_full_fine_tune_that_does_not_fit_becomes_an_adapter() -> None:
    found = suggested(GEMMA_4B, rows(5_000), gpu_spec("l4"), Goal(tuning="full"))
    assert found["tuning.kind"].value == "lora"
    assert "64 of the NVIDIA L4's 24 GB" in found["tuning.kind"].reason
    assert found["training.learning_rate"].value == 2e-4
    assert found["model.quantization"].value == "none"


def test_model_that_is_too_large_even_in_four_bits_is_said_to_be() -> None:
    reason = suggested(BaseModelFacts("Large", 70e9), None, gpu_spec("rtx 4090"))["model.quantization"].reason
    assert "choose a smaller model or a larger GPU" in reason


@pytest.mark.parametrize(
    ("gpu", "model", "precision"),
    [("l4", GEMMA_4B, "bf16"), ("t4", GEMMA_4B, "fp32"), ("t4", BaseModelFacts("Qwen", 0.6e9), "fp16")],
)
def test_precision_is_what_hardware_and_model_can_do(gpu: str, model: BaseModelFacts, precision: str) -> None:
    assert values_of(model, None, gpu_spec(gpu))["model.precision"] == precision


def test_gradient_checkpointing_starts_above_a_billion_weights() -> None:
    field = "training.gradient_checkpointing"
    assert values_of(GEMMA_1B, None, gpu_spec("l4"))[field] is False
    assert values_of(GEMMA_4B, None, gpu_spec("l4"))[field] is True
    assert field not in values_of(GEMMA_4B, None, None)


@pytest.mark.parametrize(
    ("longest", "p95", "limit"), [(900, 400, 900), (9_000, 3_000, 3_008), (9_000, 100, 2_048), (10**6, 90_000, 32_768)]
)
def test_length_is_the_one_a_run_would_choose(longest: int, p95: int, limit: int) -> None:
    assert values_of(GEMMA_1B, rows(1_000, longest=longest, p95=p95), None)["method.max_length"] == limit


def test_length_is_left_open_where_no_tokens_were_counted() -> None:
    assert "method.max_length" not in values_of(GEMMA_1B, rows(1_000), gpu_spec("l4"))


def test_what_the_catalogue_recommends_goes_first_and_the_rest_follows_it() -> None:
    recommended = {"training.learning_rate": 0.003, "training.epochs": 2, "training.per_device_batch_size": 16}
    nano = BaseModelFacts("Gemma Nano", 3.6e6, recommended=recommended)
    found = suggested(nano, rows(900), None)
    assert {path: found[path].value for path in recommended} == recommended
    assert found["training.learning_rate"].reason == "Gemma Nano is known to learn well with it."
    assert found["training.gradient_accumulation_steps"].value == 1
    assert values_of(nano, rows(900), None, Goal("dpo"))["training.learning_rate"] == 1e-5


def test_split_that_the_source_has_is_left_alone() -> None:
    found = suggested(GEMMA_1B, rows(1_000, held_out=100, is_drawn=False), gpu_spec("l4"))
    assert "dataset.eval_share" not in found
    assert found["evaluation.score_rows"].value == 100
    assert "900 training rows" in found["training.epochs"].reason


def test_nothing_is_scored_where_there_are_no_answers() -> None:
    assert "evaluation.score_rows" not in values_of(GEMMA_1B, rows(1_000, have_answers=False), None)
    assert "evaluation.score_rows" not in values_of(GEMMA_1B, rows(1_000), None, Goal("reward"))


def test_nothing_is_said_about_what_is_not_known() -> None:
    assert list(suggested(None, None, None)) == ["training.learning_rate"]


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "fp16"), ((8, 6), "bf16"), (None, "fp16")])
def test_precision_on_this_machine_follows_what_its_driver_says(
    capability: tuple[int, int] | None, precision: str
) -> None:
    gpu = Gpu(0, "NVIDIA Prototype", 24 << 30, 23 << 30, capability)
    found = suggested(BaseModelFacts("Qwen", 0.6e9), None, gpu)
    assert found["model.precision"].value == precision
    assert "of the NVIDIA Prototype's 24 GB" in found["model.quantization"].reason
