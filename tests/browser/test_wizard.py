"""The wizard as people use it: drafts, mistakes, uploads, fixes, the keyboard."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server import StudioProcess

GOOD_ROW = '{"prompt": "Say hi", "completion": "Hi"}\n'


def open_dataset_step(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new")
    page.locator("#continue-0").click()
    page.get_by_label("Data set").wait_for()


def upload(page: Page, path: Path) -> None:
    page.locator("#dataset-upload input[type=file]").set_input_files(str(path))


def test_typed_values_survive_a_reload(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    epochs = page.get_by_label("Epochs")
    epochs.fill("2.5")
    epochs.blur()
    page.get_by_label("Learning rate").fill("0.001")
    with page.expect_response("**/gradio_api/**"):
        page.get_by_label("Learning rate").blur()
    page.wait_for_timeout(500)
    page.goto(f"{server.url}/new")
    expect(page.get_by_label("Epochs")).to_have_value("2.5")
    expect(page.get_by_label("Learning rate")).to_have_value("0.001")


def test_learning_rate_that_is_no_number_is_named_and_kept(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    page.get_by_label("Learning rate").fill("abc")
    page.locator("#continue-2").click()
    problem = page.locator("#wizard-problems [role=alert]")
    expect(problem).to_contain_text("Learning rate")
    expect(problem).to_contain_text("it was 'abc'")
    expect(page.get_by_label("Learning rate")).to_have_value("abc")
    expect(page.get_by_label("Epochs")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("photo.png", b"\x89PNG", "photo.png is a .png file. Give one of .jsonl, .json, .csv."),
        ("empty.jsonl", b"", "empty.jsonl has no rows"),
        ("broken.jsonl", GOOD_ROW.encode() * 2 + b"{oops\n", "Row 3 of broken.jsonl is not JSON"),
        ("page.csv", b"<html>\n<b>hi</b>\n", "The columns of page.csv were not recognised"),
    ],
)
def test_file_that_cannot_be_used_is_explained(
    page: Page, server: StudioProcess, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    open_dataset_step(page, server)
    upload(page, file)
    expect(page.locator("#dataset-preview [role=alert]")).to_contain_text(sentence)


def test_csv_with_unknown_columns_is_mapped_by_hand(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text("frage,antwort\nWie geht es?,Gut.\nWer bist du?,\n", encoding="utf-8")
    open_dataset_step(page, server)
    upload(page, file)
    expect(page.locator("#dataset-preview")).to_contain_text("were not recognised: frage, antwort")
    page.get_by_role("button", name="Columns and format").click()
    for label, column in (("Prompt column", "frage"), ("Completion column", "antwort")):
        page.get_by_label(label).fill(column)
        page.get_by_label(label).press("Enter")
    preview = page.locator("#dataset-preview")
    expect(preview).to_contain_text("Question and answer (frage → antwort)")
    expect(preview).to_contain_text("Row 2: antwort is empty")


def test_unknown_model_is_an_error_of_preflight(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Model").click()
    model = page.get_by_label("Base model")
    model.fill("not a model")
    model.press("Enter")
    for step in range(4):
        page.locator(f"#continue-{step}").click()
    expect(page.locator("#preflight-findings")).to_contain_text("'not a model' is neither a folder here nor a Hub id")
    expect(page.locator("#start-run")).to_be_disabled()


def test_one_click_mends_what_preflight_found(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    page.get_by_label("Epochs").fill("0.1")
    page.locator("#continue-2").click()
    page.locator("#continue-3").click()
    expect(page.locator("#preflight-findings")).to_contain_text("the rest is never seen")
    page.get_by_role("button", name="See every row").click()
    expect(page.locator("#preflight-findings")).to_contain_text("Ready to start")
    page.get_by_role("tab", name="Hyperparameters").click()
    expect(page.get_by_label("Epochs")).to_have_value("1")


def test_keyboard_alone_reaches_the_start(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    start = page.locator("#start-run")
    expect(start).to_be_enabled()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "start-run":
            break
    expect(start).to_be_focused()


@pytest.mark.parametrize("path", ["/", "/new", "/runs", "/run", "/playground", "/activity"])
def test_page_fits_a_phone(page: Page, server: StudioProcess, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.url + path)
    page.locator("h1, h2").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
