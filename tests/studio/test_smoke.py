"""Trials in a studio: one at a time, never beside a run, ended by hand, by time and by the kernel."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from db import jobs
from db.states import JobState
from pipeline.checks.machine import Gpu
from pipeline.config import FineTuneJobConfig
from pipeline.smoke_report import SmokeReport
from pipeline.validation import parse_job_config
from studio.scheduler import DeviceBusy
from studio.service import Studio
from studio.settings import Settings, prepare_home
from studio.smoke import Trial, TrialCancelled, Trials
from studio.ui.smoke_card import progress_card, report_card
from tests.documents import demo_document
from tests.services import open_studio, tick_until

OWNER = "ana"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "studio") as studio:
        yield studio


@pytest.fixture
def config() -> FineTuneJobConfig:
    return parse_job_config(demo_document(per_device_batch_size=4))


def wait_until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children() -> list[psutil.Process]:
    """The processes that try something for this one."""
    found = psutil.Process().children()
    return [child for child in found if child.is_running() and "smokebench" in child.cmdline()]


def begin(studio: Studio, config: FineTuneJobConfig) -> Trial:
    """A trial whose child has begun to work."""
    trial = studio.trials.start(config, owner=OWNER)
    wait_until(lambda: trial.progress.message.startswith("Trying"))
    return trial


def test_trial_of_the_demo_passes_and_is_remembered(studio: Studio, config: FineTuneJobConfig) -> None:
    report = studio.trials.run(config, owner=OWNER)
    assert report.passed and report.rows == 4
    assert studio.trials.report_for(config, owner=OWNER) == report
    assert studio.trials.report_for(config, owner="ben") is None
    other = parse_job_config(demo_document(per_device_batch_size=5))
    assert studio.trials.report_for(other, owner=OWNER) is None
    assert children() == [] and not studio.settings.smoke.exists()
    assert list(studio.settings.runs.iterdir()) == []


def test_second_trial_waits_and_a_cancelled_one_leaves_nothing(studio: Studio, config: FineTuneJobConfig) -> None:
    trial = begin(studio, config)
    with pytest.raises(DeviceBusy, match="Another trial"):
        studio.trials.start(config, owner="ben")
    assert not studio.trials.cancel(owner="ben")
    (child,) = children()
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    assert studio.trials.cancel(owner=OWNER)
    assert trial.done.wait(timeout=10)
    assert isinstance(trial.outcome, TrialCancelled)
    assert children() == [] and not studio.settings.smoke.exists()
    assert studio.trials.report_for(config, owner=OWNER) is None
    assert not studio.trials.cancel(owner=OWNER)


def test_run_waits_for_the_end_of_a_trial(studio: Studio, config: FineTuneJobConfig) -> None:
    begin(studio, config)
    job = studio.submit(demo_document(max_steps=1, epochs=1), owner=OWNER)
    studio.scheduler.tick()
    with studio.database.read() as session:
        assert jobs.get_job(session, job.id).state == JobState.QUEUED
    studio.trials.cancel(owner=OWNER)
    wait_until(lambda: not studio.settings.smoke.exists())
    wait_until(lambda: studio.trials.latest(owner=OWNER).done.is_set())  # type: ignore[union-attr]
    tick_until(studio, job, JobState.STARTING, JobState.RUNNING)
    with pytest.raises(DeviceBusy, match=r"A run is using .* Wait until it is done"):
        studio.trials.start(config, owner=OWNER)
    studio.cancel(job.id, owner=OWNER)
    tick_until(studio, job, JobState.CANCELLED)


def test_each_slot_is_lent_once_and_the_last_one_to_nobody(studio: Studio) -> None:
    studio.scheduler.gpus = [Gpu(0, "A", 10, 10, (9, 0)), Gpu(1, "B", 10, 10, (9, 0))]
    with studio.scheduler.lend_slot() as first, studio.scheduler.lend_slot() as second:
        assert (first, second) == (0, 1)
        with pytest.raises(DeviceBusy), studio.scheduler.lend_slot():
            raise AssertionError("there is no third slot")
    with studio.scheduler.lend_slot() as first:
        assert first == 0


def test_child_that_the_kernel_kills_ran_out_of_memory(studio: Studio, config: FineTuneJobConfig) -> None:
    trial = begin(studio, config)
    (child,) = children()
    child.send_signal(signal.SIGKILL)
    assert trial.done.wait(timeout=10)
    assert isinstance(trial.outcome, SmokeReport)
    (finding,) = trial.outcome.findings
    assert finding.code == "smoke_out_of_memory" and finding.fixes
    assert not studio.settings.smoke.exists()


def test_child_that_is_ended_from_outside_is_explained(studio: Studio, config: FineTuneJobConfig) -> None:
    trial = begin(studio, config)
    (child,) = children()
    child.send_signal(signal.SIGTERM)
    assert trial.done.wait(timeout=10)
    assert isinstance(trial.outcome, SmokeReport)
    (finding,) = trial.outcome.findings
    assert finding.code == "smoke_failed" and "SIGTERM" in finding.message


def test_trial_ends_when_its_time_is_over(studio: Studio, config: FineTuneJobConfig) -> None:
    settings = replace(studio.settings, smoke_seconds=0.5)
    trials = Trials(settings, studio.scheduler, dict(os.environ))
    report = trials.run(config, owner=OWNER)
    assert [finding.code for finding in report.findings] == ["smoke_timed_out"]
    assert children() == []


def test_keys_are_in_the_environment_of_the_child_only(studio: Studio, config: FineTuneJobConfig) -> None:
    value = "hf_" + "a1B2" * 8
    studio.keys.save_secret("HF_TOKEN", SecretStr(value), owner=OWNER)
    trial = begin(studio, config)
    (child,) = children()
    assert child.environ()["HF_TOKEN"] == value
    assert not any(value in part for part in child.cmdline())
    studio.trials.close()
    assert trial.done.is_set() and children() == []
    assert "HF_TOKEN" not in os.environ


def test_what_a_killed_studio_left_is_cleared(studio: Studio, config: FineTuneJobConfig) -> None:
    studio.settings.smoke.mkdir()
    (studio.settings.smoke / "old").write_text("left", encoding="utf-8")
    trial = begin(studio, config)
    assert not (studio.settings.smoke / "old").exists()
    studio.trials.cancel(owner=OWNER)
    assert trial.done.wait(timeout=10)


def test_limit_is_read_from_the_environment(tmp_path: Path) -> None:
    settings = Settings.from_environment({"LAPIDARY_HOME": str(tmp_path), "LAPIDARY_SMOKE_SECONDS": "90"})
    prepare_home(settings)
    assert settings.smoke_seconds == 90


def test_cards_show_numbers_and_escape_text(studio: Studio) -> None:
    passed = SmokeReport(
        findings=[], seconds=12.4, peak_memory=2_500_000_000, step_seconds=0.25, longest_tokens=1024, rows=8, loss=1.5
    )
    card = report_card(passed)
    for shown in ("went through", "8, of up to 1,024 tokens", "2.5 GB", "0.25 s", "1.5000", "12 s"):
        assert shown in card
    finding = {"code": "smoke_failed", "severity": "error", "field": "", "message": "<script>alert(1)</script>"}
    failed = report_card(SmokeReport.model_validate({"findings": [finding], "seconds": 1}))
    assert "&lt;script&gt;" in failed and "<script>" not in failed and "went through" not in failed
    progress = {"stage": "loading_model", "share": 0.1, "message": "Loading <b>"}
    shown = progress_card(Trial(OWNER, parse_job_config(demo_document())).progress.model_validate(progress))
    assert "Loading &lt;b&gt;" in shown and "value=10" in shown
