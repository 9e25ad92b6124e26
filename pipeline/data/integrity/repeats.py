"""Flags rows that repeat others: exactly, nearly, across splits, or with another answer. For child processes only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.data.integrity.flags import Flags
from pipeline.data.integrity.survey import NO_LABEL, Survey
from pipeline.data.near_duplicates import Labels, group_equal

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class _Rows:
    """The survey as arrays: numbers and sides of the rows, and for each row the first with the same words."""

    numbers: Hashes
    evaluation: npt.NDArray[np.bool_]
    content: Hashes
    near: Labels


def flag_repeats(survey: Survey, near: Labels, flags: Flags) -> dict[str, str]:
    """Flag duplicates, near duplicates, overlap of the splits and conflicts; returns further sentences by code.

    `near` is the group of each row of the survey by the words of its turns.
    """
    if not len(survey):
        return {}
    pictures = np.array(survey.pictures, dtype=np.uint64)
    rows = _Rows(
        numbers=np.array(survey.numbers, dtype=np.uint64),
        evaluation=np.array(survey.sides, dtype=np.bool_),
        content=_mix(
            np.array(survey.prompts, dtype=np.uint64),
            np.array(survey.answers, dtype=np.uint64),
            np.array(survey.rejected, dtype=np.uint64) if survey.rejected else None,
            np.array(survey.labels, dtype=np.int64).astype(np.uint64),
        ),
        # The same words about other images are another row.
        near=_refine(near, pictures) if pictures.any() else near,
    )
    _flag_duplicates(rows, flags)
    details = _flag_overlap(rows, flags)
    if survey.rejected:
        _flag_swapped(survey, rows, flags)
    elif any(label != NO_LABEL for label in survey.labels):
        _flag_labels(survey, rows, flags)
    else:
        _flag_answers(survey, rows, flags)
    return details


def _flag_duplicates(rows: _Rows, flags: Flags) -> None:
    for of, index in _repeats(_groups(_mix(rows.content, rows.evaluation.astype(np.uint64))), rows):
        flags.add("duplicate_rows", index, f"the same as row {of}", of=of)
    same_side = _refine(rows.near, rows.evaluation.astype(np.uint64))
    exact = _groups(_mix(rows.content, rows.evaluation.astype(np.uint64)))
    first_of_its_kind = exact == np.arange(len(exact))
    near = np.where(first_of_its_kind, same_side, np.arange(len(exact)))
    for of, index in _repeats(near, rows):
        flags.add("near_duplicate_rows", index, f"almost the same as row {of}", of=of)


def _flag_overlap(rows: _Rows, flags: Flags) -> dict[str, str]:
    training, held = np.flatnonzero(~rows.evaluation), np.flatnonzero(rows.evaluation)
    if not len(training) or not len(held):
        return {}
    exact = _first_match(rows.content, training, held)
    near = _first_match(rows.near.astype(np.uint64), training, held)
    found = exact >= 0
    for row, same, alike in zip(held.tolist(), exact.tolist(), near.tolist(), strict=True):
        if same >= 0:
            of = int(rows.numbers[same])
            flags.add("evaluation_overlap", int(rows.numbers[row]), f"the same as training row {of}", of=of)
        elif alike >= 0:
            of = int(rows.numbers[alike])
            flags.add("evaluation_overlap", int(rows.numbers[row]), f"almost the same as training row {of}", of=of)
    total = int(np.count_nonzero(found | (near >= 0)))
    if not total:
        return {}
    return {"evaluation_overlap": f"{int(found.sum()):,} of them are the same word for word, of {len(held):,} in all."}


def _flag_answers(survey: Survey, rows: _Rows, flags: Flags) -> None:
    prompts, answers = np.array(survey.prompts, dtype=np.uint64), np.array(survey.answers, dtype=np.uint64)
    for of, number in _differing(prompts, answers, rows, alone=prompts == 0):
        flags.add("conflicting_answers", number, f"another answer than row {of} to the same prompt", of=of)


def _flag_labels(survey: Survey, rows: _Rows, flags: Flags) -> None:
    prompts, answers = np.array(survey.prompts, dtype=np.uint64), np.array(survey.answers, dtype=np.uint64)
    labels = np.array(survey.labels, dtype=np.int64).astype(np.uint64)
    for of, number in _differing(_mix(prompts, answers), labels, rows, alone=None):
        flags.add("conflicting_labels", number, f"the same answer as row {of} with another label", of=of)


def _flag_swapped(survey: Survey, rows: _Rows, flags: Flags) -> None:
    prompts = np.array(survey.prompts, dtype=np.uint64)
    chosen, rejected = np.array(survey.answers, dtype=np.uint64), np.array(survey.rejected, dtype=np.uint64)
    swapped = np.flatnonzero(np.isin(_mix(prompts, chosen, rejected), _mix(prompts, rejected, chosen)))
    for number in rows.numbers[swapped].tolist():
        flags.add("conflicting_labels", number, "another row prefers its rejected answer to its chosen one")


def _differing(
    keys: Hashes, values: Hashes, rows: _Rows, *, alone: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[int, int]]:
    """Numbers of the rows that have another value than the first row of the same key, with that row's number."""
    first = group_equal(keys, alone=np.zeros(len(keys), dtype=np.bool_) if alone is None else alone)
    differing = np.flatnonzero(values != values[first])
    yield from zip(rows.numbers[first[differing]].tolist(), rows.numbers[differing].tolist(), strict=True)


def _repeats(groups: Labels, rows: _Rows) -> Iterator[tuple[int, int]]:
    """Numbers of the rows that are not the first of their group, each behind the number of the first."""
    later = np.flatnonzero(groups != np.arange(len(groups)))
    yield from zip(rows.numbers[groups[later]].tolist(), rows.numbers[later].tolist(), strict=True)


def _first_match(keys: Hashes, among: Labels, wanted: Labels) -> Labels:
    """For each of the `wanted` rows the first row `among` others with the same key, or -1."""
    known, first = np.unique(keys[among], return_index=True)
    places = np.minimum(np.searchsorted(known, keys[wanted]), len(known) - 1)
    return np.where(known[places] == keys[wanted], among[first[places]], -1)


def _groups(keys: Hashes) -> Labels:
    return group_equal(keys, alone=np.zeros(len(keys), dtype=np.bool_))


def _refine(groups: Labels, keys: Hashes) -> Labels:
    """Groups divided by the keys of their members."""
    return _groups(_mix(groups.astype(np.uint64), keys))


def _mix(*columns: Hashes | None) -> Hashes:
    """One hash of several columns of numbers; their order counts."""
    mixed: Hashes | None = None
    for column in columns:
        if column is None:
            continue
        mixed = column.copy() if mixed is None else mixed ^ column
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
    if mixed is None:
        raise ValueError("no columns to mix")
    return mixed
