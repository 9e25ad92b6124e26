"""The studio's preflight: estimates from a real child, remembered, learned from, and asked before a run starts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.states import JobState
from pipeline.checks.machine import Gpu
from pipeline.estimate_history import ESTIMATE
from pipeline.preflight_view import preflight_view
from studio.preflight import PreflightFailed
from studio.preflight_request import preflight_of
from studio.service import Studio
from tests.documents import demo_document
from tests.services import open_studio, tick_until

OWNER = "ana"
DOCUMENTED = {"ok", "warnings", "errors", "estimated_vram_mb", "vram_breakdown", "time_per_step_ms", "throughput"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with pytest.MonkeyPatch.context() as patch:
        # Read before any test begins.
        patch.setenv("HF_HUB_OFFLINE", "1")
        with open_studio(tmp_path_factory.mktemp("studio")) as studio:
            yield studio


def on_gpu(studio: Studio, monkeypatch: pytest.MonkeyPatch, *, free: int, total: int) -> None:
    """A GPU that no machine of the tests has."""
    gpu = Gpu(0, "Tesla T4", total, free, (7, 5))
    monkeypatch.setattr(studio.facts, "_list_gpus", lambda: [gpu])


def test_answer_has_the_documented_shape_and_both_spellings(studio: Studio) -> None:
    shown = preflight_of(studio, demo_document(), owner=OWNER)
    assert set(shown) > DOCUMENTED
    assert (shown["ok"], shown["errors"]) == (True, [])
    breakdown = shown["vram_breakdown"]
    assert set(breakdown) == {
        *("model_params_gb", "activations_gb", "gradients_gb", "optimizer_gb", "total_with_buffer_gb"),
        *("model_gb", "total_gb"),
    }
    assert breakdown["model_params_gb"] == breakdown["model_gb"] > 0
    assert shown["estimated_vram_mb"] == pytest.approx(breakdown["total_with_buffer_gb"] * 1e9 / 2**20, abs=1)
    assert shown["throughput"]["tokens_per_second"] == shown["throughput"]["tokens_per_sec"] > 0
    assert shown["time_per_step_ms"] > 0
    assert shown["devices"][0]["verdict"] == "fits"


def test_second_question_is_answered_at_once(studio: Studio) -> None:
    first = studio.full_preflight(demo_document(), owner=OWNER)
    began = time.perf_counter()
    again = studio.full_preflight({**demo_document(), "name": "another-name"}, owner=OWNER)
    assert time.perf_counter() - began < 1
    assert again.estimate is not None
    assert first.estimate is not None
    assert again.estimate.traced_seconds == first.estimate.traced_seconds
    assert studio.preflight(demo_document(), owner=OWNER).estimate is not None


def test_other_gpu_can_be_asked_about(studio: Studio) -> None:
    shown = preflight_of(studio, {**demo_document(), "resources": {"gpu_type": "a100-80gb"}}, owner=OWNER)
    assert [device["name"] for device in shown["devices"]] == ["NVIDIA A100-SXM4-80GB"]
    assert shown["devices"][0]["time"]["rates"].startswith("from published figures")
    assert shown["devices"][0]["cost"] is None
    unknown = preflight_of(studio, {**demo_document(), "resources": {"gpu_type": "rtx-4091"}}, owner=OWNER)
    assert unknown["ok"] is False
    assert "Did you mean rtx-4090?" in unknown["errors"][0]


def test_document_that_is_no_job_is_an_answer_too(studio: Studio) -> None:
    shown = preflight_of(studio, {**demo_document(), "training": {"epochs": -1}}, owner=OWNER)
    assert (shown["ok"], shown["estimated_vram_mb"], shown["vram_breakdown"]) == (False, 0, {})
    assert shown["findings"][0]["field"] == "training.epochs"


@pytest.mark.slow
def test_run_that_does_not_fit_is_refused_and_mended_with_one_fix(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(studio, monkeypatch, free=640_000_000, total=640_000_000)
    document = demo_document(per_device_batch_size=64)
    with pytest.raises(PreflightFailed, match="would end without memory") as refused:
        studio.submit(document, owner=OWNER)
    finding = next(item for item in refused.value.findings if item.code == "does_not_fit")
    mended: dict[str, Any] = {**document, "training": dict(document["training"])}
    for field, value in finding.fixes[0].patch.items():
        section, name = field.split(".")
        mended[section] = {**mended.get(section, {}), name: value}
    checked = studio.full_preflight(mended, owner=OWNER)
    assert "does_not_fit" not in {item.code for item in checked.findings}
    assert checked.config.training.rows_per_step == 64


@pytest.mark.slow
def test_gpu_that_others_use_is_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu(studio, monkeypatch, free=600_000_000, total=16_000_000_000)
    codes = {item.code for item in studio.full_preflight(demo_document(per_device_batch_size=64), owner=OWNER).findings}
    assert "gpu_busy" in codes
    assert "does_not_fit" not in codes


def test_model_that_cannot_be_read_is_no_reason_to_fail(studio: Studio) -> None:
    document = {**demo_document(), "model": {"base_model": "nobody/has-this-model"}}
    checked = studio.full_preflight(document, owner=OWNER)
    assert checked.estimate is None
    assert "not_estimated" in {item.code for item in checked.findings}


def test_prediction_is_kept_with_the_run_and_compared_with_what_it_took(studio: Studio) -> None:
    document = demo_document(max_steps=4)
    assert studio.full_preflight(document, owner=OWNER).estimate is not None
    job = studio.submit(document, owner=OWNER)
    assert job.facts[ESTIMATE]["devices"][0]["name"] == "this computer"
    ended = tick_until(studio, job, JobState.COMPLETED)
    assert ended.facts["measured"]["step_seconds"] > 0
    history = studio.estimator.history("this computer")
    assert history.time is not None
    assert history.time.runs == 1
    shown = preflight_view(studio.full_preflight(document, owner=OWNER), None)
    # What one run took moves the next prediction towards it.
    assert shown["devices"][0]["time"]["correction"] != 1.0


@pytest.mark.slow
def test_price_of_the_machine_is_told(tmp_path: Path) -> None:
    with open_studio(tmp_path, space_flavor="cpu-upgrade") as studio:
        shown = preflight_of(studio, demo_document(), owner=OWNER)
    cost = shown["devices"][0]["cost"]
    hours = shown["devices"][0]["time"]["total_seconds"] / 3600
    assert cost["dollars"] == pytest.approx(0.03 * hours, abs=1e-4)
    assert "Hugging Face's price list of 2026-07-21" in cost["price_from"]
