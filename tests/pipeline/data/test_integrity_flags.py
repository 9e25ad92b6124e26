"""The file of flagged rows, and the findings that sum it up."""

from pathlib import Path

import pytest

from pipeline.data.integrity.catalogue import LEAVES_OUT, ROW_PROBLEMS, TOKEN_CODES
from pipeline.data.integrity.flags import Flags, describe_count
from pipeline.data.integrity.report import FlaggedRow


def test_every_flag_is_a_line_and_a_row_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "flags.jsonl"
    with Flags(path) as flags:
        flags.add("mojibake", 7, "größe “x”\nline")
        flags.add("missing_images", 9, "one")
        flags.add("missing_images", 9, "two")
        flags.add("duplicate_rows", 3, "the same as row 1", of=1)
    lines = [FlaggedRow.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line.row, line.code, line.reason, line.of) for line in lines] == [
        (7, "mojibake", "größe “x”\nline", None),
        (9, "missing_images", "one", None),
        (9, "missing_images", "two", None),
        (3, "duplicate_rows", "the same as row 1", 1),
    ]
    assert flags.count("missing_images") == 1
    assert flags.count("html_remnants") == 0


def test_findings_list_the_first_rows_in_order() -> None:
    with Flags(None) as flags:
        for row in range(40, 0, -1):
            flags.add("html_remnants", row, "has <br>")
        (found,) = flags.findings(400, details={"html_remnants": "More is known."})
    assert found.rows == list(range(1, 21))
    assert (found.count, found.share, found.severity) == (40, 0.1, "info")
    assert found.message.startswith("HTML tags or entities in the text: 40 rows (10 %). More is known. ")


@pytest.mark.parametrize(("count", "severity"), [(49, "warning"), (50, "error")])
def test_problem_that_leaves_out_half_of_the_rows_is_an_error(count: int, severity: str) -> None:
    with Flags(None) as flags:
        for row in range(count):
            flags.add("unusable_rows", row, "turn 1 is empty")
        (found,) = flags.findings(100, details={})
    assert found.severity == severity


def test_check_that_fails_leaves_the_earlier_flags(tmp_path: Path) -> None:
    path = tmp_path / "flags.jsonl"
    path.write_text("earlier")

    def fail() -> None:
        with Flags(path) as flags:
            flags.add("mojibake", 7, "x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["flags.jsonl"]


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [(1, 8, "1 row (12.5 %)"), (2000, 4000, "2,000 rows (50 %)"), (1, 10**6, "1 row (under 0.1 %)"), (3, 0, "3 rows")],
)
def test_count_is_written_with_its_share(count: int, total: int, text: str) -> None:
    assert describe_count(count, total) == text


def test_messages_are_sentences() -> None:
    assert ROW_PROBLEMS.keys() >= LEAVES_OUT
    assert ROW_PROBLEMS.keys() >= TOKEN_CODES - {"pad_is_end", "no_end_of_turn"}
    for problem in ROW_PROBLEMS.values():
        assert problem.what[0].isupper()
        assert not problem.what.endswith(".")
        assert problem.advice.endswith(".")
