"""Checks of the predicted memory against what is free."""

from pathlib import Path

import pytest

from pipeline.checks.machine import Gpu
from pipeline.estimates import Estimate, Fit, FitStep
from tests.documents import demo_document
from tests.estimates import DEVICE, judged
from tests.pipeline.checks.preflight import changed, findings_for, patched

GB = 10**9
PATCH = {"training.per_device_batch_size": 2, "training.gradient_accumulation_steps": 4}


def found_fit() -> Fit:
    tried = FitStep(label="Batches of 2, 4 added up", patch=PATCH, total=5 * GB, step_seconds=1.0, verdict="fits")
    return Fit(patch=PATCH, label=tried.label, steps=[tried])


def test_run_that_needs_more_than_is_free_is_refused_with_what_fits(tmp_path: Path) -> None:
    estimate = judged(9 * GB, high=10 * GB, free=6 * GB)
    finding = findings_for(demo_document(), tmp_path, estimate=estimate, fit=found_fit())["does_not_fit"]
    assert (finding.severity, finding.field) == ("error", "training.per_device_batch_size")
    assert "needs about 9.0 GB of memory" in finding.message
    assert f"{DEVICE} has 6.0 GB free" in finding.message
    assert "With batches of 2, 4 added up it takes 5.0 GB." in finding.message
    mended = patched(demo_document(), finding)
    assert mended["training"]["per_device_batch_size"] * mended["training"]["gradient_accumulation_steps"] == 8


def test_run_that_nothing_makes_fit_is_refused_with_another_cure(tmp_path: Path) -> None:
    estimate, nothing = judged(9 * GB, high=10 * GB, free=6 * GB), Fit(patch=None, label="Nothing", steps=[])
    finding = findings_for(demo_document(), tmp_path, estimate=estimate, fit=nothing)["does_not_fit"]
    assert finding.fixes == ()
    assert "choose a smaller model, or a device with more memory" in finding.message


def test_run_that_may_just_fit_is_a_warning(tmp_path: Path) -> None:
    finding = findings_for(demo_document(), tmp_path, estimate=judged(6 * GB, high=7 * GB, free=6 * GB + 1))
    assert finding["fits_tightly"].severity == "warning"
    assert "up to 7.0 GB are possible" in finding["fits_tightly"].message


def test_memory_that_others_take_is_a_warning(tmp_path: Path) -> None:
    gpu = Gpu(0, DEVICE, memory_total=24 * GB, memory_free=4 * GB, compute_capability=(8, 9))
    estimate = judged(9 * GB, high=10 * GB, free=4 * GB)
    finding = findings_for(demo_document(), tmp_path, estimate=estimate, gpus=(gpu,))["gpu_busy"]
    assert finding.severity == "warning"
    assert "Other processes take 20.0 GB of it. Wait until it is free" in finding.message


def test_reason_why_nothing_is_known_is_told(tmp_path: Path) -> None:
    finding = findings_for(demo_document(), tmp_path, estimate_problem="There is no network.")["not_estimated"]
    assert (finding.severity, finding.message) == ("info", "Memory and time are not known: There is no network.")


@pytest.mark.parametrize("estimate", [None, judged(5 * GB, high=6 * GB, free=6 * GB)])
def test_run_that_fits_or_was_not_estimated_is_passed_over(tmp_path: Path, estimate: Estimate | None) -> None:
    assert findings_for(demo_document(), tmp_path, estimate=estimate) == {}


def test_one_device_that_fits_is_enough(tmp_path: Path) -> None:
    small, large = (judged(9 * GB, high=10 * GB, free=free * GB, device=name) for free, name in ((6, "a"), (20, "b")))
    both = large.model_copy(update={"devices": [*small.devices, *large.devices]})
    assert findings_for(changed(), tmp_path, estimate=both) == {}
