"""Rewards are tried on four rows before a run: what they gave, and a sentence for each that cannot be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.data.example import Example, Message
from pipeline.errors import InvalidConfig
from pipeline.events import WarningRaised
from pipeline.job_tracker import JobTracker
from pipeline.reward_config import Reward
from pipeline.rewards.prompts import rewarded_prompt
from pipeline.rewards.trial import RewardTrial, check_rewards, try_rewards
from tests.endpoint_server import EndpointServer
from tests.pipeline.conftest import MakeConfig

ANY_REWARDS: TypeAdapter[Any] = TypeAdapter(tuple[Reward, ...])


def examples(count: int = 6) -> list[Example]:
    turns = (Message("user", "Which stone?"), Message("assistant", '{"stone": "opal"}'))
    return [Example(n, messages=turns, extra={"stone": "opal", "carats": n}) for n in range(1, count + 1)]


def tried(rewards: Sequence[dict[str, Any]], rows: Sequence[Example] | None = None) -> list[RewardTrial]:
    return try_rewards(ANY_REWARDS.validate_python(rewards), examples() if rows is None else rows)


def test_each_reward_is_tried_on_four_rows() -> None:
    card, stone = tried([{"kind": "json_schema"}, {"kind": "contains", "column": "stone"}])
    assert card == RewardTrial("json_schema", (1, 2, 3, 4), (1.0,) * 4, (0.0,) * 4)
    assert stone == RewardTrial("contains", (1, 2, 3, 4), (1.0,) * 4, (0.0,) * 4)


def test_rows_without_an_answer_are_tried_with_an_empty_one() -> None:
    rows = [Example(n, messages=(Message("user", "Hello?"),)) for n in (3, 5)]
    assert tried([{"kind": "length", "minimum": 4}], rows) == [RewardTrial("length", (3, 5), (None, None), (0.0, 0.0))]


def test_rows_that_the_reward_skips_are_not_tried() -> None:
    rows = [Example(1, messages=(Message("user", "?"),), extra={"n": value}) for value in (None, "no number", 5)]
    (trial,) = tried([{"kind": "numeric", "column": "n"}], rows)
    assert trial.own_answers == (1.0,)


def test_all_problems_are_told_together(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def reward(prompts, completions):\n  return [1\n", encoding="utf-8")
    short = tmp_path / "short.py"
    short.write_text("def reward(prompts, completions): return [1]\n", encoding="utf-8")
    with EndpointServer() as server:
        address = server.base_url
    with pytest.raises(InvalidConfig) as caught:
        tried(
            [
                {"kind": "exact_match", "column": "gem"},
                {"kind": "regex", "pattern": "["},
                {"kind": "python", "path": str(tmp_path / "none.py"), "name": "absent"},
                {"kind": "python", "path": str(broken), "name": "broken"},
                {"kind": "python", "path": str(short), "name": "short"},
                {"kind": "json_schema", "json_schema": {"type": 5}},
                {"kind": "judge", "base_url": address, "model": "m", "max_retries": 0},
                {"kind": "numeric", "column": "stone"},
                {"kind": "length"},
            ]
        )
    assert {problem.field for problem in caught.value.problems} == {"method.rewards"}
    begin = "cannot be computed: "
    wanted = [
        f"The reward exact_match {begin}the data set has no column 'gem'. Its columns are: answer, stone, carats.",
        f"The reward regex {begin}'[' is no regular expression",
        f"The reward absent {begin}there is no file",
        f"The reward broken {begin}{broken} has a syntax error in line 2",
        f"The reward short {begin}it returned 1 numbers for 8 completions",
        f"The reward json_schema {begin}its JSON schema is wrong at type",
        f"The reward judge {begin}the judge cannot be asked. The endpoint {address} cannot be reached",
        "No row can be rewarded. Row 1: its column 'stone' holds no number, and the reward numeric compares with one.",
    ]
    found = [problem.message for problem in caught.value.problems]
    assert [message[: len(start)] for message, start in zip(found, wanted, strict=True)] == wanted


def test_reward_that_does_not_prefer_an_answer_to_none_is_told(make_config: MakeConfig, tracker: JobTracker) -> None:
    rewards = [{"kind": "length", "maximum": 9}, {"kind": "json_schema"}]
    check_rewards(make_config(method={"kind": "grpo", "rewards": rewards}), examples(), tracker)
    events, _ = tracker.run_dir.read_events()
    (warning,) = [event for event in events if isinstance(event, WarningRaised)]
    assert warning.message.startswith("The reward length gives an empty answer as much as the data set's own answers")


def test_other_methods_have_no_rewards_to_try(make_config: MakeConfig, tracker: JobTracker) -> None:
    check_rewards(make_config(), examples(), tracker)
    assert tracker.run_dir.read_events()[0] == []


def test_prompt_of_several_turns_is_told_with_its_roles() -> None:
    turns = (Message("system", "Be kind."), Message("user", "Hi?"), Message("assistant", "Hi."), Message("user", "?"))
    assert (
        rewarded_prompt(Example(1, messages=turns)).text == "system: Be kind.\n\nuser: Hi?\n\nassistant: Hi.\n\nuser: ?"
    )
