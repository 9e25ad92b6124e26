"""Copies of a data set without the rows that have some problems."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.integrity.clean import copy_suffix, write_cleaned_copy
from pipeline.data.mapping import ColumnPart, Mapping
from pipeline.data.row_store import ROWS_FILE
from pipeline.errors import DataProblem
from tests.pipeline.data.integrity_stores import PAIR, check, finding, make_store, pairs


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows_with_problems() -> list[dict[str, Any]]:
    rows = pairs(60)
    near = {**rows[1], "question": "Well " + rows[1]["question"]}
    return [*rows, rows[0], near, {"question": "?", "answer": None}, near, rows[0]]


def test_copy_leaves_out_what_was_asked_for_and_keeps_the_order(tmp_path: Path) -> None:
    rows = rows_with_problems()
    store = make_store(tmp_path / "data", rows, PAIR)
    target = tmp_path / "clean.jsonl"
    copied = write_cleaned_copy(store, PAIR, target=target, drop=["duplicate_rows", "unusable_rows"])
    assert lines(target) == [*rows[:60], rows[61]]
    assert copied.rows == 61
    assert copied.dropped == {"duplicate_rows": 3, "unusable_rows": 1}
    assert not list(tmp_path.glob("*.partial"))


def test_near_duplicates_go_with_their_exact_copies(tmp_path: Path) -> None:
    rows = rows_with_problems()
    store = make_store(tmp_path / "data", rows, PAIR)
    copied = write_cleaned_copy(store, PAIR, target=tmp_path / "clean.jsonl", drop=["near_duplicate_rows"])
    assert lines(tmp_path / "clean.jsonl") == [*rows[:61], rows[62], rows[64]]
    assert copied.dropped == {"near_duplicate_rows": 2}


def test_first_of_the_duplicates_can_go_too(tmp_path: Path) -> None:
    rows = rows_with_problems()
    store = make_store(tmp_path / "data", rows, PAIR)
    target = tmp_path / "clean.jsonl"
    write_cleaned_copy(store, PAIR, target=target, drop=["duplicate_rows"], keep_first_duplicate=False)
    assert lines(target) == [*rows[1:60], rows[62]]


def test_stored_report_and_a_new_check_choose_the_same_rows(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", rows_with_problems(), PAIR)
    drop = ["near_duplicate_rows", "duplicate_rows", "unusable_rows"]
    write_cleaned_copy(store, PAIR, target=tmp_path / "new.jsonl", drop=drop)
    check(store)
    write_cleaned_copy(store, PAIR, target=tmp_path / "stored.jsonl", drop=drop)
    assert (tmp_path / "new.jsonl").read_bytes() == (tmp_path / "stored.jsonl").read_bytes()
    assert len(lines(tmp_path / "new.jsonl")) == 60


def test_another_mapping_than_the_stored_one_is_checked_anew(tmp_path: Path) -> None:
    rows = [{**row, "other": "The same words in the other column of all the rows."} for row in pairs(10)]
    store = make_store(tmp_path / "data", rows, PAIR)
    check(store)
    other = Mapping(format="text", text=(ColumnPart(column="other"),))
    copied = write_cleaned_copy(store, other, target=tmp_path / "clean.jsonl", drop=["duplicate_rows"])
    assert copied.rows == 1


def test_rows_are_written_as_they_are_stored(tmp_path: Path) -> None:
    rows = [{**row, "extra": {"größe": [1.50, None, "\u2028"]}} for row in pairs(3)]
    store = make_store(tmp_path / "data", rows, PAIR)
    write_cleaned_copy(store, PAIR, target=tmp_path / "clean.jsonl", drop=[])
    assert (tmp_path / "clean.jsonl").read_bytes() == (store.folder / ROWS_FILE).read_bytes()


def test_splits_are_kept_in_a_zip_and_as_a_column_of_lines(tmp_path: Path) -> None:
    rows, held = pairs(60), pairs(10, first=100)
    store = make_store(tmp_path / "data", rows, PAIR, splits={"test": [*held, rows[0]]})
    assert copy_suffix(store) == ".zip"
    (store.folder / "images").mkdir()
    (store.folder / "images" / "a.png").write_bytes(b"image")
    copied = write_cleaned_copy(store, PAIR, target=tmp_path / "clean.zip", drop=["evaluation_overlap"])
    assert copied.dropped == {"evaluation_overlap": 1}
    with zipfile.ZipFile(tmp_path / "clean.zip") as archive:
        assert archive.namelist() == ["train.jsonl", "test.jsonl", "images/a.png"]
        assert [json.loads(line) for line in archive.read("test.jsonl").splitlines()] == held
        assert archive.read("images/a.png") == b"image"
    write_cleaned_copy(store, PAIR, target=tmp_path / "clean.jsonl", drop=["evaluation_overlap"])
    assert [row["split"] for row in lines(tmp_path / "clean.jsonl")] == ["train"] * 60 + ["test"] * 10


def test_cleaned_copy_has_no_finding_of_the_dropped_kinds(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", rows_with_problems(), PAIR)
    drop = ["duplicate_rows", "near_duplicate_rows", "unusable_rows"]
    assert all(finding(check(store), code).count for code in drop)
    write_cleaned_copy(store, PAIR, target=tmp_path / "clean.jsonl", drop=drop)
    assert copy_suffix(store) == ".jsonl"
    assert check(make_store(tmp_path / "again", lines(tmp_path / "clean.jsonl"), PAIR)).findings == []


def test_empty_copy_and_unknown_findings_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", [{"question": "", "answer": ""}] * 2, PAIR)
    target = tmp_path / "clean.jsonl"
    with pytest.raises(DataProblem, match="without these rows would be empty"):
        write_cleaned_copy(store, PAIR, target=target, drop=["unusable_rows"])
    with pytest.raises(DataProblem, match="cannot be cleaned of few_rows, truncated_rows"):
        write_cleaned_copy(store, PAIR, target=target, drop=["truncated_rows", "few_rows"])
    assert not target.exists()
