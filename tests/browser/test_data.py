"""Bringing data in as a new user would: fifteen shapes and more from a file to ready, and the Data page."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook
from playwright.sync_api import Page, expect

from tests.browser.fields import fill
from tests.server import StudioProcess

FIXTURES = Path(__file__).parents[1] / "fixtures" / "datasets"
MOST_CLICKS = 4
SHAPES = {
    "openai_messages.jsonl": "Conversations",
    "openai_messages-tools.jsonl": "Conversations",
    "openai_messages-json_text.csv": "Conversations",
    "sharegpt.json": "Conversations",
    "gemini.jsonl": "Conversations",
    "alpaca.json": "Prompt and completion",
    "dolly.jsonl": "Prompt and completion",
    "prompt_completion.jsonl": "Prompt and completion",
    "question_answer.csv": "Prompt and completion",
    "question_answer-tabs.tsv": "Prompt and completion",
    "squad.jsonl": "Prompt and completion",
    "text.jsonl": "Plain text",
    "preference.jsonl": "Preference pairs",
    "hh_rlhf.jsonl": "Preference pairs",
    "unpaired_preference.jsonl": "Answers marked good or bad",
    "prompt_only.jsonl": "Prompts for rewards",
}
# One of each kind on every run of the tests, all of them in .ci/run.
OFTEN = ("sharegpt.json", "question_answer.csv", "preference.jsonl")


def drop(page: Page, server: StudioProcess, file: Path) -> None:
    """From a fresh wizard: one click to the step, one for the file."""
    page.goto(f"{server.url}/new")
    page.evaluate("window.clicks = 0; addEventListener('click', () => window.clicks++, true)")
    page.locator("#continue-0").click()
    page.locator("#dataset-upload input[type=file]").set_input_files(str(file))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.slow) for name in SHAPES]
)
def test_public_shape_is_ready_without_mapping(page: Page, server: StudioProcess, name: str) -> None:
    drop(page, server, FIXTURES / name)
    expect(page.locator("#dataset-preview [data-ready]")).to_contain_text(SHAPES[name])
    expect(page.locator("#dataset-preview [data-ready]")).to_contain_text("100% sure")
    page.locator("#continue-1").click()
    assert page.evaluate("window.clicks") + 1 <= MOST_CLICKS
    expect(page.get_by_label("Learning rate")).to_be_visible()


def test_spreadsheet_is_ready(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    book = Workbook()
    for row in [("question", "answer"), *((f"What is {n} + 1?", n + 1) for n in range(12))]:
        book.active.append(row)
    book.save(tmp_path / "sums.xlsx")
    drop(page, server, tmp_path / "sums.xlsx")
    expect(page.locator("#dataset-preview [data-ready]")).to_contain_text("Prompt and completion")


def test_zip_of_images_with_a_table_is_ready(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    pictures = [file for file in (FIXTURES / "images").iterdir() if file.suffix == ".png"]
    with zipfile.ZipFile(tmp_path / "stones.zip", "w") as archive:
        lines = []
        for picture in pictures:
            archive.write(picture, picture.name)
            row = {"image": picture.name, "question": f"Which stone is {picture.stem}?", "answer": "An opal."}
            lines.append(json.dumps(row))
        archive.writestr("metadata.jsonl", "\n".join(lines))
    drop(page, server, tmp_path / "stones.zip")
    expect(page.locator("#dataset-preview [data-ready]")).to_be_visible()
    expect(page.locator("#dataset-preview")).to_contain_text("[image images/")


def test_data_set_is_found_looked_at_and_deleted(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "rare-stones.jsonl"
    rows = [{"prompt": f"Stone {n}?", "completion": f"Opal {n}."} for n in range(60)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "Bad?", "completion": None}]))
    page.goto(f"{server.url}/data")
    page.get_by_role("button", name="Bring in another").click()
    page.locator("#dataset-upload input[type=file]").set_input_files(str(file))
    page.wait_for_url(re.compile(r"/data\?id="))
    card = page.locator("#data-card")
    expect(card).to_contain_text("60 of 61")
    expect(card).to_contain_text("Row 61.")
    with page.expect_download() as download:
        card.get_by_role("link", name="Download the list of these rows").click()
    flagged = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
    assert 61 in {line["row"] for line in flagged}
    fill(page.get_by_label("Tags"), "stones, opal")
    page.locator("#save-description").click()
    expect(page.locator("#data-notice")).to_contain_text("Saved")
    page.goto(f"{server.url}/data")
    page.locator("#data-table tbody tr").first.wait_for()
    page.get_by_label("Search").press_sequentially("rare")
    expect(page.locator("#data-table tbody tr")).to_have_count(1)
    expect(page.locator("#data-table")).to_contain_text("opal")
    page.get_by_role("link", name="rare-stones").click()
    page.locator("#delete-dataset").click()
    expect(page.locator("#delete-question")).to_contain_text("No run has used it.")
    page.locator("#confirm-delete-dataset").click()
    page.wait_for_url(re.compile(r"/data$"))
    expect(page.locator("#data-table")).not_to_contain_text("rare-stones")
