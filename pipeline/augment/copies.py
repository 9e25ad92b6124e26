"""Refuses rows that are there already: in the data set, or among the rows generated before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.augment.outcome import Outcome, Refused
from pipeline.augment.rows import row_key, row_of
from pipeline.data.example import Example


class KnownRows:
    """The keys of all rows that there are, with what each is called."""

    def __init__(self, examples: Sequence[Example], others: Mapping[str, str]) -> None:
        # Row numbers, not words: there may be a million of them.
        self._numbers = {row_key(row_of(example)): example.row for example in reversed(examples)}
        self._others = dict(others)

    def refuse_copies(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """The outcomes with exact copies among the refusals; rows that pass are known from then on."""
        for outcome in outcomes:
            kept, refused = [], list(outcome.refused)
            for generated in outcome.generated():
                key = row_key(generated.row)
                original = self._name_of(key)
                if original is None:
                    kept.append(generated.row)
                    self._others[key] = f"a generated row (from {outcome.made_from})"
                else:
                    refused.append(Refused.because("exact_copy", f"exact copy of {original}"))
            yield outcome.model_copy(update={"rows": tuple(kept), "refused": tuple(refused)})

    def _name_of(self, key: str) -> str | None:
        return f"row {self._numbers[key]}" if key in self._numbers else self._others.get(key)
