"""Tokenises every row as training does and reports lengths, cut-offs and rows without anything to learn."""

import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from pipeline.chat_template import UnusableConversation
from pipeline.data.build_example import build_example
from pipeline.data.example import Example, Message, UnusableRow
from pipeline.data.integrity.catalogue import Severity
from pipeline.data.integrity.flags import Flags
from pipeline.data.integrity.image_files import ImageFiles
from pipeline.data.integrity.lengths import build_histogram, default_max_length
from pipeline.data.integrity.report import IntegrityFinding, TokenReport, sort_findings
from pipeline.data.mapping import Mapping
from pipeline.data.row_store import RowStore
from pipeline.errors import DataProblem
from pipeline.row_encoder import IGNORED, RowEncoder
from pipeline.vision.images import UnreadableImage, readable
from pipeline.vision.rows import ImageRowEncoder, row_encoder

Progress = Callable[[float, str], None]
_BATCH_ROWS = 256
_NEVER = 2**32 - 1


@dataclass
class _Lengths:
    """Of each tokenised row its number, length, and where its first trained token is (_NEVER: nowhere)."""

    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("I"))
    first_trained: "array[int]" = field(default_factory=lambda: array("I"))
    trained: int = 0

    def add(self, row: int, *, length: int, first_trained: int, trained: int) -> None:
        """Take one row."""
        self.numbers.append(row)
        self.lengths.append(length)
        self.first_trained.append(first_trained)
        self.trained += trained


def check_tokens(
    store: RowStore,
    mapping: Mapping,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    train_on: Literal["assistant", "all"],
    progress: Progress,
    processor: ProcessorMixin | None = None,
) -> TokenReport:
    """Lengths of all usable rows in tokens. `max_length` None: the limit that a run would take from the lengths.

    With the `processor` of a model that sees, images are tokens, too.

    A preference is as long as the longer of its two answers with the prompt; of a prompt alone nothing is trained on.

    Raises:
        DataProblem: no row can be tokenised.
        ModelUnavailable: the rows are conversations and the tokenizer has no usable chat template.
    """
    began = time.monotonic()
    encoder = row_encoder(tokenizer, processor, train_on=train_on)
    found = _Lengths()
    with Flags(None) as flags:
        examples = _examples(store, mapping, progress)
        for batch in _batches(examples if processor is None else _readable(examples, ImageFiles(store.folder), flags)):
            if mapping.format == "prompt_only":
                _measure_prompts(batch, encoder, found, flags)
            else:
                _measure(batch, encoder, found, flags)
        if not found.lengths:
            raise DataProblem(
                f"No row of {store.summary.name} can be tokenised. Choose other columns or another model."
            )
        limit = default_max_length(found.lengths) if max_length is None else max_length
        untrained = 0 if mapping.format == "prompt_only" else _flag_untrained(found, limit, flags)
        for number, length in zip(found.numbers, found.lengths, strict=True):
            if length > limit:
                flags.add("truncated_rows", number, f"has {length} tokens")
        total = store.summary.rows + store.summary.unreadable_rows
        details = {"truncated_rows": f"The limit is {limit:,} tokens, the longest row has {max(found.lengths):,}."}
        findings = [*flags.findings(total, details=details), *_check_specials(tokenizer, encoder, mapping)]
        return TokenReport(
            checked_with=tokenizer.name_or_path,
            rows=len(found.lengths),
            histogram=build_histogram(found.lengths, unit="tokens", cutoff=limit),
            max_length=limit,
            max_length_from="data" if max_length is None else "setting",
            truncated_rows=flags.count("truncated_rows"),
            truncated_share=flags.count("truncated_rows") / len(found.lengths),
            untrained_rows=untrained,
            tokens=sum(found.lengths),
            trained_tokens=found.trained,
            findings=sort_findings(findings),
            seconds=round(time.monotonic() - began, 2),
        )


def _examples(store: RowStore, mapping: Mapping, progress: Progress) -> Iterator[Example]:
    columns = frozenset(store.summary.columns)
    for index, item in enumerate(store.rows()):
        if index % _BATCH_ROWS == 0:
            progress(index / len(store), f"Tokenising row {index:,} of {len(store):,}")
        try:
            yield build_example(item.number, item.row, mapping, columns=columns)
        except UnusableRow:
            # The integrity report lists them.
            continue


def _readable(examples: Iterable[Example], files: ImageFiles, flags: Flags) -> Iterator[Example]:
    for example in examples:
        try:
            yield readable(example, files)
        except UnreadableImage as error:
            flags.add("unrenderable_rows", example.row, str(error))


def _batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
    iterator = iter(examples)
    while batch := list(islice(iterator, _BATCH_ROWS)):
        yield batch


def _measure(batch: list[Example], encoder: RowEncoder | ImageRowEncoder, found: _Lengths, flags: Flags) -> None:
    """Rows are encoded as training encodes them; the two sides of a preference one after the other."""
    sides = [example if example.chosen is None else _side(example, example.chosen) for example in batch]
    sides += [_side(example, example.rejected) for example in batch if example.rejected is not None]
    rows = encoder.encode(sides, on_dropped=lambda dropped: flags.add("unrenderable_rows", dropped.row, dropped.reason))
    beginning = encoder.tokenizer.bos_token_id
    measured: dict[int, tuple[int, int, int]] = {}
    for row in rows:
        if beginning is not None and row.input_ids[:2] == [beginning] * 2:
            flags.add("double_beginning", row.row, "begins twice")
        # The first token of a row is never predicted.
        trained = [place for place, label in enumerate(row.labels) if label != IGNORED and place > 0]
        length, first, count = measured.get(row.row, (0, 0, 0))
        own_first = trained[0] if trained else _NEVER
        measured[row.row] = (max(length, len(row.input_ids)), max(first, own_first), count + len(trained))
    for number, (length, first, count) in sorted(measured.items()):
        found.add(number, length=length, first_trained=first, trained=count)
    _flag_folded(batch, encoder, flags)


def _measure_prompts(
    batch: list[Example], encoder: RowEncoder | ImageRowEncoder, found: _Lengths, flags: Flags
) -> None:
    for example in batch:
        try:
            text = encoder.template.prompt(example.messages or (), example.tools)
        except UnusableConversation as error:
            flags.add("unrenderable_rows", example.row, str(error))
            continue
        ids = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
        found.add(example.row, length=len(ids), first_trained=_NEVER, trained=0)
    _flag_folded(batch, encoder, flags)


def _side(example: Example, answer: tuple[Message, ...]) -> Example:
    """The conversation that an answer ends."""
    return replace(example, messages=(*(example.messages or ()), *answer), chosen=None, rejected=None)


def _flag_folded(batch: list[Example], encoder: RowEncoder | ImageRowEncoder, flags: Flags) -> None:
    for example in batch:
        if example.messages and example.messages[0].role == "system" and encoder.template.folds_system:
            flags.add("system_turns_folded", example.row, "has a system turn")


def _flag_untrained(found: _Lengths, limit: int, flags: Flags) -> int:
    for number, first in zip(found.numbers, found.first_trained, strict=True):
        if first == _NEVER:
            flags.add("rows_without_trained_token", number, "no token of it is trained on")
        elif first >= limit:
            flags.add("answers_after_limit", number, f"its answer starts after the limit of {limit} tokens")
    return flags.count("rows_without_trained_token") + flags.count("answers_after_limit")


def _check_specials(
    tokenizer: PreTrainedTokenizerBase, encoder: RowEncoder | ImageRowEncoder, mapping: Mapping
) -> list[IntegrityFinding]:
    """Tokens that end a turn or a row and cannot be learned."""
    found = []
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id == tokenizer.eos_token_id:
        message = (
            f"The tokenizer pads with its end-of-text token {tokenizer.eos_token}. A loss that leaves out padding "
            "by its token leaves out the end of every row too, and the model does not learn to stop."
        )
        found.append(_finding("pad_is_end", "warning", message))
    if mapping.format != "text" and not encoder.template.end_of_turn_ids():
        message = (
            "The chat template writes no special token after an answer, so the model does not learn where an answer "
            "ends. Choose an instruction-tuned model, or end the answers with a token in chat_template.jinja."
        )
        found.append(_finding("no_end_of_turn", "warning", message))
    return found


def _finding(code: str, severity: Severity, message: str) -> IntegrityFinding:
    return IntegrityFinding(code=code, severity=severity, message=message, count=0, share=0.0)
