"""Rewards of a Python file: how its function is called, and what is said when it does not do what it should."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RewardFailed
from pipeline.method_config import GrpoConfig
from pipeline.reward_config import PythonReward
from pipeline.rewards.scorer import build_scorer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the user's file will be."""
    return tmp_path / "my_rewards.py"


def scores(file: Path, text: str, answers: list[str], *, function: str = "reward", **columns: list[Any]) -> list[float]:
    file.write_text(text, encoding="utf-8")
    scorer = build_scorer("mine", PythonReward(path=str(file), function=function))
    return scorer.score([f"question {n}" for n in range(len(answers))], answers, columns)


def test_function_gets_prompts_answers_and_columns(file: Path) -> None:
    text = """
def reward(prompts, completions, **columns):
    return [len(p) + 10 * len(c) + 100 * a for p, c, a in zip(prompts, completions, columns["answer"])]
"""
    assert scores(file, text, ["ab", ""], answer=[1, 2]) == [1 * 10 + 20 + 100, 10 + 200]


def test_function_gets_only_the_columns_that_it_names(file: Path) -> None:
    text = "def reward(completions, prompts, answer, level=None):\n    return [answer[0], level[0]]\n"
    assert scores(file, text, ["", ""], answer=[3, 0], level=[4, 0], other=[5, 5]) == [3.0, 4.0]


def test_columns_called_as_the_arguments_do_not_hide_them(file: Path) -> None:
    text = "def reward(prompts, completions, **columns):\n    return [float(columns == {}) for _ in completions]\n"
    assert scores(file, text, ["a"], prompts=["x"], completions=["y"]) == [1.0]


def test_file_may_use_what_python_files_use(file: Path) -> None:
    text = """
from dataclasses import dataclass
import numpy as np

@dataclass
class Scale:
    factor: "float" = 0.5

def reward(prompts, completions, **columns):
    return [True, np.float32(Scale().factor), 2]
"""
    assert scores(file, text, ["a", "b", "c"]) == [1.0, 0.5, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def reward(prompts, completions)\n", r"my_rewards.py has a syntax error in line 1: expected ':'\."),
        ("x = 1\n1 / 0\n", r"my_rewards.py cannot be imported in line 2: ZeroDivisionError: division by zero\."),
        ("import no_such_package\n", "cannot be imported in line 1: ModuleNotFoundError: No module named"),
        ("def score(prompts): pass\n", r"has no function 'reward'. It defines: score\."),
        ("reward = 3\n", r"has no function 'reward'. It defines no function\."),
        ("def reward(completions): pass\n", "has no parameter 'prompts'. Write def reward"),
        (
            "def reward(prompts, completions, colour): pass\n",
            "reward asks for 'colour', and the data set has no column",
        ),
        ("def reward(prompts, completions):\n    raise KeyError\n", r"failed in line 2: KeyError\."),
        ("def reward(prompts, completions):\n    exit(1)\n", "failed.*: SystemExit: 1"),
        ("def reward(prompts, completions): return None\n", "it returned NoneType instead of a list of numbers"),
        ("def reward(prompts, completions): return [1.0]\n", "it returned 1 numbers for 2 completions"),
        ("def reward(prompts, completions): return [1, 'x']\n", "number 2 of what it returned is a str"),
        ("def reward(prompts, completions): return [1, float('nan')]\n", "number 2 of what it returned is nan"),
    ],
)
def test_file_that_does_not_do_what_it_should(file: Path, text: str, message: str) -> None:
    with pytest.raises(RewardFailed, match=message) as caught:
        scores(file, text, ["a", "b"], answer=[1, 2])
    assert str(caught.value).startswith("The reward mine cannot be computed: ")
    assert str(caught.value).endswith(".")


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RewardFailed, match="there is no file .*nothing.py. Check the path"):
        build_scorer("mine", PythonReward(path=str(tmp_path / "nothing.py")))
    (tmp_path / "notes.txt").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(RewardFailed, match=r"is no Python file. Its name must end in \.py"):
        build_scorer("mine", PythonReward(path=str(tmp_path / "notes.txt")))


def test_configuration_does_not_open_the_file(file: Path) -> None:
    file.write_text("raise SystemExit", encoding="utf-8")
    before = set(sys.modules)
    config = GrpoConfig.model_validate({"rewards": [{"kind": "python", "path": str(file)}]})
    assert config.rewards[0].kind == "python"
    assert GrpoConfig.model_validate({"rewards": [{"kind": "python", "path": "/nowhere/at/all.py"}]})
    assert not {name for name in set(sys.modules) - before if name.startswith("lapidary_reward_")}


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        file = tmp_path / str(number) / "reward.py"
        file.parent.mkdir()
        found.append(scores(file, f"def reward(prompts, completions): return [{number}]\n", ["a"]))
    assert found == [[1.0], [2.0]]
