"""Before and after: some rows of a method, to look at before the whole of it is run."""

from collections.abc import Iterable, Sequence
from itertools import islice

from pipeline.augment.asking import stop_after_failures
from pipeline.augment.config import (
    Augmentation,
    DocumentAugmentation,
    ParaphraseAugmentation,
    SynthesisAugmentation,
)
from pipeline.augment.copies import KnownRows
from pipeline.augment.endpoint import ChatClient
from pipeline.augment.outcome import BeforeAfter, Outcome
from pipeline.augment.picks import generator_for, pick_examples, shuffle_examples
from pipeline.augment.request import Request
from pipeline.augment.run import outcomes_of, plan_augmentation
from pipeline.data.example import Example

# Where a method suits few rows, so many are tried before the preview says that it finds none.
_MOST_TRIED_WITHOUT_ENDPOINT = 1000


def preview(
    config: Augmentation,
    examples: Sequence[Example],
    *,
    count: int = 10,
    seed: int,
    client: ChatClient | None = None,
) -> list[BeforeAfter]:
    """Up to `count` rows before and after, spread over the training rows; refusals where there are fewer.

    A method that asks nobody shows rows exactly as the run will make them. One that asks a model sends at most
    `count` requests; the run asks again, and the model may answer otherwise. Copies are looked for among the rows
    shown only.

    Raises:
        DataProblem: as `augment`.
    """
    shown, items = _sample(config, examples, count=count, seed=seed)
    known = KnownRows(shown, {})
    outcomes = stop_after_failures(known.refuse_copies(outcomes_of(config, items, client=client)))
    made: list[BeforeAfter] = []
    refused: list[BeforeAfter] = []
    for outcome in outcomes:
        shared = {"made_from": outcome.made_from, "before": outcome.before}
        made += [BeforeAfter.model_validate({**shared, "after": row}) for row in outcome.rows]
        refused += [BeforeAfter.model_validate({**shared, "refused": refusal}) for refusal in outcome.refused]
        if len(made) >= count:
            break
    return (made + refused)[:count]


def _sample(
    config: Augmentation, examples: Sequence[Example], *, count: int, seed: int
) -> tuple[Sequence[Example], Iterable[Request | Outcome]]:
    """Training rows among which copies are looked for, and the items of the plan to try."""
    match config:
        case SynthesisAugmentation():
            return examples, islice(plan_augmentation(config, examples, seed=seed).items, count)
        case DocumentAugmentation():
            items = list(plan_augmentation(config, examples, seed=seed).items)
            return (), generator_for(seed, "preview").sample(items, min(count, len(items)))
    drawn = shuffle_examples(pick_examples(examples, config.share, seed=seed), seed=seed)
    tried = drawn[: count if isinstance(config, ParaphraseAugmentation) else _MOST_TRIED_WITHOUT_ENDPOINT]
    return tried, plan_augmentation(config.model_copy(update={"share": 1.0}), tried, seed=seed).items
