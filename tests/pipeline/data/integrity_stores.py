"""Data sets for the tests of the integrity report."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.data.integrity.check import check_integrity
from pipeline.data.integrity.report import FlaggedRow, IntegrityFinding, IntegrityReport
from pipeline.data.mapping import ColumnPart, Conversation, Mapping, Recognition
from pipeline.data.row_store import FLAGS_FILE, RowStore, RowWriter, UnreadableRow

CHAT = Mapping(format="messages", conversation=Conversation(column="messages"))
PAIR = Mapping(
    format="prompt_completion", prompt=(ColumnPart(column="question"),), completion=(ColumnPart(column="answer"),)
)
TEXT = Mapping(format="text", text=(ColumnPart(column="text"),))
PREFERENCE = Mapping(
    format="preference",
    prompt=(ColumnPart(column="prompt"),),
    chosen=(ColumnPart(column="chosen"),),
    rejected=(ColumnPart(column="rejected"),),
)
UNPAIRED = Mapping(
    format="unpaired_preference",
    prompt=(ColumnPart(column="prompt"),),
    completion=(ColumnPart(column="completion"),),
    label="label",
)
PROMPTS = Mapping(format="prompt_only", prompt=(ColumnPart(column="prompt"),))
_CHOOSER = random.Random(4)
_WORDS = ["".join(_CHOOSER.choices("abcdefghijklmnopqrstuvwxyz", k=_CHOOSER.randint(3, 9))) for _ in range(3000)]


def words(count: int, *, seed: int) -> str:
    """Made-up words; another seed gives others."""
    return " ".join(random.Random(seed).choices(_WORDS, k=count))


def pairs(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Rows with a question and an answer each, none like another."""
    return [
        {"question": words(8, seed=2 * index), "answer": words(20, seed=2 * index + 1)}
        for index in range(first, first + count)
    ]


def make_store(
    folder: Path,
    rows: Iterable[dict[str, Any]],
    mapping: Mapping,
    *,
    splits: dict[str, Iterable[dict[str, Any]]] | None = None,
    unreadable: Iterable[UnreadableRow] = (),
) -> RowStore:
    """A data set of `rows` in the split train, and of `splits` behind them; rows are numbered from 1."""
    number = 0
    with RowWriter(folder) as writer:
        for split, members in {"train": rows, **(splits or {})}.items():
            for row in members:
                number += 1
                writer.add(number, row, split=split)
        for row in unreadable:
            writer.add_unreadable(row)
        recognition = Recognition(shape="custom", mapping=mapping, confidence=1.0)
        writer.finish(name="gems", source="gems.jsonl", files=["gems.jsonl"], recognition=recognition)
    return RowStore(folder)


def check(store: RowStore) -> IntegrityReport:
    """The report of a data set under its own mapping; the flags lie in its folder."""
    assert store.summary.recognition is not None
    return check_integrity(
        store, store.summary.recognition.mapping, flags=store.folder / FLAGS_FILE, progress=lambda share, message: None
    )


def flags_of(store: RowStore) -> list[FlaggedRow]:
    """The lines of the file of flagged rows."""
    lines = (store.folder / FLAGS_FILE).read_text(encoding="utf-8").splitlines()
    return [FlaggedRow.model_validate_json(line) for line in lines]


def finding(report: IntegrityReport, code: str) -> IntegrityFinding:
    """The one finding of this code."""
    (found,) = [finding for finding in report.findings if finding.code == code]
    return found


def codes(report: IntegrityReport) -> set[str]:
    """The codes of all findings."""
    return {finding.code for finding in report.findings}
