"""The run page's exports: chosen, followed, compared and downloaded."""

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.documents import demo_document
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
    page.get_by_role("checkbox", name="GGUF").check()
    expect(formats.get_by_role("checkbox", checked=True)).to_have_count(2)
    page.get_by_role("checkbox", name="GGUF").uncheck()
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
    with page.expect_download() as download:
        entry.get_by_role("link", name="Download merged").click()
    download.value.save_as(tmp_path / "merged.zip")
    with zipfile.ZipFile(tmp_path / "merged.zip") as archive:
        assert "model.safetensors" in archive.namelist()
