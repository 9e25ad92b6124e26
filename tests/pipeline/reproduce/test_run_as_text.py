"""A run as YAML and as a command: both are read back as the equal configuration."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import OWN_ARGUMENTS, _read_yaml
from pipeline.cli_parser import command_parser
from pipeline.config import FineTuneJobConfig
from pipeline.config_flags import document_with_flags
from pipeline.reproduce.command_line import as_command
from pipeline.reproduce.yaml_document import as_yaml
from pipeline.validation import parse_job_config
from tests.documents import ASSETS

RECIPES = sorted((ASSETS / "recipes").glob("*.yaml"))
MODEL = {"base_model": "acme/stone"}
DATA = {"path": "rows.jsonl"}
RUNS: list[dict[str, Any]] = [
    {},
    {"tuning": {"kind": "full"}, "method": {"kind": "dpo", "loss_type": "ipo"}, "training": {"max_steps": 9}},
    {"method": {"kind": "cpt", "max_length": 512}, "training": {"learning_rate": 2e-4, "epochs": 1}},
    {"method": {"kind": "kto"}, "evaluation": {"early_stopping": 3, "metrics": "f1, json"}},
    {
        "method": {"kind": "reward", "center_rewards_coefficient": 0.01},
        "tracking": {"wandb": True, "project": "stones"},
    },
    {"method": {"kind": "orpo"}, "model": {**MODEL, "quantization": "4bit", "trust_remote_code": True}},
    {"dataset": {**DATA, "prompt_column": "question asked", "completion_column": "-answer", "eval_share": 0}},
    {
        "method": {
            "kind": "grpo",
            "rewards": [
                {"kind": "length", "maximum": 24, "weight": 2.0},
                {"kind": "regex", "pattern": r"^'\d+\"$", "name": "digits"},
                {"kind": "json_schema", "json_schema": {"type": "object", "required": ["carats"]}},
            ],
        }
    },
    {
        "dataset": {
            **DATA,
            "mapping": {
                "format": "prompt_completion",
                "prompt": [{"kind": "template", "template": "What is {{x}}?\n{stone}"}, {"kind": "text", "text": "!"}],
                "completion": [{"kind": "column", "column": "answer", "optional": True}],
            },
        }
    },
]


def config_of(**sections: Any) -> FineTuneJobConfig:
    return parse_job_config({"model": MODEL, "dataset": DATA, **sections})


def read_command(command: str, folder: Path | None = None) -> FineTuneJobConfig:
    """What the command line makes of a command."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "pipeline"]
    parsed = command_parser().parse_args(words[3:])
    document = {} if parsed.config is None else _read_yaml((folder or Path()) / parsed.config)
    flags = {name: value for name, value in vars(parsed).items() if name not in OWN_ARGUMENTS}
    return parse_job_config(document_with_flags(document, flags))


def assert_read_back(config: FineTuneJobConfig) -> None:
    assert parse_job_config(yaml.safe_load(as_yaml(config))) == config
    command = as_command(config)
    assert "\n" not in command or "\n" in config.model_dump_json().replace("\\n", "\n")
    if "--config" not in shlex.split(command):
        assert read_command(command) == config


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "a\u2029b", "\ufeffa"])
def test_text_with_rare_ends_of_lines_comes_back(name: str) -> None:
    assert_read_back(parse_job_config({"model": {"base_model": "a/b"}, "dataset": {"path": name}}))


@pytest.mark.parametrize("sections", RUNS, ids=lambda sections: "-".join(sections) or "defaults")
def test_run_is_read_back(sections: dict[str, Any]) -> None:
    config = config_of(**sections)
    assert_read_back(config)
    assert "--config" not in as_command(config)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_recipe_is_read_back(file: Path) -> None:
    chosen = yaml.safe_load(file.read_text(encoding="utf-8"))["default_config"]
    config = parse_job_config({**chosen, "model": {**MODEL, **chosen.get("model", {})}, "dataset": DATA})
    assert_read_back(config)
    assert "--config" not in as_command(config)


TEXT = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() != "")
WORDS = st.one_of(
    TEXT, st.sampled_from(["none", "-x", "--json", "a=b", "yes", "1e3", "1:30", "~", "$(id)", "'", "null"])
)


@settings(max_examples=60, deadline=None)
@given(
    path=WORDS,
    base=WORDS,
    column=WORDS,
    eval_path=st.none() | WORDS,
    rate=st.floats(1e-9, 1),
    epochs=st.floats(0.01, 1000),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["sft", "cpt", "dpo", "orpo", "kto", "reward"]),
    tuning=st.sampled_from([{"kind": "lora"}, {"kind": "full"}, {"kind": "lora", "rank": 7, "variant": "dora"}]),
    on=st.booleans(),
)
def test_any_run_is_read_back(
    path: str,
    base: str,
    column: str,
    eval_path: str | None,
    rate: float,
    epochs: float,
    seed: int,
    kind: str,
    tuning: dict[str, Any],
    on: bool,
) -> None:
    config = parse_job_config(
        {
            "model": {"base_model": base, "trust_remote_code": on},
            "dataset": {"path": path, "eval_path": eval_path, "split_column": column},
            "method": {"kind": kind},
            "tuning": tuning,
            "training": {"learning_rate": rate, "epochs": epochs, "seed": seed},
        }
    )
    assert_read_back(config)


def test_only_what_differs_is_written() -> None:
    config = config_of(method={"kind": "dpo"}, training={"per_device_batch_size": 2})
    assert yaml.safe_load(as_yaml(config)) == {
        "name": "my-model",
        "model": MODEL,
        "dataset": DATA,
        "method": {"kind": "dpo"},
        "training": {"per_device_batch_size": 2, "learning_rate": 1e-5, "seed": 42},
    }
    assert as_command(config) == (
        "python -m pipeline train --name my-model --model.base_model acme/stone --dataset.path rows.jsonl "
        "--method.kind dpo --training.learning_rate 1e-05 --training.per_device_batch_size 2 --training.seed 42"
    )


@pytest.mark.parametrize("value", ["none", "null", "\0"])
def test_value_that_no_flag_can_have_is_left_to_the_file(value: str, tmp_path: Path) -> None:
    """`--dataset.eval_path none` would mean that there is no such file."""
    config = config_of(dataset={**DATA, "eval_path": value})
    command = as_command(config)
    assert command == "python -m pipeline train --config job.yaml"
    (tmp_path / "job.yaml").write_text(as_yaml(config), encoding="utf-8")
    assert read_command(command, tmp_path) == config
