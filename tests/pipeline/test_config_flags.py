"""Flags made from the configuration classes."""

import argparse

import pytest

from pipeline.config_fields import config_fields
from pipeline.config_flags import add_config_flags, document_with_flags
from pipeline.validation import parse_job_config


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_config_flags(parser)
    return parser


def given(parser: argparse.ArgumentParser, *arguments: str) -> dict[str, str]:
    return vars(parser.parse_args(arguments))


def test_nothing_given_is_nothing_said(parser: argparse.ArgumentParser) -> None:
    assert given(parser) == {}


def test_every_leaf_has_a_dotted_flag(parser: argparse.ArgumentParser) -> None:
    for flag in config_fields():
        assert given(parser, f"--{flag.path}", "1") == {flag.path: "1"}


@pytest.mark.parametrize(
    ("short", "path"),
    [
        ("--learning-rate", "training.learning_rate"),
        ("--base-model", "model.base_model"),
        ("--training-data-path", "dataset.path"),
        ("--output-model-name", "name"),
        ("--rank", "tuning.rank"),
    ],
)
def test_short_names_and_names_of_the_first_release(parser: argparse.ArgumentParser, short: str, path: str) -> None:
    assert given(parser, short, "x") == {path: "x"}


def test_names_that_are_not_unique_have_no_short_flag(parser: argparse.ArgumentParser) -> None:
    with pytest.raises(SystemExit):
        given(parser, "--kind", "lora")


def test_switch_needs_no_value(parser: argparse.ArgumentParser) -> None:
    assert given(parser, "--merged") == {"export.merged": "true"}
    assert given(parser, "--merged", "false") == {"export.merged": "false"}


def test_flags_override_the_document_and_leave_the_rest() -> None:
    document = {"model": {"base_model": "a"}, "dataset": {"path": "b"}, "training": {"epochs": 2, "seed": 9}}
    config = parse_job_config(
        document_with_flags(document, {"training.epochs": "5", "tuning.rank": "4", "export.merged": "true"})
    )
    assert (config.training.epochs, config.training.seed) == (5, 9)
    assert config.tuning.kind == "lora"
    assert config.tuning.rank == 4
    assert config.export.merged
    assert document["training"] == {"epochs": 2, "seed": 9}


def test_none_empties_only_fields_that_may_be_empty() -> None:
    merged = document_with_flags({}, {"method.max_length": "none", "model.revision": "none"})
    assert merged == {"method": {"max_length": None}, "model": {"revision": "none"}}


def test_help_names_the_default_and_the_choices(parser: argparse.ArgumentParser) -> None:
    text = " ".join(parser.format_help().split())
    assert "auto|bf16|fp16|fp32" in text
    assert "Rank of the adapter matrices. Higher learns more, costs more. [default: 16]" in text
