"""DataManager: splits, limits and what it says about the rows it leaves out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from pipeline.data_manager import DataManager, PreparedData
from pipeline.errors import DataProblem
from pipeline.events import DataLoaded, WarningRaised
from pipeline.job_tracker import JobTracker
from pipeline.model_manager import ModelManager
from pipeline.row_encoder import IGNORED
from tests.pipeline.conftest import MakeConfig
from tests.tiny_gemma import chat_rows, write_jsonl


@pytest.fixture
def load(make_config: MakeConfig, tracker: JobTracker, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Loads the 40 conversations, or the file named, with settings put over the defaults."""

    def run(*, context_length: int = 256, **sections: dict[str, Any]) -> PreparedData:
        config = make_config(**sections)
        loaded = replace(ModelManager(config, tracker).load(), tokenizer=tokenizer, context_length=context_length)
        return DataManager(config, tracker).load(loaded)

    return run


def loaded_event(tracker: JobTracker) -> DataLoaded:
    events, _ = tracker.run_dir.read_events()
    return next(event for event in events if isinstance(event, DataLoaded))


def warnings(tracker: JobTracker) -> list[str]:
    events, _ = tracker.run_dir.read_events()
    return [event.code for event in events if isinstance(event, WarningRaised)]


def rows_of(data: PreparedData) -> tuple[list[int], list[int]]:
    return [row.row for row in data.train], [row.row for row in data.evaluation]


def test_split_covers_each_row_once_and_follows_the_seed(load: Any) -> None:
    train, held_out = rows_of(load(dataset={"eval_share": 0.25}))
    assert len(held_out) == 10
    assert sorted(train + held_out) == list(range(1, 41))
    assert rows_of(load(dataset={"eval_share": 0.25})) == (train, held_out)
    assert rows_of(load(dataset={"eval_share": 0.25}, training={"seed": 7}))[1] != held_out


def test_small_share_holds_out_one_row_and_zero_none(load: Any) -> None:
    assert len(load(dataset={"eval_share": 0.001}).evaluation) == 1
    assert load(dataset={"eval_share": 0}).evaluation == []


def test_single_row_is_trained_on_with_a_warning(load: Any, tmp_path: Path, tracker: JobTracker) -> None:
    data = load(dataset={"path": str(write_jsonl(tmp_path / "one.jsonl", chat_rows(1)))})
    assert (len(data.train), len(data.evaluation)) == (1, 0)
    assert warnings(tracker) == ["no_evaluation"]


def test_separate_file_is_the_evaluation(load: Any, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", chat_rows(3))
    data = load(dataset={"eval_path": str(other), "eval_share": 0.5})
    assert (len(data.train), len(data.evaluation)) == (40, 3)


def test_max_rows_draws_with_the_seed(load: Any) -> None:
    first = rows_of(load(dataset={"max_rows": 10, "eval_share": 0}))[0]
    assert len(first) == 10
    assert first != list(range(1, 11))
    assert rows_of(load(dataset={"max_rows": 10, "eval_share": 0}, training={"seed": 7}))[0] != first


def test_max_length_is_the_longest_row(load: Any) -> None:
    data = load(dataset={"eval_share": 0})
    assert data.max_length == max(len(row.input_ids) for row in data.train)


def long_rows(count: int) -> list[dict[str, Any]]:
    return [{"text": "a " * (20 * (index + 1))} for index in range(count)]


def test_max_length_leaves_the_longest_twentieth_out_beyond_2048(load: Any, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "long.jsonl", long_rows(200))
    uncut = load(dataset={"path": str(path), "eval_share": 0}, method={"max_length": 1_000_000}, context_length=10**6)
    lengths = sorted(len(row.input_ids) for row in uncut.train)
    data = load(dataset={"path": str(path), "eval_share": 0}, context_length=10**6)
    assert lengths[-1] > data.max_length >= lengths[189] > 2048
    assert data.max_length % 64 == 0


def test_max_length_is_at_least_2048_for_a_few_long_rows(load: Any, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "long.jsonl", [*long_rows(10), {"text": "a " * 3000}] + long_rows(20))
    assert load(dataset={"path": str(path), "eval_share": 0}, context_length=10**6).max_length == 2048


def test_context_caps_the_length_with_a_warning(load: Any, tracker: JobTracker) -> None:
    assert load(method={"max_length": 5000}, context_length=64).max_length == 64
    assert warnings(tracker) == ["max_length_capped", "rows_truncated"]
    assert loaded_event(tracker).truncated_rows > 0


def test_rows_without_a_trained_token_are_dropped_and_reported(load: Any, tracker: JobTracker, tmp_path: Path) -> None:
    question = {"role": "user", "content": "How many carats has the opal? " * 20}
    rows = [*chat_rows(4), {"messages": [question, {"role": "assistant", "content": "Two."}]}, {"messages": []}]
    data = load(
        dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows)), "eval_share": 0}, method={"max_length": 100}
    )
    assert rows_of(data)[0] == [1, 2, 3, 4]
    event = loaded_event(tracker)
    assert event.dropped_rows == 2
    assert [(dropped.row, dropped.reason) for dropped in event.dropped_examples] == [
        (5, "what it trains on starts after the limit of 100 tokens"),
        (6, "messages is not a list of turns"),
    ]


def test_nothing_left_says_why(load: Any, tmp_path: Path) -> None:
    question = {"role": "user", "content": "How many carats has the opal? " * 20}
    rows = [{"messages": [question, {"role": "assistant", "content": "Two."}]}]
    with pytest.raises(DataProblem, match=r"No row is left.*Row 1: what it trains on starts after"):
        load(dataset={"path": str(write_jsonl(tmp_path / "rows.jsonl", rows))}, method={"max_length": 50})


def test_event_counts_tokens_of_the_training_rows(load: Any, tracker: JobTracker) -> None:
    data = load()
    event = loaded_event(tracker)
    assert event.train_rows == len(data.train)
    assert event.tokens == sum(len(row.input_ids) for row in data.train)
    assert event.trained_tokens == sum(label != IGNORED for row in data.train for label in row.labels[1:])


def test_splits_of_the_source_are_kept_and_can_be_chosen(load: Any, tmp_path: Path) -> None:
    for name, count in (("train", 12), ("validation", 4), ("test", 3)):
        write_jsonl(tmp_path / "rows" / f"{name}.jsonl", chat_rows(count))
    source = {"path": str(tmp_path / "rows")}
    assert [len(side) for side in rows_of(load(dataset=source))] == [12, 4]
    chosen = {**source, "train_split": "validation", "eval_split": "test"}
    assert [len(side) for side in rows_of(load(dataset=chosen))] == [4, 3]


def test_column_says_which_split_a_row_belongs_to(load: Any, tmp_path: Path) -> None:
    rows = [{**row, "part": "b" if number % 3 == 0 else "a"} for number, row in enumerate(chat_rows(12))]
    source = {"path": str(write_jsonl(tmp_path / "parts.jsonl", rows)), "split_column": "part"}
    train, held_out = rows_of(load(dataset={**source, "train_split": "a", "eval_split": "b"}))
    assert (held_out, len(train)) == ([1, 4, 7, 10], 8)
    with pytest.raises(DataProblem, match="no column 'prat' to split by. Its columns are: messages, part"):
        load(dataset={**source, "split_column": "prat"})


def test_near_duplicates_are_kept_on_one_side_unless_it_is_turned_off(load: Any, tmp_path: Path) -> None:
    rows = [row for row in chat_rows(20) for _ in range(2)]
    source = {"path": str(write_jsonl(tmp_path / "twice.jsonl", rows)), "eval_share": 0.3}

    def split_pairs(**settings: Any) -> int:
        held_out = {(number - 1) // 2 for number in rows_of(load(dataset={**source, **settings}))[1]}
        train = {(number - 1) // 2 for number in rows_of(load(dataset={**source, **settings}))[0]}
        return len(held_out & train)

    assert split_pairs() == 0
    assert split_pairs(group_near_duplicates=False) > 0


def test_format_that_is_not_learned_from_is_a_sentence(load: Any, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}?", "chosen": "yes", "rejected": "no"} for n in range(8)]
    with pytest.raises(DataProblem, match="are of the format preference"):
        load(dataset={"path": str(write_jsonl(tmp_path / "pairs.jsonl", rows))})
