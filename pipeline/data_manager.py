"""DataManager: reads the rows of a data set, holds out the evaluation rows, and has the method encode them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Example, UnusableRow
from pipeline.data.examples import ExampleSet, no_usable_row, read_examples
from pipeline.data.integrity.lengths import UNCUT_LENGTH, default_max_length
from pipeline.data.near_duplicates import near_duplicate_groups, text_key
from pipeline.data.open_data import open_data
from pipeline.data.partition import partition
from pipeline.errors import DataProblem, InvalidConfig
from pipeline.events import DataLoaded, RowDropped
from pipeline.job_tracker import JobTracker
from pipeline.method_config import format_problem
from pipeline.methods import EncodedRow, Encoder, method_for
from pipeline.model_manager import LoadedModel
from pipeline.vision.images import keep_readable, regroup_by_images
from pipeline.vision.limits import image_problems

SHOWN_DROPPED_ROWS = 20
KEPT_HELD_OUT = 50
_QUESTION_AND_ANSWER: list[tuple[str, tuple[str, ...]]] = [("user", ()), ("assistant", ())]


@dataclass(frozen=True)
class SplitExamples:
    """The usable rows before they meet a model: what is trained on, and what is held out."""

    train: list[Example]
    evaluation: list[Example]

    @property
    def have_images(self) -> bool:
        """Whether any row has a picture."""
        return any(turn.images for example in (*self.train, *self.evaluation) for turn in example.messages or ())


@dataclass(frozen=True)
class PreparedData:
    """The rows ready for training, the longest length in tokens, and the held-out examples as they were."""

    train: list[Any]
    evaluation: list[Any]
    max_length: int
    held_out: list[Example] = field(default_factory=list)


class DataManager:
    """Reads, splits, encodes and cuts the rows as the configuration and its method say."""

    def __init__(self, config: FineTuneJobConfig, tracker: JobTracker) -> None:
        self.config = config
        self.tracker = tracker
        self.dropped: list[RowDropped] = []

    def load(self, loaded: LoadedModel) -> PreparedData:
        """`read` and `encode` in one."""
        return self.encode(self.read(), loaded)

    def read(self) -> SplitExamples:
        """The rows of the data set as examples of a format that the method learns from, divided.

        Raises:
            DataProblem: a file cannot be read, or the method does not learn from such rows.
            InvalidConfig: rows have images, and a setting keeps the run from learning from them.
        """
        train, evaluation = self._split()
        self.tracker.run_dir.write_held_out(_single_turns(evaluation))
        examples = SplitExamples(train, evaluation)
        problems = image_problems(self.config) if examples.have_images else []
        if problems:
            raise InvalidConfig(problems)
        return examples

    def encode(self, examples: SplitExamples, loaded: LoadedModel) -> PreparedData:
        """The rows as the method's trainer takes them, none longer than the model reads.

        Raises:
            DataProblem: no row is left to train on.
            ModelUnavailable: the rows are conversations and the model has no usable chat template.
        """
        self.tracker.stage("loading_data", f"Tokenising {Path(self.config.dataset.path).name}")
        encoder = method_for(self.config.method.kind).encoder(self.config, loaded)
        train_rows = self._encode(examples.train, encoder)
        eval_rows = self._encode(examples.evaluation, encoder)
        max_length = self._max_length([row.length for row in train_rows], loaded.context_length)
        # No token of a text is lost between its pieces.
        in_pieces = self.config.method.kind == "cpt"
        truncated = 0 if in_pieces else sum(row.length > max_length for row in (*train_rows, *eval_rows))
        prepared = PreparedData(
            self._cut(train_rows, max_length), self._cut(eval_rows, max_length), max_length, examples.evaluation
        )
        if not prepared.train:
            raise DataProblem(self._nothing_left())
        self._report(prepared, truncated)
        return prepared

    def _split(self) -> tuple[list[Example], list[Example]]:
        dataset, seed = self.config.dataset, self.config.training.seed
        found = self._read(dataset.path)
        divided = partition(
            found.splits,
            dataset,
            seed=seed,
            name=Path(dataset.path).name,
            group=lambda positions: self._groups([found.examples[position] for position in positions]),
        )
        if divided.note:
            self.tracker.warn("evaluation_split", divided.note)
        train = [found.examples[position] for position in divided.train]
        if dataset.eval_path is not None:
            return train, self._read(dataset.eval_path).examples
        wanted = dataset.eval_share > 0 or dataset.eval_rows is not None
        if wanted and not divided.evaluation:
            self.tracker.warn("no_evaluation", "There are too few rows to hold any out, so there is no evaluation.")
        return train, [found.examples[position] for position in divided.evaluation]

    def _groups(self, examples: list[Example]) -> Sequence[int]:
        if not self.config.dataset.group_near_duplicates:
            return range(len(examples))
        groups = near_duplicate_groups([text_key(example) for example in examples], seed=self.config.training.seed)
        return regroup_by_images(examples, groups)

    def _read(self, source: str) -> ExampleSet:
        store = open_data(source, imports=self.tracker.run_dir.path / "imports")
        # A reward may look at any column.
        examples = read_examples(store, self.config.dataset, keep_rows=self.config.method.kind == "grpo")
        found = keep_readable(examples, store.folder)
        problem = format_problem(self.config.method.kind, found.format)
        if problem is not None:
            raise DataProblem(f"{Path(source).name}: {problem}")
        self.dropped += found.dropped
        if not found.examples:
            raise no_usable_row(Path(source).name, found.dropped[0])
        return found

    def _encode(self, examples: list[Example], encoder: Encoder) -> list[EncodedRow]:
        rows = encoder.encode(examples, on_dropped=self.dropped.append)
        empty = [row.row for row in rows if row.trained_tokens == 0]
        self.dropped += [RowDropped(row=number, reason="no token of it is trained on") for number in empty]
        return [row for row in rows if row.trained_tokens > 0]

    def _max_length(self, lengths: list[int], context_length: int) -> int:
        if not lengths:
            raise DataProblem(self._nothing_left())
        if self.config.method.kind == "grpo":
            # Prompts are never cut.
            return max(lengths)
        wanted = self.config.method.max_length
        length = default_max_length(lengths) if wanted is None else wanted
        if wanted is None and self.config.method.kind == "cpt":
            # Pieces lose nothing, so long texts need not decide the memory of the run.
            length = min(length, UNCUT_LENGTH)
        if wanted is not None and wanted > context_length:
            self.tracker.warn(
                "max_length_capped",
                f"max_length is {wanted}, but the model reads {context_length} tokens at most; rows are cut there.",
            )
        return min(length, context_length)

    def _cut(self, rows: list[EncodedRow], max_length: int) -> list[EncodedRow]:
        kept = []
        for row in rows:
            reason = f"what it trains on starts after the limit of {max_length} tokens"
            try:
                pieces = [piece for piece in row.cut(max_length) if piece.trained_tokens > 0]
            except UnusableRow as error:
                pieces, reason = [], str(error)
            kept += pieces
            if not pieces:
                self.dropped.append(RowDropped(row=row.row, reason=reason))
        return kept

    def _nothing_left(self) -> str:
        first = self.dropped[0]
        return f"No row is left to train on: {len(self.dropped)} were dropped. Row {first.row}: {first.reason}."

    def _report(self, prepared: PreparedData, truncated: int) -> None:
        if truncated:
            self.tracker.warn(
                "rows_truncated",
                f"{truncated} rows are longer than {prepared.max_length} tokens and were cut or left out. Raise "
                "method.max_length to keep them whole.",
            )
        self.dropped.sort(key=lambda dropped: dropped.row)
        self.tracker.record(
            DataLoaded(
                train_rows=len(prepared.train),
                eval_rows=len(prepared.evaluation),
                tokens=sum(row.tokens for row in prepared.train),
                trained_tokens=sum(row.trained_tokens for row in prepared.train),
                max_length=prepared.max_length,
                truncated_rows=truncated,
                dropped_rows=len(self.dropped),
                dropped_examples=self.dropped[:SHOWN_DROPPED_ROWS],
            )
        )


def _single_turns(examples: list[Example]) -> list[tuple[str, str]]:
    """The first questions and answers without a history and without images."""
    pairs = (example.messages for example in examples if example.messages is not None and not example.tools)
    single = (turns for turns in pairs if [(turn.role, turn.images) for turn in turns] == _QUESTION_AND_ANSWER)
    return [(question.content, answer.content) for question, answer in islice(single, KEPT_HELD_OUT)]
