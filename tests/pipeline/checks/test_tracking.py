"""Weights & Biases has the key that it needs."""

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.checks.preflight import changed, findings_for, patched


def test_missing_key_is_a_warning_and_mended(tmp_path: Path) -> None:
    document = changed(tracking={"wandb": True})
    finding = findings_for(document, tmp_path, keys=frozenset())["wandb_without_key"]
    assert (finding.severity, "no WANDB_API_KEY" in finding.message) == ("warning", True)
    assert findings_for(patched(document, finding), tmp_path, keys=frozenset()) == {}


@pytest.mark.parametrize(
    ("tracking", "keys"),
    [
        ({"wandb": True}, frozenset({"WANDB_API_KEY"})),
        ({"wandb": True, "wandb_offline": True}, frozenset()),
        ({"wandb": True}, None),
        ({}, frozenset()),
    ],
)
def test_key_that_is_there_or_not_needed_is_fine(
    tmp_path: Path, tracking: dict[str, Any], keys: frozenset[str] | None
) -> None:
    assert findings_for(changed(tracking=tracking), tmp_path, keys=keys) == {}
