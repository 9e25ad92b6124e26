"""The run page's exports: chosen, followed, compared and downloaded."""

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.documents import DEMO_MODEL, demo_document
from tests.pipeline.exporters.families import train_adapter
from tests.server import StudioProcess

EXPORT_MS = 180_000


@pytest.mark.slow
def test_result_is_merged_and_proven_on_the_run_s_page(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    status, job = server.post("/api/jobs", demo_document(max_steps=2, epochs=1))
    assert status == 201, job
    server.wait_for(job["job_id"], "completed")
    page.goto(f"{server.url}/run?job={job['job_id']}")
    expect(page.get_by_role("heading", name="Exports")).to_be_visible()
    formats = page.get_by_role("group", name="Number formats of the GGUF files")
    expect(formats).to_be_hidden()
    page.get_by_role("checkbox", name="GGUF for llama.cpp").check()
    expect(formats.get_by_role("checkbox", checked=True)).to_have_count(2)
    page.get_by_role("checkbox", name="GGUF for llama.cpp").uncheck()
    page.get_by_role("checkbox", name="Merged").uncheck()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("formats")
    page.get_by_role("checkbox", name="Merged").check()
    page.get_by_role("button", name="Export", exact=True).press("Enter")
    entry = page.get_by_role("region", name="Export: merged")
    expect(entry.locator(".lap-badge")).to_have_text("completed", timeout=EXPORT_MS)
    expect(page.get_by_role("alert")).to_have_count(0)
    row = entry.get_by_role("row", name="merged")
    expect(row.get_by_role("cell", name="✓ same")).to_have_count(4)
    entry.locator("summary", has_text="merged").press("Enter")
    with page.expect_download() as download:
        entry.get_by_role("link", name="Download merged as zip").click()
    download.value.save_as(tmp_path / "merged.zip")
    with zipfile.ZipFile(tmp_path / "merged.zip") as archive:
        assert "model.safetensors" in archive.namelist()
    entry.get_by_text("How to run it").click()
    expect(entry.get_by_text("vllm serve")).to_be_visible()
    page.get_by_text("As YAML, as a command, or as a script on TRL").click()
    expect(page.get_by_text("python -m pipeline train --name")).to_be_visible()
    expect(page.get_by_text("from trl import")).to_be_visible()


@pytest.mark.slow
def test_adapter_from_elsewhere_is_exported_on_the_page_of_runs(
    page: Page, server: StudioProcess, tmp_path: Path
) -> None:
    train_adapter(DEMO_MODEL, tmp_path / "theirs")
    page.goto(f"{server.url}/runs")
    page.get_by_text("Export an adapter from elsewhere").click()
    page.get_by_label("Folder of the adapter").fill(str(tmp_path / "nowhere"))
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is no folder here")
    page.get_by_label("Folder of the adapter").fill(str(tmp_path / "theirs"))
    page.get_by_label("Also send the proven files to").fill(str(tmp_path / "published"))
    page.get_by_role("button", name="Export", exact=True).click()
    entry = page.get_by_role("region", name="Export: merged")
    expect(entry.locator(".lap-badge")).to_have_text("completed", timeout=EXPORT_MS)
    expect(entry.get_by_text("theirs: merged")).to_be_visible()
    assert (tmp_path / "published" / "model.safetensors").exists()
