"""What makes a run fit: it keeps the rows of a step, and proposes nothing that does not fit."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import FineTuneJobConfig
from pipeline.estimate.fit import fit
from pipeline.estimates import DeviceEstimate, Fit, MemoryEstimate, TimeEstimate, verdict
from pipeline.validation import parse_job_config

WEIGHTS, A_TOKEN = 1000, 1
LENGTHS = [(400, 0.01), (200, 0.05), (100, 0.1)]


def config_of(batch: int = 8, accumulation: int = 2, **sections: Any) -> FineTuneJobConfig:
    training = {"per_device_batch_size": batch, "gradient_accumulation_steps": accumulation}
    document = {"model": {"base_model": "some/model"}, "dataset": {"path": "rows.jsonl"}, "training": training}
    return parse_job_config({**document, **sections})


def estimate_on(free: int) -> Any:
    """A device on which memory rises with the batch, and checkpointing and 4 bits save what they save."""

    def estimate(config: FineTuneJobConfig) -> DeviceEstimate:
        training, bits = config.training, config.model.quantization
        length = config.method.max_length or 512
        activations = A_TOKEN * length * training.per_device_batch_size
        if training.gradient_checkpointing:
            activations //= 4
        total = (WEIGHTS if bits == "none" else WEIGHTS // 4) + activations
        memory = MemoryEstimate(
            by_purpose={"weights": total}, moment="now", allocator=0, context=0, low=total, high=total + total // 10
        )
        slower = 1.3 if training.gradient_checkpointing else 1.0
        seconds = slower * (1 + 0.1 * training.gradient_accumulation_steps)
        time = TimeEstimate(
            step_seconds=seconds,
            steps=1,
            train_seconds=seconds,
            evaluation_seconds=0,
            low=seconds,
            high=seconds,
            samples_per_second=1,
            tokens_per_second=1,
            tokens=1,
            rates="made up",
        )
        return DeviceEstimate(name="a device", free=free, memory=memory, time=time, verdict=verdict(memory, free))

    return estimate


def found(config: FineTuneJobConfig, free: int) -> Fit:
    return fit(config, estimate_on(free), shorter=lambda: LENGTHS)


def patched(config: FineTuneJobConfig, patch: dict[str, Any]) -> FineTuneJobConfig:
    document = config.model_dump(mode="json")
    for field, value in patch.items():
        section, name = field.split(".")
        document[section][name] = value
    return parse_job_config(document)


def test_run_that_fits_is_left_alone() -> None:
    assert found(config_of(), free=10_000).patch == {}


def test_smaller_batches_that_add_up_to_the_same_come_first() -> None:
    best = found(config_of(), free=3_500)
    assert best.patch == {"training.per_device_batch_size": 4, "training.gradient_accumulation_steps": 4}
    assert best.label == "Batches of 4, 4 added up"


def test_faster_of_two_that_change_nothing_is_taken() -> None:
    # One row at a time would fit as well, and takes longer than checkpointing with eight.
    best = found(config_of(batch=8, accumulation=8), free=2_230)
    assert best.patch == {"training.gradient_checkpointing": True}


def test_weights_are_quantized_only_when_nothing_else_helps() -> None:
    best = found(config_of(), free=1_000)
    assert best.patch is not None
    assert best.patch["model.quantization"] == "4bit"
    assert "method.max_length" not in best.patch


def test_rows_are_cut_last_and_the_share_is_told() -> None:
    best = found(config_of(batch=1, accumulation=1), free=390)
    assert best.patch is not None
    assert best.patch["method.max_length"] == 400
    assert "which cuts 1% of them" in best.label


def test_full_fine_tune_is_never_quantized() -> None:
    best = found(config_of(tuning={"kind": "full"}), free=500)
    assert best.patch is None
    assert all("model.quantization" not in step.patch for step in best.steps)


def test_answers_compared_in_kto_keep_company() -> None:
    best = found(config_of(method={"kind": "kto"}), free=1_200)
    assert all(step.patch.get("training.per_device_batch_size", 2) >= 2 for step in best.steps)


@settings(deadline=None)
@given(st.integers(1, 32), st.integers(1, 16), st.integers(100, 40_000))
def test_what_is_proposed_fits_and_keeps_the_rows_of_a_step(batch: int, accumulation: int, free: int) -> None:
    config = config_of(batch, accumulation)
    best = found(config, free)
    verdicts = {step.verdict for step in best.steps}
    if best.patch is None:
        assert verdicts == {"does_not_fit"}
        return
    mended = patched(config, best.patch)
    assert mended.training.rows_per_step == config.training.rows_per_step
    judged = estimate_on(free)(mended).verdict
    assert judged == ("fits" if "fits" in verdicts else "tight")
