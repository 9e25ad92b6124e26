"""The wizard as people use it: drafts, mistakes, uploads, fixes, the keyboard."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fields import fill
from tests.server import StudioProcess

GOOD_ROW = '{"prompt": "Say hi", "completion": "Hi"}\n'


def open_dataset_step(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new")
    page.locator("#continue-0").click()
    page.get_by_label("Data set", exact=True).wait_for()


def upload(page: Page, path: Path) -> None:
    page.locator("#dataset-upload input[type=file]").set_input_files(str(path))


def test_typed_values_survive_a_reload(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    epochs = page.get_by_label("Epochs")
    fill(epochs, "2.5")
    epochs.blur()
    fill(page.get_by_label("Learning rate"), "0.001")
    with page.expect_response("**/gradio_api/**"):
        page.get_by_label("Learning rate").blur()
    page.wait_for_timeout(500)
    page.goto(f"{server.url}/new")
    expect(page.get_by_label("Epochs")).to_have_value("2.5")
    expect(page.get_by_label("Learning rate")).to_have_value("0.001")


def test_learning_rate_that_is_no_number_is_named_and_kept(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    fill(page.get_by_label("Learning rate"), "abc")
    page.locator("#continue-2").click()
    problem = page.locator("#wizard-problems [role=alert]")
    expect(problem).to_contain_text("Learning rate")
    expect(problem).to_contain_text("it was 'abc'")
    expect(page.get_by_label("Learning rate")).to_have_value("abc")
    expect(page.get_by_label("Epochs")).to_be_visible()


def test_missing_data_set_is_named_as_the_page_names_it(page: Page, server: StudioProcess) -> None:
    open_dataset_step(page, server)
    page.locator("#continue-1").click()
    expect(page.locator("#wizard-problems [role=alert]")).to_contain_text("Data set is empty. Give it a value.")


@pytest.mark.parametrize(
    ("name", "content", "place", "sentence"),
    [
        ("photo.png", b"\x89PNG", "#import-progress", "photo.png"),
        ("empty.jsonl", b"", "#import-progress", "empty.jsonl"),
        ("page.csv", b"<!doctype html><html>\n<b>hi</b>\n", "#import-progress", "page.csv"),
        ("broken.jsonl", GOOD_ROW.encode() * 2 + b"{oops\n", "#dataset-preview", "Row 3: not JSON"),
        ("numbers.csv", b"a,b,c\n1,2,5\n3,4,6\n", "#dataset-preview", "The columns of numbers were not recognised"),
    ],
)
def test_file_that_cannot_be_used_is_explained(
    page: Page, server: StudioProcess, tmp_path: Path, name: str, content: bytes, place: str, sentence: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    open_dataset_step(page, server)
    upload(page, file)
    expect(page.locator(place)).to_contain_text(sentence)


def test_csv_with_unknown_columns_is_mapped_by_hand(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text("nr,f,a\n1,Wie geht es?,Gut.\n2,Wer bist du?,\n", encoding="utf-8")
    open_dataset_step(page, server)
    upload(page, file)
    preview = page.locator("#dataset-preview")
    expect(preview).to_contain_text("faq")
    page.locator("#mapping-accordion button").first.click()
    fill(page.locator("#mapping-prompt textarea"), '{f} {"als": "json"}')
    fill(page.locator("#mapping-completion textarea"), "{a}")
    page.locator("#save-mapping").click()
    expect(page.locator("#mapping-notice")).to_contain_text("kept with the data set")
    expect(preview).to_contain_text("columns named by hand")
    expect(preview).to_contain_text('Wie geht es? {"als": "json"}')
    expect(preview).to_contain_text("1 of 2")


def test_pasted_rows_are_read(page: Page, server: StudioProcess) -> None:
    open_dataset_step(page, server)
    page.get_by_role("tab", name="Paste").click()
    fill(page.locator("#dataset-paste textarea"), GOOD_ROW)
    page.locator("#import-paste").click()
    expect(page.locator("#dataset-preview [data-ready]")).to_contain_text("Prompt and completion")


def test_row_is_shown_as_tokens(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Dataset").click()
    page.locator("#token-accordion button").first.click()
    page.locator("#show-tokens").click()
    tokens = page.locator("#dataset-tokens .lap-tokens")
    expect(tokens.locator("[data-special]").first).to_have_text("<bos>", timeout=30_000)
    assert "<end_of_turn>" in "".join(tokens.locator("[data-trained]").all_inner_texts())


def test_unknown_model_is_an_error_of_preflight(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Model").click()
    model = page.get_by_label("Base model")
    fill(model, "not a model")
    model.press("Enter")
    for step in range(4):
        page.locator(f"#continue-{step}").click()
    expect(page.locator("#preflight-findings")).to_contain_text("'not a model' is neither a folder here nor a Hub id")
    expect(page.locator("#start-run")).to_be_disabled()


def test_one_click_mends_what_preflight_found(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Hyperparameters").click()
    fill(page.get_by_label("Epochs"), "0.1")
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


@pytest.mark.parametrize("path", ["/", "/new", "/runs", "/run", "/data", "/playground", "/activity", "/settings"])
def test_page_fits_a_phone(page: Page, server: StudioProcess, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.url + path)
    page.locator("h1, h2").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_memory_and_time_are_told_before_the_start(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    # The start does not wait for it.
    expect(page.locator("#start-run")).to_be_enabled()
    card = page.locator(".lap-estimate")
    expect(card).to_contain_text("Fits", timeout=60_000)
    expect(card.get_by_role("img")).to_have_attribute("aria-label", re.compile("Weights .* MB, Adapter .* Activations"))
    expect(card).to_contain_text("380,928 of them trained")
    expect(card).to_contain_text("tokens a second")


@pytest.mark.slow
def test_longest_batch_is_tried_on_the_page(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("button", name="Try the longest batch").click()
    expect(page.locator("#smoke-result")).to_contain_text("92 tokens", timeout=90_000)
    expect(page.locator("#start-run")).to_be_enabled()


def test_exports_that_were_chosen_survive_a_reload(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    page.get_by_role("tab", name="Export").click()
    numbers = page.locator("#field-export-quantizations")
    expect(numbers).to_be_hidden()
    page.get_by_label("GGUF, for llama.cpp, Ollama and LM Studio").check()
    expect(numbers).to_be_visible()
    numbers.get_by_label("q4_k_m").check()
    places = page.get_by_label("Also send them to")
    fill(places, "hf://me/gems")
    with page.expect_response("**/gradio_api/**"):
        places.blur()
    page.wait_for_timeout(500)
    page.goto(f"{server.url}/new")
    expect(page.get_by_label("GGUF, for llama.cpp, Ollama and LM Studio")).to_be_checked()
    expect(numbers.get_by_label("q4_k_m")).to_be_checked()
    expect(page.get_by_label("Also send them to")).to_have_value("hf://me/gems")
