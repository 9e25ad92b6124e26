"""A studio that strangers can reach runs no code and asks no server that its owner has not let it; one's own does."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import FineTuneJobConfig
from pipeline.errors import InvalidConfig
from pipeline.validation import parse_job_config
from studio.containment import contain, reward_folder
from tests.documents import DEMO_MODEL, demo_document
from tests.services import open_studio


def with_reward(**reward: Any) -> FineTuneJobConfig:
    return parse_job_config({**demo_document(), "method": {"kind": "grpo", "rewards": [reward]}})


def with_model(name: str) -> FineTuneJobConfig:
    return parse_job_config({**demo_document(), "model": {"base_model": name}})


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_model_outside_the_studio_is_refused_from_the_network_only(tmp_path: Path, scheme: str) -> None:
    config = with_model(f"{scheme}{tmp_path}")
    with (
        open_studio(tmp_path / "home", host="0.0.0.0") as studio,
        pytest.raises(InvalidConfig, match="is outside the studio's folders"),
    ):
        contain(config, studio.settings)
    with open_studio(tmp_path / "own") as studio:
        contain(config, studio.settings)


def test_the_studios_own_model_and_the_hubs_are_allowed(tmp_path: Path) -> None:
    with open_studio(tmp_path / "home", host="0.0.0.0") as studio:
        for name in (str(DEMO_MODEL), "google/gemma-3-1b-it"):
            contain(with_model(name), studio.settings)


def test_code_of_a_reward_is_run_only_from_the_owners_folder(tmp_path: Path) -> None:
    with open_studio(tmp_path / "home", host="0.0.0.0") as studio:
        folder = reward_folder(studio.settings)
        contain(with_reward(kind="python", path=str(folder / "mine.py")), studio.settings)
        for path in (tmp_path / "theirs.py", folder / ".." / "data" / "uploaded.py"):
            with pytest.raises(InvalidConfig, match="Only the functions that the studio's owner has put there"):
                contain(with_reward(kind="python", path=str(path)), studio.settings)
    with open_studio(tmp_path / "own") as studio:
        contain(with_reward(kind="python", path=str(tmp_path / "theirs.py")), studio.settings)


def test_judge_inside_the_network_is_refused_to_strangers(tmp_path: Path) -> None:
    inside = with_reward(kind="judge", base_url="http://127.0.0.1:9/v1", model="m")
    outside = with_reward(kind="judge", base_url="https://8.8.8.8/v1", model="m")
    with open_studio(tmp_path / "home", host="0.0.0.0") as studio:
        contain(outside, studio.settings)
        with pytest.raises(InvalidConfig, match="inside the studio's own network"):
            contain(inside, studio.settings)
    with open_studio(tmp_path / "own") as studio:
        contain(inside, studio.settings)
