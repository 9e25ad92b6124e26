"""Shapes of rows are recognised; rows that cannot be used are listed with their reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import DatasetConfig
from pipeline.data_formats import ExampleSet, Message, read_examples
from pipeline.errors import DataProblem


def examples_of(tmp_path: Path, rows: list[dict[str, Any]], **config: Any) -> ExampleSet:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_examples(path, DatasetConfig(path=str(path), **config))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
        {"prompt": "Q", "completion": "A"},
        {"instruction": "Q", "input": "", "output": "A"},
        {"question": "Q", "answer": "A"},
        {"Question": "Q", "Answer": "A"},
        {"input": "Q", "output": "A"},
        {"query": "Q", "response": "A"},
    ],
)
def test_known_shape_needs_no_mapping(tmp_path: Path, row: dict[str, Any]) -> None:
    found = examples_of(tmp_path, [row])
    assert found.examples[0].messages == (Message("user", "Q"), Message("assistant", "A"))


def test_plain_text_is_kept_as_it_is(tmp_path: Path) -> None:
    assert examples_of(tmp_path, [{"text": " a\n\tb "}]).examples[0].text == " a\n\tb "


def test_input_of_an_instruction_follows_it(tmp_path: Path) -> None:
    found = examples_of(tmp_path, [{"instruction": "Add", "input": "1 + 1", "output": "2"}])
    assert found.examples[0].messages == (Message("user", "Add\n\n1 + 1"), Message("assistant", "2"))


def test_columns_can_be_named_by_hand(tmp_path: Path) -> None:
    found = examples_of(tmp_path, [{"q": "Q", "a": "A"}], prompt_column="q", completion_column="a")
    assert found.examples[0].messages == (Message("user", "Q"), Message("assistant", "A"))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "were not recognised: q, a"),
        ({"prompt_column": "q"}, "Name the answer column"),
        ({"prompt_column": "q", "completion_column": "z"}, "has no column 'z'. Its columns are: q, a"),
    ],
)
def test_columns_that_do_not_fit_are_a_sentence(tmp_path: Path, config: dict[str, str], sentence: str) -> None:
    with pytest.raises(DataProblem) as caught:
        examples_of(tmp_path, [{"q": "Q", "a": "A"}], **config)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Q", "completion": None}, "completion is missing"),
        ({"prompt": " ", "completion": "A"}, "prompt is empty"),
        ({"prompt": "Q", "completion": ["A"]}, "completion is a list, not text"),
        ({"prompt": "Q"}, "completion is missing"),
    ],
)
def test_unusable_row_is_listed_with_its_number(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    found = examples_of(tmp_path, [{"prompt": "Q", "completion": "A"}, row])
    assert [(item.row, item.reason) for item in found.dropped] == [(2, reason)]
    assert len(found.examples) == 1


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "messages is not a list of turns"),
        ([("user", "Q")], "the last turn is not the assistant's"),
        ([("user", "Q"), ("user", "Q")], "turn 2 is by user, expected assistant"),
        ([("assistant", "A")], "turn 1 is by assistant, expected user"),
        ([("user", "Q"), ("tool", "A")], "turn 2 has the role 'tool'"),
        ([("user", "Q"), ("assistant", "")], "turn 2 is empty"),
    ],
)
def test_conversation_out_of_order_is_listed(tmp_path: Path, turns: list[tuple[str, str]], reason: str) -> None:
    good = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    bad = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (dropped,) = examples_of(tmp_path, [good, bad]).dropped
    assert dropped.row == 2
    assert reason in dropped.reason


def test_file_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="No row of rows.jsonl can be used. Row 1: prompt is empty."):
        examples_of(tmp_path, [{"prompt": "", "completion": "A"}])
