"""A real run under the scheduler: what it measured reaches the database and the view, beside what was predicted."""

from pathlib import Path

from safetensors.torch import load_file

from db import estimates, jobs
from db.states import JobState
from pipeline.devices import THIS_COMPUTER
from pipeline.validation import parse_job_config
from studio.views import job_detail, job_view
from tests.documents import DEMO_MODEL, demo_document
from tests.estimates import estimate
from tests.services import open_studio, tick_until

STEPS = 5
# Of each weight in fp32: itself, its gradient, and AdamW's two moments.
BYTES_PER_WEIGHT = 16


def test_run_is_measured_and_compared(tmp_path: Path) -> None:
    device = THIS_COMPUTER
    predicted = estimate(device).model_dump(mode="json")
    training = {"max_steps": STEPS, "per_device_batch_size": 2}
    config = parse_job_config({**demo_document(**training), "tuning": {"kind": "full"}})
    with open_studio(tmp_path / "home") as studio:
        with studio.database.write() as session:
            job = jobs.create_job(session, config, owner="ana", facts={"estimate": predicted})
        ended = tick_until(studio, job, JobState.COMPLETED, JobState.FAILED, JobState.INTERRUPTED)
        assert ended.state == JobState.COMPLETED, ended.error_message
        with studio.database.read() as session:
            history = estimates.history_on(session, device)
        shown, detail = job_view(ended, studio.catalog), job_detail(ended, studio.catalog, [])
    resources = shown["resources"]
    assert resources["device"] == device
    weights = sum(tensor.numel() for tensor in load_file(DEMO_MODEL / "model.safetensors").values())
    assert BYTES_PER_WEIGHT * weights < resources["memory"]["measured"] < 4e9
    assert (resources["memory"]["of"], resources["memory"]["predicted"]) == ("process", 900)
    assert resources["step_seconds"]["predicted"] == 2.0
    assert ended.started_at is not None
    assert ended.finished_at is not None
    # All steps but the first two.
    wall = (ended.finished_at - ended.started_at).total_seconds()
    assert 0 < resources["step_seconds"]["measured"] * (STEPS - 2) / 2 < wall
    assert history.memory is not None
    assert history.time is not None
    assert history.memory.runs == history.time.runs == 1
    assert history.time.median_ratio == resources["step_seconds"]["measured"] / 2
    assert detail["estimate"] == predicted
    assert "estimate" not in shown["facts"]
