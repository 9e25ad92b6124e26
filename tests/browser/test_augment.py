"""Making rows on the Data page: ten first, all of them, the review, and the next version."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fields import fill
from tests.endpoint_server import MODEL, EndpointServer
from tests.server import StudioProcess


def bring_in(page: Page, server: StudioProcess, file: Path) -> None:
    page.goto(f"{server.url}/data")
    page.get_by_role("button", name="Bring in another").click()
    page.locator("#dataset-upload input[type=file]").set_input_files(str(file))
    page.wait_for_url(re.compile(r"/data\?id="))


def write_rows(file: Path, count: int) -> Path:
    rows = [{"prompt": f"Which gem lies in drawer {n}?", "completion": f"An opal of {n} carats."} for n in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.slow
def test_typos_go_from_ten_to_a_new_version(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    bring_in(page, server, write_rows(tmp_path / "drawers.jsonl", 100))
    page.get_by_role("button", name="Add rows").click()
    status, make = page.locator("#augment-status"), page.locator("#augment-make")
    expect(make).to_be_disabled()
    page.locator("#augment-preview").click()
    expect(status.locator("[data-preview] tbody tr")).to_have_count(10)
    expect(status.locator("tbody del").first).to_be_visible()
    expect(status.locator("tbody ins").first).to_be_visible()
    expect(status).to_contain_text("25 rows at most")
    expect(status).to_contain_text("none, nothing is sent")
    expect(make).to_be_enabled()
    fill(page.get_by_label("Seed", exact=True), "7")
    expect(make).to_be_disabled()
    page.locator("#augment-preview").click()
    expect(make).to_be_enabled()
    make.click()
    expect(status).to_contain_text("25 rows made.")
    expect(page.locator("#review-table tbody tr")).to_have_count(20)
    expect(page.locator("#add-accepted")).to_be_disabled()
    page.locator("#review-next").click()
    expect(page.locator("#review-table tbody tr")).to_have_count(5)
    page.locator("#review-ticks").get_by_label("No. 21").check()
    page.locator("#reject-ticked").click()
    expect(page.locator("#review-place")).to_contain_text("24 wait, 0 accepted, 1 rejected")
    page.locator("#accept-all").click()
    expect(page.locator("#review-place")).to_contain_text("0 wait, 24 accepted, 1 rejected")
    page.reload()
    expect(page.locator("#review-place")).to_contain_text("0 wait, 24 accepted, 1 rejected")
    before = page.url
    page.get_by_role("button", name="Add the accepted rows (24)").click()
    page.wait_for_url(lambda url: "/data?id=" in url and url != before)
    card = page.locator("#data-card")
    expect(card).to_contain_text("124 of 124")
    expect(page.get_by_label("Description")).to_have_value("Version 1 with 24 rows added: 24 by slips of the keyboard.")


@pytest.mark.slow
def test_questions_about_a_document_through_an_endpoint(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    key = "sk-test-0123456789/abcdef"
    saved = page.request.put(f"{server.url}/api/secrets/LAPIDARY_ENDPOINT_KEY", data={"value": key})
    assert saved.ok, saved.text()
    guide = tmp_path / "guide.txt"
    guide.write_text("Quartz is hard. Talc is soft. Opal shines.", encoding="utf-8")
    bring_in(page, server, write_rows(tmp_path / "asked.jsonl", 20))
    page.get_by_role("button", name="Add rows").click()
    page.get_by_label("How rows are made").click()
    page.get_by_role("option", name="Questions about documents (asks a model)").click()
    notice = page.locator("#augment-status")
    page.locator("#augment-preview").click()
    for field in ("Base url", "Model", "Documents"):
        expect(notice).to_contain_text(f"{field} is required")
    page.locator("#augment-upload input[type=file]").set_input_files(str(guide))
    expect(page.locator("#augment-documents textarea")).to_have_value(re.compile(r"guide\.txt$"))
    with EndpointServer(key=key) as endpoint:
        fill(page.locator("#field-augment-endpoint-base-url").get_by_role("textbox"), endpoint.base_url)
        fill(page.locator("#field-augment-endpoint-model").get_by_role("textbox"), "nobody")
        page.locator("#augment-preview").click()
        expect(notice).to_contain_text("No rows can be made")
        expect(page.locator("#augment-make")).to_be_disabled()
        fill(page.locator("#field-augment-endpoint-model").get_by_role("textbox"), MODEL)
        page.locator("#augment-preview").click()
        expect(notice.locator("[data-preview] tbody tr")).to_have_count(3)
        expect(notice).to_contain_text("less than a minute at 60 requests a minute")
        expect(notice).to_contain_text("Quartz is hard. Talc is soft. Opal shines.")
        page.locator("#augment-make").click()
        expect(page.locator("#review-table tbody tr")).to_have_count(3)
    expect(page.locator("#review-table")).to_contain_text("guide.txt")
    expect(notice).to_contain_text("Used: 1 request, ")
