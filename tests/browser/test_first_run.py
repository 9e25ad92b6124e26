"""From an empty studio to a tuned answer: in the browser, through the Gradio client, on the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client
from playwright.sync_api import Page, expect

from tests.browser.fields import fill
from tests.documents import DEMO_MODEL, DEMO_TEST, DEMO_TRAIN
from tests.server import StudioProcess

RUN_MS = 240_000
ANSWER_MS = 60_000
HELD_OUT = json.loads(DEMO_TEST.read_text(encoding="utf-8").splitlines()[0])["messages"]
QUESTION, EXPECTED = HELD_OUT[0]["content"], HELD_OUT[1]["content"]


def test_wizard_to_playground_in_the_browser(page: Page, server: StudioProcess) -> None:
    page.goto(server.url)
    expect(page.get_by_role("link", name="Fine-tune the demo")).to_be_visible()
    page.get_by_role("link", name="Start a new run").click()
    page.get_by_label("Base model").wait_for()
    page.locator("#continue-0").click()
    page.get_by_label("Data set", exact=True).click()
    page.get_by_role("option", name="gem-orders (demo)").click()
    expect(page.locator("#dataset-preview")).to_contain_text("Conversations (openai messages)")
    page.locator("#continue-1").click()
    expect(page.get_by_label("Learning rate")).to_have_value("0.003")
    page.locator("#continue-2").click()
    fill(page.locator("#field-name").get_by_role("textbox"), "first-model")
    page.locator("#continue-3").click()
    expect(page.locator("#preflight-findings")).to_contain_text("Ready to start")
    page.locator("#start-run").click()

    page.wait_for_url("**/run?job=*")
    expect(page.get_by_role("heading", name="first-model")).to_be_visible()
    expect(page.locator(".lap-badge")).to_have_text("completed", timeout=RUN_MS)
    losses = server.get(f"/api/jobs/{page.url.rsplit('=', 1)[1]}/metrics")["series"]["loss"]
    assert losses[-1][1] < losses[0][1] / 10
    expect(page.get_by_role("link", name="Download adapter")).to_be_visible()
    took = page.locator("dl").filter(has_text="Peak memory")
    expect(took).to_contain_text(re.compile(r"measured \d+ MB.*measured [\d.]+ s", re.DOTALL))
    answers = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="Expected"))
    expect(answers.get_by_role("row")).to_have_count(5)
    first = answers.get_by_role("row").nth(1).get_by_role("cell")
    expect(first.nth(2)).to_have_text(first.nth(1).inner_text())
    page.get_by_label("The model", exact=True).select_option("before training")
    expect(first.nth(2)).not_to_have_text(first.nth(1).inner_text())

    page.get_by_role("link", name="Try it in the playground").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(QUESTION)
    page.locator("#playground-ask").click()
    expect(page.locator("#answer-tuned textarea")).to_have_value(EXPECTED, timeout=ANSWER_MS)
    assert page.locator("#answer-base textarea").input_value() not in ("", EXPECTED)

    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("link", name="first-model is done")).to_be_visible()


@pytest.mark.slow
def test_same_through_the_gradio_client(server: StudioProcess) -> None:
    client = Client(server.url, verbose=False)
    assert client.predict(api_name="/health")["status"] == "healthy"
    document = {
        "name": "by-client",
        "model": {"base_model": str(DEMO_MODEL)},
        "dataset": {"path": str(DEMO_TRAIN), "eval_path": str(DEMO_TEST)},
        **_recommended(),
    }
    job_id = client.predict(document, api_name="/train")["job_id"]
    assert job_id in [job["job_id"] for job in client.predict(api_name="/jobs")["jobs"]]
    server.wait_for(job_id, "completed", seconds=RUN_MS / 1000)
    status = client.predict(job_id, api_name="/job_status")
    assert (status["state"], status["progress"]) == ("completed", 1.0)
    assert client.predict(job_id, QUESTION, "tuned", 160, 0.0, api_name="/generate") == EXPECTED
    assert client.predict(job_id, QUESTION, "base", 160, 0.0, api_name="/generate") != EXPECTED
    client.close()


@pytest.mark.slow
def test_same_on_the_command_line(tmp_path: Path) -> None:
    training = _recommended()["training"]
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "pipeline"]
    flags = [item for name, value in training.items() for item in (f"--{name.replace('_', '-')}", str(value))]
    files = ["--training-data-path", str(DEMO_TRAIN), "--eval-path", str(DEMO_TEST)]
    names = ["--base-model", str(DEMO_MODEL), "--output-model-name", "by-shell"]
    trained = subprocess.run(
        [*command, "train", *names, *files, *flags, "--output-dir", str(run_dir)],
        capture_output=True,
        text=True,
        timeout=RUN_MS / 1000,
        env=os.environ,
        cwd=Path(__file__).parents[2],
    )
    assert trained.returncode == 0, trained.stderr
    assert f"The adapter is in {run_dir / 'adapter'}" in trained.stderr
    answered = subprocess.run(
        [*command, "generate", "--run-dir", str(run_dir), "--prompt", QUESTION],
        capture_output=True,
        text=True,
        timeout=ANSWER_MS / 1000,
        env=os.environ,
        cwd=Path(__file__).parents[2],
    )
    assert answered.stdout.strip() == EXPECTED, answered.stderr


def _recommended() -> dict[str, dict[str, float]]:
    from studio.catalog import Catalog

    patch = Catalog(DEMO_MODEL.parents[1]).recommended(str(DEMO_MODEL))
    document: dict[str, dict[str, float]] = {}
    for path, value in patch.items():
        section, name = path.split(".")
        document.setdefault(section, {})[name] = value
    return {**document, "tuning": {"kind": "lora", **document["tuning"]}}  # type: ignore[dict-item]
