"""A job document is validated as a whole, in sentences."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import FineTuneJobConfig, LoraConfig
from pipeline.errors import InvalidConfig
from pipeline.validation import parse_augment_config, parse_import_config, parse_job_config

MINIMAL = {"model": {"base_model": "google/gemma-3-1b-it"}, "dataset": {"path": "rows.jsonl"}}


def problems_of(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        parse_job_config(document)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_minimal_document_gets_the_defaults() -> None:
    config = parse_job_config(MINIMAL)
    assert config.tuning == LoraConfig(rank=16, alpha=32, dropout=0.0)
    assert config.training.learning_rate == 2e-4
    assert config.training.epochs == 3


def test_learning_rate_follows_the_kind_of_tuning_unless_given() -> None:
    full = {**MINIMAL, "tuning": {"kind": "full"}}
    assert parse_job_config(full).training.learning_rate == 2e-5
    assert parse_job_config({**full, "training": {"learning_rate": 1e-3}}).training.learning_rate == 1e-3


def test_all_problems_are_reported_together() -> None:
    document = {
        "model": {"base_model": " "},
        "dataset": {},
        "tuning": {"kind": "lora", "alpha": 0},
        "training": {"learning_rate": "abc", "epochs": float("nan")},
    }
    assert set(problems_of(document)) == {
        "model.base_model",
        "dataset.path",
        "tuning.alpha",
        "training.learning_rate",
        "training.epochs",
    }


@pytest.mark.parametrize(
    ("key", "document", "hint"),
    [
        ("tuning.rnak", {"tuning": {"kind": "lora", "rnak": 8}}, "Did you mean tuning.rank?"),
        ("learning_rate", {"learning_rate": 1e-4}, "Did you mean training.learning_rate?"),
        ("training.batch_size", {"training": {"batch_size": 4}}, "Did you mean training.per_device_batch_size?"),
        ("zzzzzzz", {"zzzzzzz": 1}, "The settings here are: dataset, evaluation, export"),
        ("tuning.rank", {"tuning": {"kind": "full", "rank": 8}}, "is a setting of another kind"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_right_one(key: str, document: dict[str, Any], hint: str) -> None:
    assert hint in problems_of({**MINIMAL, **document})[key]


def test_unknown_kind_of_tuning_names_the_kinds() -> None:
    (message,) = problems_of({**MINIMAL, "tuning": {"kind": "dora"}}).values()
    assert "lora" in message
    assert "full" in message


@pytest.mark.parametrize("path", ["", " "])
def test_empty_text_is_called_empty(path: str) -> None:
    assert problems_of({**MINIMAL, "dataset": {"path": path}}) == {"dataset.path": "is empty. Give it a value."}


def test_document_is_frozen() -> None:
    config = parse_job_config(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "other"  # type: ignore[misc]


def test_merging_a_full_fine_tune_is_refused() -> None:
    message = problems_of({**MINIMAL, "tuning": {"kind": "full"}, "export": {"merged": True}})[""]
    assert "already is a whole model" in message


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_document_that_is_no_object_is_refused(data: Any) -> None:
    assert problems_of(data)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a" * 97, "a b"])
def test_output_name_is_a_plain_file_name(name: str) -> None:
    assert "name" in problems_of({**MINIMAL, "name": name})


def test_every_field_survives_json() -> None:
    config = parse_job_config(MINIMAL)
    assert FineTuneJobConfig.model_validate_json(config.model_dump_json()) == config


def test_name_of_the_result_says_what_it_may_hold() -> None:
    with pytest.raises(InvalidConfig, match="name: needs 1 to 96 letters, digits, .*; it was 'gem orders'"):
        parse_job_config({**MINIMAL, "name": "gem orders"})


@pytest.mark.parametrize(
    ("parse", "document", "field"),
    [
        (parse_import_config, {"name": "a", "source": "rows.csv", "splitz": []}, "splitz"),
        (parse_augment_config, {"augmentation": {"kind": "typos", "rate": "x"}}, "augmentation.rate"),
        (parse_augment_config, {"augmentation": {"kind": "documents", "documents": 3}}, "augmentation.documents"),
    ],
)
def test_other_jobs_name_their_fields_without_kinds(parse: Any, document: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse({"name": "a", "dataset": "rows", **document} if "augmentation" in document else document)
    assert field in {problem.field for problem in caught.value.problems}


def test_unknown_key_of_an_import_is_compared_with_its_own_fields() -> None:
    with pytest.raises(InvalidConfig, match="Did you mean splits"):
        parse_import_config({"name": "a", "source": "rows.csv", "splitz": []})
