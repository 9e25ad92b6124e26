"""The Settings page in a real browser: a key is saved, replaced, refused and deleted, and never shown."""

import socket
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from db.database import Database
from studio.auth import LOCAL_OWNER, Authenticator
from studio.keys import Keys
from studio.secret_key import SecretKey
from studio.settings import Settings
from studio.ui.settings_page import build_settings_page, key_table
from tests.browser.fields import fill

VALUE = "hf_abcdefghijklmnop1234"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate()
    yield Keys(database, SecretKey.from_environment({}, home=tmp_path))
    database.close()


@pytest.fixture
def address(keys: Keys, tmp_path: Path) -> Iterator[str]:
    settings = Settings(home=tmp_path, database_url="sqlite://")
    with gr.Blocks(analytics_enabled=False) as demo:
        build_settings_page(demo, keys, Authenticator(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, url, _ = demo.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True)
    yield url
    demo.close(verbose=False)


def save(page: Page, value: str, *, name: str | None = None) -> None:
    if name is not None:
        fill(page.get_by_role("combobox", name="Name", exact=True), name)
    fill(page.get_by_label("Value"), value)
    page.locator("#save-key").click()


def test_key_is_saved_replaced_and_deleted(address: str, page: Page, keys: Keys) -> None:
    sent: list[str] = []
    page.on("response", lambda response: sent.append(response.text()) if "/run/" in response.url else None)
    page.goto(address)
    expect(page.locator("#stored-keys")).to_contain_text("No key is stored")
    expect(page.get_by_label("Value")).to_have_attribute("type", "password")
    expect(page.get_by_label("Value")).to_have_attribute("autocomplete", "new-password")

    save(page, VALUE)
    expect(page.locator("#settings-notice")).to_contain_text("HF_TOKEN is stored")
    expect(page.get_by_label("Value")).to_have_value("")
    expect(page.locator("#stored-keys tbody")).to_contain_text("…1234")
    assert keys.environment_for(["HF_TOKEN"], owner=LOCAL_OWNER) == {"HF_TOKEN": VALUE}

    save(page, "short", name="COMET_API_KEY")
    expect(page.locator("#stored-keys tbody")).to_contain_text("COMET_API_KEY")
    expect(page.locator("#stored-keys tbody")).to_contain_text("not shown")

    page.reload()
    expect(page.locator("#stored-keys tbody tr")).to_have_count(2)
    page.locator("#delete-key").click()
    expect(page.locator("#confirm-deletion")).to_contain_text("Delete COMET_API_KEY?")
    expect(page.locator("#keep-key")).to_be_focused()
    page.locator("#keep-key").click()
    expect(page.locator("#confirm-deletion")).to_be_hidden()
    expect(page.locator("#stored-keys tbody tr")).to_have_count(2)

    page.locator("#delete-key").click()
    page.locator("#confirm-delete-key").click()
    expect(page.locator("#settings-notice")).to_contain_text("COMET_API_KEY is no longer stored")
    expect(page.locator("#stored-keys tbody tr")).to_have_count(1)
    assert [secret.name for secret in keys.list_secrets(owner=LOCAL_OWNER)] == ["HF_TOKEN"]
    assert sent
    assert [text for text in sent if VALUE in text] == []
    assert VALUE not in page.content()


def test_refused_key_is_explained_and_not_stored(address: str, page: Page, keys: Keys) -> None:
    page.goto(address)
    expect(page.locator("#stored-keys")).to_contain_text("No key is stored")
    save(page, "", name="LD_PRELOAD")
    expect(page.locator("#settings-notice")).to_contain_text("This cannot be the name of a key")
    expect(page.locator("#settings-notice")).to_contain_text("The value is empty")
    assert keys.list_secrets(owner=LOCAL_OWNER) == []


def test_key_that_cannot_be_read_says_so(address: str, page: Page, keys: Keys, tmp_path: Path) -> None:
    page.goto(address)
    expect(page.locator("#stored-keys")).to_contain_text("No key is stored")
    save(page, VALUE)
    expect(page.locator("#stored-keys tbody")).to_contain_text("Ready")
    (tmp_path / "secret.key").write_text("half a k")
    page.reload()
    expect(page.locator("#stored-keys tbody")).to_contain_text("Cannot be read: save it again")
    save(page, VALUE)
    expect(page.locator("#settings-notice")).to_contain_text("Restore that file from a copy, or delete it")
    (tmp_path / "secret.key").unlink()
    page.locator("#save-key").click()
    expect(page.locator("#stored-keys tbody")).to_contain_text("Ready")


def test_page_says_where_keys_are(address: str, page: Page, tmp_path: Path) -> None:
    page.goto(address)
    expect(page.get_by_text("Where your keys are")).to_be_visible()
    expect(page.get_by_text(f"{tmp_path}/secret.key")).to_be_visible()


def test_table_escapes_what_it_shows(keys: Keys) -> None:
    keys.save_secret("HF_TOKEN", SecretStr("0123456789abcdef<b>&"), owner="ana")
    table = key_table(keys.list_secrets(owner="ana"))
    assert "&lt;b&gt;&amp;" in table
    assert "<b>" not in table
