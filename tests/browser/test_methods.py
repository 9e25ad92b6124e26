"""Methods in the wizard: the one that fits the data, and the rewards of GRPO."""

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.fields import fill
from tests.server import StudioProcess

CHOSEN = "The opal has three carats."


def open_hyperparameters(page: Page) -> None:
    page.get_by_role("tab", name="Hyperparameters").click()
    page.get_by_label("Epochs").wait_for()


def choose_method(page: Page, name: str) -> None:
    page.get_by_label("Method", exact=True).click()
    page.get_by_role("option", name=name).click()


def test_method_follows_the_data(page: Page, server: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"How heavy is gem {n}?", "chosen": CHOSEN, "rejected": f"No idea {n}."} for n in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    page.goto(f"{server.url}/new")
    page.locator("#continue-0").click()
    page.locator("#dataset-upload input[type=file]").set_input_files(str(file))
    expect(page.locator("#dataset-preview")).to_contain_text("pairs")
    rail = page.locator("#wizard-rail")
    expect(rail).to_contain_text("DPO")
    page.locator("#continue-1").click()
    expect(page.get_by_label("Method", exact=True)).to_have_value("Preferred answers (DPO)")
    expect(page.get_by_label("Beta")).to_have_value("0.1")
    expect(page.get_by_label("Train on")).to_be_hidden()
    choose_method(page, "Good and bad answers (KTO)")
    expect(page.get_by_label("Beta")).to_be_visible()
    choose_method(page, "Example answers (SFT)")
    expect(page.get_by_label("Beta")).to_be_hidden()
    page.locator("#continue-2").click()
    page.locator("#continue-3").click()
    expect(page.locator("#preflight-findings")).to_contain_text("does not fit the method")
    page.get_by_role("button", name="Train DPO").click()
    expect(page.locator("#preflight-findings")).not_to_contain_text("does not fit the method")


def test_rewards_are_added_kept_and_removed(page: Page, server: StudioProcess) -> None:
    page.goto(f"{server.url}/new?demo=1")
    open_hyperparameters(page)
    expect(page.locator("#reward-editor")).to_be_hidden()
    choose_method(page, "Rewards (GRPO)")
    page.locator("#add-reward").click()
    expect(page.locator("#reward-editor [role=alert]")).to_contain_text("Column")
    fill(page.locator("#field-reward-column").get_by_role("textbox"), "answer")
    page.locator("#add-reward").click()
    rewards = page.locator("#reward-list")
    expect(rewards).to_contain_text("Exact match: column answer · weight 1")
    page.get_by_label("What earns it").click()
    page.get_by_role("option", name="Length").click()
    expect(page.locator("#field-reward-column")).to_be_hidden()
    page.locator("#add-reward").click()
    expect(rewards).to_contain_text("Length · weight 1")
    # The draft is kept a moment later; an estimate may still be on its way.
    page.wait_for_timeout(1_000)
    page.goto(f"{server.url}/new")
    open_hyperparameters(page)
    expect(rewards).to_contain_text("Length · weight 1")
    # Not `uncheck`, which looks at the box again: it is gone with its reward.
    rewards.get_by_label("Exact match: column answer · weight 1").click()
    expect(rewards).not_to_contain_text("Exact match")
    expect(rewards).to_contain_text("Length")
