"""What docs/rewards.md shows can be used as it stands."""

import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter

from pipeline.method_config import GrpoConfig
from pipeline.reward_config import PythonReward, Reward
from pipeline.rewards.scorer import build_scorer

TEXT = (Path(__file__).parents[3] / "docs" / "rewards.md").read_text(encoding="utf-8")
KINDS = {kind.model_fields["kind"].default for kind in get_args(get_args(Reward)[0])}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_every_kind_has_an_example_that_is_valid() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\{kind: .*\})` \|$", TEXT, re.MULTILINE)
    assert {kind for kind, _ in rows} == KINDS
    for kind, example in rows:
        reward: Any = TypeAdapter(Reward).validate_python(yaml.safe_load(example))
        assert reward.kind == kind


def test_method_of_the_introduction_is_valid() -> None:
    method = yaml.safe_load(blocks("yaml")[0])["method"]
    assert [reward.kind for reward in GrpoConfig.model_validate(method).rewards] == ["tags", "regex"]


def test_function_of_the_example_scores(tmp_path: Path) -> None:
    (code,), (entry,) = blocks("python"), yaml.safe_load(blocks("yaml")[1])
    file = tmp_path / "rewards.py"
    file.write_text(code, encoding="utf-8")
    scorer = build_scorer("mine", PythonReward.model_validate({**entry, "path": str(file)}))
    assert scorer.score(["?"] * 2, ["An opal.", "A ruby."], {"stone": ["opal", "opal"]}) == [1.0, 0.0]
