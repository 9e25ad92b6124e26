"""Recognises the shape of rows: tries every public shape on a sample, and says what it saw and how sure it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.data.build_example import build_example
from pipeline.data.cells import is_blank, kind_name, shorten
from pipeline.data.example import Row, UnusableRow
from pipeline.data.mapping import ColumnPart, ImagePart, Mapping, Parts, Recognition, TemplatePart
from pipeline.data.sample import Sample
from pipeline.data.shapes import SHAPES
from pipeline.data.shapes.shape import Guess
from pipeline.data.validate_mapping import mapped_columns

# A shape of which fewer rows become examples gives way to one that fits more of them.
_FITTING_SHARE = 0.5
_CONFIDENCE_WITH_ALTERNATIVE = 0.9
# Guesses are made only where nothing else fits.
_LAST_RESORT = "two_columns"
_SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class _Trial:
    """A shape's mapping tried on the sample."""

    shape: str
    guess: Guess
    share: float
    failures: tuple[tuple[int, str], ...]
    has_images: bool

    @property
    def mapping(self) -> Mapping:
        return self.guess.mapping


def recognise(rows: Sequence[Row]) -> Recognition | None:
    """What the sampled rows are, or None where no shape fits any of them.

    The confidence is the share of the rows that become examples, lowered where other columns would make a shape too,
    and never high for a guess. A shape that fits but has no usable row is recognised with confidence 0 and its reason.
    """
    sample = Sample(rows)
    trials = [_try(shape.name, guess, sample) for shape in SHAPES for guess in shape.guess(sample)]
    sure = [trial for trial in trials if trial.shape != _LAST_RESORT]
    trials = sure if any(trial.share for trial in sure) else [trial for trial in trials if trial.share] or sure
    if not trials:
        return None
    fitting = (trial for trial in trials if trial.share >= _FITTING_SHARE)
    best = next(fitting, None) or max(trials, key=lambda trial: trial.share)
    others = _alternatives(best, trials, sample)
    confidence = min(best.share, best.guess.ceiling) * _CONFIDENCE_WITH_ALTERNATIVE ** len(others)
    return Recognition(
        shape=best.shape,
        mapping=best.mapping,
        confidence=round(confidence, 3),
        reasons=(*_reasons(best, sample), *(_alternative_reason(other, sample) for other in others)),
        modality="multimodal" if best.has_images else "text",
    )


def describe_columns(rows: Sequence[Row]) -> str:
    """A sentence on what was found: each column with what it holds and a short sample of it."""
    sample = Sample(rows)
    if not sample.columns:
        return "No columns were found."
    shown = [_described(sample, column) for column in sample.columns[:_SHOWN_COLUMNS]]
    more = len(sample.columns) - len(shown)
    return f"Found: {', '.join(shown)}{f' and {more:,} more columns' if more else ''}."


def _try(shape: str, guess: Guess, sample: Sample) -> _Trial:
    failures, has_images = [], False
    for number, row in enumerate(sample.rows, start=1):
        try:
            example = build_example(number, row, guess.mapping, columns=sample.columns)
        except UnusableRow as error:
            failures.append((number, str(error)))
            continue
        has_images = has_images or any(message.images for message in example.messages or ())
    share = 1 - len(failures) / len(sample.rows)
    return _Trial(shape, guess, share, tuple(failures), has_images)


def _alternatives(best: _Trial, trials: Sequence[_Trial], sample: Sample) -> list[_Trial]:
    """Shapes that fit as well and are more than a part of the best one; one for each set of columns."""
    used = [mapped_columns(best.mapping, sample.columns)]
    others = []
    for trial in trials:
        columns = mapped_columns(trial.mapping, sample.columns)
        if trial is not best and trial.share >= _FITTING_SHARE and not any(columns <= seen for seen in used):
            used.append(columns)
            others.append(trial)
    return others


def _alternative_reason(other: _Trial, sample: Sample) -> str:
    columns = mapped_columns(other.mapping, sample.columns)
    shown = _listed([column for column in sample.columns if column in columns])
    return f"{shown} would fit as {other.shape} too."


def _reasons(best: _Trial, sample: Sample) -> Iterator[str]:
    mapping = best.mapping
    yield from _roles_of_columns(mapping)
    yield from best.guess.reasons
    used = mapped_columns(mapping, sample.columns)
    rest = [column for column in sample.columns if column not in used and sample.kind(column) != "empty"]
    if rest:
        kept = "kept for rewards" if mapping.format == "prompt_only" else "not used"
        yield f"{_listed(rest)} {'is' if len(rest) == 1 else 'are'} {kept}."
    if best.failures:
        number, reason = best.failures[0]
        yield (
            f"{len(best.failures):,} of {len(sample.rows):,} sampled rows cannot be used; "
            f"the first is number {number:,} of the sample: {reason}."
        )


def _roles_of_columns(mapping: Mapping) -> Iterator[str]:
    said = [
        f"{_listed(columns)} {'is' if len(columns) == 1 else 'together are'} {meaning}"
        for parts, meaning in (
            (mapping.system, "the system text"),
            (mapping.prompt, "the prompt"),
            (mapping.completion, "the answer"),
            (mapping.chosen, "the chosen answer"),
            (mapping.rejected, "the rejected answer"),
            (mapping.text, "the text"),
        )
        if (columns := _columns_of(parts))
    ]
    said.extend(f"{_listed([part.column])} holds the image" for part in mapping.prompt if isinstance(part, ImagePart))
    if mapping.conversation is not None and mapping.format == "prompt_completion":
        said.append(f"{_listed([mapping.conversation.column])} holds the turns before it")
    for column, meaning in (
        (mapping.label, "says whether the answer is good"),
        (mapping.tools, "holds the tools"),
        (mapping.images, "holds the images"),
    ):
        if column is not None:
            said.append(f"{_listed([column])} {meaning}")
    yield from (f"{sentence}." for sentence in said)


def _columns_of(parts: Parts) -> list[str]:
    return [
        part.template if isinstance(part, TemplatePart) else part.column
        for part in parts
        if isinstance(part, (ColumnPart, TemplatePart))
    ]


def _described(sample: Sample, column: str) -> str:
    cells = sample.cells(column)
    if not cells:
        return f"{column} (empty)"
    first = next(cell for cell in cells if not is_blank(cell))
    try:
        shown = f'"{shorten(first)}"' if isinstance(first, str) else shorten(str(first))
    except RecursionError:
        shown = "one that is nested very deeply"
    return f"{column} ({kind_name(first)}, such as {shown})"


def _listed(columns: Sequence[str]) -> str:
    shown = [column.strip("\ufeff ") for column in columns[:_SHOWN_COLUMNS]]
    if len(columns) > len(shown):
        return f"Columns {', '.join(shown)} and {len(columns) - len(shown)} more"
    if len(shown) == 1:
        return f"Column {shown[0]}"
    return f"Columns {', '.join(shown[:-1])} and {shown[-1]}"
