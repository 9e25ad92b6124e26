"""What the studio alone knows reaches preflight: keys, names, the catalogue, and what was downloaded before."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from db import jobs
from db.states import JobState
from studio.service import Studio
from tests.documents import DEMO_MODEL, demo_document
from tests.services import open_studio

GATED = "google/gemma-3-270m-it"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "home") as studio:
        yield studio


def codes(studio: Studio, *, owner: str = "ana", **sections: dict[str, Any]) -> set[str]:
    return {finding.code for finding in studio.preflight({**demo_document(), **sections}, owner=owner).findings}


def test_stored_key_opens_a_gated_model_to_its_owner_alone(studio: Studio) -> None:
    model = {"base_model": GATED}
    assert codes(studio, model=model) == {"gated_without_token", "licence_terms", "model_download"}
    studio.keys.save_secret("HF_TOKEN", SecretStr("hf_" + "x" * 30), owner="ana")
    assert codes(studio, model=model) == {"licence_terms", "model_download"}
    assert "gated_without_token" in codes(studio, model=model, owner="ben")


def test_key_that_no_run_is_given_does_not_count(studio: Studio) -> None:
    tracking = {"wandb": True}
    studio.keys.save_secret("OTHER_API_KEY", SecretStr("k" * 40), owner="ana")
    assert codes(studio, tracking=tracking) == {"wandb_without_key"}
    studio.keys.save_secret("WANDB_API_KEY", SecretStr("k" * 40), owner="ana")
    assert codes(studio, tracking=tracking) == set()


def test_name_of_a_run_that_may_have_a_result_is_told_to_its_owner(studio: Studio) -> None:
    assert codes(studio) == set()
    run = studio.submit(demo_document(), owner="ana")
    assert codes(studio) == {"name_taken"}
    assert codes(studio, owner="ben") == set()
    studio.cancel(run.id, owner="ana")
    with studio.database.read() as session:
        assert jobs.get_job(session, run.id).state == JobState.CANCELLED
    assert codes(studio) == set()


@pytest.mark.parametrize("lost", [None, "model.safetensors"])
def test_model_in_the_cache_of_the_hub_is_looked_at(studio: Studio, lost: str | None) -> None:
    folder = Path.home() / ".cache" / "huggingface" / "hub" / "models--some--model"
    shutil.copytree(DEMO_MODEL, folder / "snapshots" / "abc123")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc123", encoding="utf-8")
    if lost is not None:
        (folder / "snapshots" / "abc123" / lost).unlink()
    method = {"kind": "sft", "max_length": 1_000_000}
    found = codes(studio, model={"base_model": "some/model"}, method=method)
    assert found == {"longer_than_context", *(() if lost is None else ("model_download",))}
    other = {"base_model": "some/model", "revision": "v2"}
    assert "longer_than_context" not in codes(studio, model=other, method=method)


@pytest.mark.parametrize(("flavor", "hours"), [("cpu-basic", 48), ("t4-small", None), (None, None)])
def test_space_that_sleeps_when_nobody_visits_it_is_known_to(
    tmp_path: Path, flavor: str | None, hours: int | None
) -> None:
    with open_studio(tmp_path / "home", space_flavor=flavor) as studio:
        assert studio.preflight(demo_document(), owner="ana").facts.sleeps_after_hours == hours
