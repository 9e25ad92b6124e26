"""Checks every row of a data set and reports what is wrong with which. Imported by child processes only."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.data.build_example import build_example
from pipeline.data.example import Example, UnusableRow
from pipeline.data.integrity.flags import Flags
from pipeline.data.integrity.image_files import ImageFiles
from pipeline.data.integrity.languages import SAMPLED_CHARACTERS, SAMPLED_ROWS, detect_languages
from pipeline.data.integrity.lengths import build_histogram
from pipeline.data.integrity.repeats import flag_repeats
from pipeline.data.integrity.report import (
    IntegrityReport,
    IntegrityStatistics,
    NearDuplicateMethod,
    sort_findings,
)
from pipeline.data.integrity.row_text import text_problems
from pipeline.data.integrity.set_checks import check_answers, check_labels, check_languages, check_size
from pipeline.data.integrity.survey import Survey, parts_of, spread
from pipeline.data.mapping import Mapping
from pipeline.data.minhash import PERMUTATIONS
from pipeline.data.near_duplicates import THRESHOLD, NearDuplicates, text_key
from pipeline.data.partition import EVALUATION_SPLITS
from pipeline.data.row_store import UNUSABLE_FILE, RowStore, UnreadableRow
from pipeline.data.shingles import WORDS_PER_SHINGLE
from pipeline.data.splits import sample_rows

Progress = Callable[[float, str], None]
COMPARED = (
    "the words of all turns but the system's, case folded; runs of words that more than half of the rows share are "
    "left out as the data set's template"
)
# Rows as long as this and so many times as long as half of the rows are looked at.
LONG_CHARACTERS, LONG_FACTOR = 20_000, 20
_LISTED_REASONS = 3
_KEPT_REASONS = 10
# Reasons that name what a row holds may be as many as the rows.
_COUNTED_REASONS = 1000
_REPORT_ROWS = 2000
_READING_SHARE = 0.85
_SEED = 0


@dataclass
class _Pass:
    """What one pass over the rows found, beside the flags."""

    survey: Survey = field(default_factory=Survey)
    reasons: Counter[str] = field(default_factory=Counter)
    usable_splits: Counter[str] = field(default_factory=Counter)
    sample: list[str] = field(default_factory=list)


def check_integrity(store: RowStore, mapping: Mapping, *, flags: Path | None, progress: Progress) -> IntegrityReport:
    """Check all rows of a data set under a mapping; every flagged row becomes a line of the file `flags`.

    `progress` is called with the share done and a sentence.
    """
    began = time.monotonic()
    summary = store.summary
    total = summary.rows + summary.unreadable_rows
    scratch = None if flags is None else flags.parent
    with Flags(flags) as flagged, NearDuplicates(seed=_SEED, scratch=scratch) as near:
        _flag_unreadable(store, flagged)
        found = _read_rows(store, mapping, flagged, near, progress)
        survey = found.survey
        progress(_READING_SHARE, f"Comparing {len(survey):,} rows")
        details = flag_repeats(survey, near.groups(), flagged)
        if found.reasons:
            details["unusable_rows"] = _describe_reasons(found.reasons)
        if near.left_out_pairs:
            details["near_duplicate_rows"] = f"There may be more: {near.left_out_pairs:,} pairs were not compared."
        _flag_long(survey, flagged)
        progress(0.97, "Writing the report")
        languages = detect_languages(found.sample)
        labels = {name: count for name, value in (("good", 1), ("bad", 0)) if (count := survey.labels.count(value))}
        evaluation = {name: found.usable_splits[name] for name in summary.splits if is_evaluation_split(name)}
        findings = [
            *check_size(len(survey), evaluation=evaluation),
            *flagged.findings(total, details=details),
            *check_answers(_commonest_answer(survey, mapping), len(survey)),
            *(check_labels(labels) if mapping.format == "unpaired_preference" else []),
            *check_languages(languages),
        ]
        return IntegrityReport(
            rows=summary.rows,
            usable_rows=len(survey),
            passed=all(finding.severity != "error" for finding in findings),
            findings=sort_findings(findings),
            statistics=IntegrityStatistics(
                splits=summary.splits,
                turns=spread(survey.turns),
                characters=spread(survey.lengths),
                roles=dict(survey.roles.most_common()),
                images=survey.images,
                tool_calls=survey.tool_calls,
                labels=labels,
                unusable_reasons=dict(found.reasons.most_common(_KEPT_REASONS)),
                languages=languages,
            ),
            histogram=build_histogram(survey.lengths, unit="characters"),
            near_duplicate_method=NearDuplicateMethod(
                compared=COMPARED,
                threshold=THRESHOLD,
                permutations=PERMUTATIONS,
                words_per_shingle=WORDS_PER_SHINGLE,
                common_shingles=near.common_triples,
                uncompared_pairs=near.left_out_pairs,
            ),
            seconds=round(time.monotonic() - began, 2),
        )


def is_evaluation_split(name: str) -> bool:
    """Whether a split is for evaluation, by its name: validation, test_sft, dev-2, ….

    Whatever follows the first word of the name does not count.
    """
    return re.split(r"[^a-z]", name.lower(), maxsplit=1)[0] in EVALUATION_SPLITS


def _read_rows(store: RowStore, mapping: Mapping, flags: Flags, near: NearDuplicates, progress: Progress) -> _Pass:
    found, images = _Pass(), ImageFiles(store.folder)
    sides = {name: int(is_evaluation_split(name)) for name in store.summary.splits}
    sampled = set(sample_rows(len(store), SAMPLED_ROWS, _SEED))
    columns = frozenset(store.summary.columns)
    for index, item in enumerate(store.rows()):
        if index % _REPORT_ROWS == 0:
            progress(_READING_SHARE * index / len(store), f"Checking row {index:,} of {len(store):,}")
        try:
            example = build_example(item.number, item.row, mapping, columns=columns)
        except UnusableRow as error:
            flags.add("unusable_rows", item.number, str(error))
            _count_reason(found.reasons, str(error))
            continue
        found.usable_splits[item.split] += 1
        texts = found.survey.add(example, side=sides[item.split])
        near.add(text_key(example))
        for code, reason in (*text_problems("\n".join(texts)), *_example_problems(example, images)):
            flags.add(code, item.number, reason)
        if index in sampled:
            found.sample.append(" ".join(texts)[:SAMPLED_CHARACTERS])
    return found


def _example_problems(example: Example, images: ImageFiles) -> Iterator[tuple[str, str]]:
    prompt, answer, rejected = parts_of(example)
    if answer and len(answer[-1].content.strip()) == 1 and not answer[-1].tool_calls:
        yield "short_answers", f"its answer is {answer[-1].content.strip()!r}"
    if rejected and [turn.content.split() for turn in answer] == [turn.content.split() for turn in rejected]:
        yield "same_chosen_and_rejected", "chosen and rejected differ in white space only"
    for turn in (*prompt, *answer, *rejected):
        for reference in turn.images:
            problem = images.problem(reference)
            if problem is not None:
                yield problem


def _flag_unreadable(store: RowStore, flags: Flags) -> None:
    with (store.folder / UNUSABLE_FILE).open("rb") as file:
        for line in file:
            unreadable = UnreadableRow.model_validate_json(line)
            flags.add("unreadable_rows", unreadable.row, unreadable.reason)


def _flag_long(survey: Survey, flags: Flags) -> None:
    lengths = np.array(survey.lengths, dtype=np.int64)
    if not len(lengths):
        return
    limit = max(LONG_CHARACTERS, LONG_FACTOR * int(np.median(lengths)))
    for index in np.flatnonzero(lengths > limit).tolist():
        flags.add("very_long_rows", survey.numbers[index], f"has {lengths[index]:,} characters")


def _commonest_answer(survey: Survey, mapping: Mapping) -> int:
    """How many rows have the commonest answer; 0 for a format without answers."""
    if not len(survey) or mapping.format in ("text", "prompt_only"):
        return 0
    _, counts = np.unique(np.array(survey.answers, dtype=np.uint64), return_counts=True)
    return int(counts.max())


def _count_reason(reasons: Counter[str], reason: str) -> None:
    """Count reasons that differ only in numbers together."""
    kind = re.sub(r"\d+", "N", reason)
    if kind not in reasons and len(reasons) >= _COUNTED_REASONS:
        kind = "other reasons"
    reasons[kind] += 1


def _describe_reasons(reasons: Counter[str]) -> str:
    listed = reasons.most_common(_LISTED_REASONS)
    rest = reasons.total() - sum(count for _, count in listed)
    parts = [f"{reason} ({count:,})" for reason, count in listed] + ([f"other reasons ({rest:,})"] if rest else [])
    return f"Why: {'; '.join(parts)}."
