"""Runs an augmentation: plan, ask or change, refuse copies, stop where it makes no sense to go on."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from pipeline.augment.asking import ask_all, stop_after_failures
from pipeline.augment.config import (
    Augmentation,
    CaseAugmentation,
    DocumentAugmentation,
    EndpointAugmentation,
    ParaphraseAugmentation,
    SynthesisAugmentation,
    SystemDropAugmentation,
    TyposAugmentation,
)
from pipeline.augment.copies import KnownRows
from pipeline.augment.endpoint import ChatClient, open_endpoint
from pipeline.augment.from_documents import plan_questions
from pipeline.augment.local import plan_changes
from pipeline.augment.outcome import Outcome
from pipeline.augment.paraphrase import plan_paraphrases
from pipeline.augment.request import Plan, Request
from pipeline.augment.review import ReviewCounts, ReviewFolder
from pipeline.augment.synthesis import plan_synthesis
from pipeline.data.example import Example
from pipeline.errors import DataProblem

Progress = Callable[[int, int], None]


def plan_augmentation(config: Augmentation, examples: Sequence[Example], *, seed: int) -> Plan:
    """All that the method will ask or change.

    Raises:
        DataProblem: there are no training rows, none suits the method, or a document cannot be read.
    """
    if not examples and not isinstance(config, DocumentAugmentation):
        raise DataProblem("There are no training rows to start from. Import some, or make rows from documents.")
    match config:
        case ParaphraseAugmentation():
            return plan_paraphrases(config, examples, seed=seed)
        case SynthesisAugmentation():
            return plan_synthesis(config, examples, seed=seed)
        case DocumentAugmentation():
            return plan_questions(config, examples, seed=seed)
        case TyposAugmentation() | CaseAugmentation() | SystemDropAugmentation():
            return plan_changes(config, examples, seed=seed)


def augment(
    config: Augmentation,
    examples: Sequence[Example],
    *,
    progress: Progress,
    seed: int,
    existing_keys: Mapping[str, str],
    finished: Collection[str] = frozenset(),
    client: ChatClient | None = None,
) -> Iterator[Outcome]:
    """The outcome of every request of the method that is not `finished`, in the order of the plan.

    `examples` are the training rows, never others. `existing_keys` (see `row_key`) name the rows beyond them that a
    new row must not copy: the other splits, rows generated before. `progress` is told how many items of the plan are
    done, and of how many. Without a `client`, the endpoint of the configuration is asked, with the key in this
    process's environment.

    Raises:
        DataProblem: no request can succeed, or too many in a row gave no row.
    """
    plan = plan_augmentation(config, examples, seed=seed)
    known = KnownRows(examples, existing_keys)
    seen = set(finished)
    done = 0

    def unfinished() -> Iterator[Request | Outcome]:
        nonlocal done
        for item in plan.items:
            request = item.id if isinstance(item, Request) else item.request
            # The same passage of a document named twice is one request.
            if request in seen:
                done += 1
            else:
                seen.add(request)
                yield item

    progress(done, plan.total)
    for outcome in stop_after_failures(known.refuse_copies(outcomes_of(config, unfinished(), client=client))):
        done += 1
        yield outcome
        progress(done, plan.total)


def outcomes_of(
    config: Augmentation, items: Iterable[Request | Outcome], *, client: ChatClient | None
) -> Iterator[Outcome]:
    """The outcome of each item of a plan, in order.

    Raises:
        DataProblem: no request can succeed.
    """
    if not isinstance(config, EndpointAugmentation):
        yield from (item for item in items if isinstance(item, Outcome))
    elif client is not None:
        yield from ask_all(items, client, concurrent=config.endpoint.concurrent_requests)
    else:
        with open_endpoint(config.endpoint) as opened:
            yield from ask_all(items, opened, concurrent=config.endpoint.concurrent_requests)


def augment_into(
    review: ReviewFolder,
    config: Augmentation,
    examples: Sequence[Example],
    *,
    progress: Progress,
    seed: int,
    existing_keys: Mapping[str, str],
    client: ChatClient | None = None,
) -> ReviewCounts:
    """Run an augmentation into a review folder, going on where an earlier run ended; what it holds afterwards.

    Raises:
        DataProblem: as `augment`; what was generated until then is in the folder.
    """
    outcomes = augment(
        config,
        examples,
        progress=progress,
        seed=seed,
        existing_keys={**existing_keys, **review.keys()},
        finished=review.finished_requests(),
        client=client,
    )
    for outcome in outcomes:
        review.add(outcome)
    return review.counts()
