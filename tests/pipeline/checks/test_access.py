"""A gated model meets a token, and a licence with terms of its own is named."""

from pathlib import Path

import pytest

from pipeline.checks.model_facts import KnownModel
from tests.pipeline.checks.preflight import HUB_MODEL, findings_for, on_model, write_model

GATED = KnownModel(licence="Apache-2.0", is_gated=True, parameters=1_000_000)
OPEN = KnownModel(licence="Apache-2.0", is_gated=False, parameters=1_000_000)


def test_gated_model_without_a_token_is_an_error(tmp_path: Path) -> None:
    finding = findings_for(on_model(HUB_MODEL), tmp_path, known_model=GATED, keys=frozenset())["gated_without_token"]
    assert finding.severity == "error"
    assert "https://huggingface.co/some/model" in finding.message
    assert "HF_TOKEN" in finding.message


@pytest.mark.parametrize(
    "known",
    [
        {"known_model": GATED, "keys": frozenset({"HF_TOKEN"})},
        {"known_model": GATED, "keys": frozenset(), "cached_models": frozenset({HUB_MODEL})},
        {"known_model": GATED, "keys": None},
        {"known_model": OPEN, "keys": frozenset()},
        {"known_model": None, "keys": frozenset()},
    ],
)
def test_model_that_can_be_read_needs_no_token(tmp_path: Path, known: dict[str, object]) -> None:
    assert "gated_without_token" not in findings_for(on_model(HUB_MODEL), tmp_path, **known)


def test_licence_with_terms_is_named(tmp_path: Path) -> None:
    terms = KnownModel(licence="Gemma", is_gated=False, parameters=1)
    finding = findings_for(on_model(HUB_MODEL), tmp_path, known_model=terms)["licence_terms"]
    assert (finding.severity, "under the licence Gemma" in finding.message) == ("info", True)
    assert "licence_terms" not in findings_for(on_model(HUB_MODEL), tmp_path, known_model=OPEN)


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ("---\nlicense: llama3.2\n---\n# Model", "llama3.2"),
        ("---\nlicense: other\nlicense_name: house-terms\n---\n", "house-terms"),
        ("---\nlicense: mit\n---\n", None),
        ("# A card without a header", None),
        ("---\nlicense: [\n---\n", None),
    ],
)
def test_licence_of_a_folder_is_read_from_its_card(tmp_path: Path, card: str, named: str | None) -> None:
    model = write_model(tmp_path / "model")
    (model / "README.md").write_text(card, encoding="utf-8")
    finding = findings_for(on_model(model), tmp_path).get("licence_terms")
    assert (finding is not None) == (named is not None)
    assert finding is None or str(named) in finding.message
