"""Asks a model for all that a plan wants: several requests at once, the outcomes in the plan's order."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from pipeline.augment.answers import NoJson, find_items
from pipeline.augment.endpoint import ChatClient
from pipeline.augment.outcome import Outcome, RefusalKind, Refused
from pipeline.augment.replies import Completion, RequestFailed
from pipeline.augment.request import Request
from pipeline.data.example import Row
from pipeline.errors import DataProblem

# Enough to outlast bad luck, few enough that a wrong setting costs little.
MOST_FAILURES_IN_A_ROW = 8
# English text in the tokenizers of the time; counted in bytes, because scripts beyond ASCII take more tokens as well.
BYTES_PER_TOKEN = 4
# Not the model's failure, or not a failure: a passage may answer fewer questions than wanted.
_HARMLESS: frozenset[RefusalKind] = frozenset({"missing", "surplus"})


def ask_all(items: Iterable[Request | Outcome], client: ChatClient, *, concurrent: int) -> Iterator[Outcome]:
    """The outcome of every item. What is no request passes through.

    Raises:
        DataProblem: no request can succeed.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(max_workers=concurrent, thread_name_prefix="ask")
    waiting: deque[Outcome | Future[Outcome]] = deque()
    try:
        while True:
            for item in islice(remaining, concurrent - len(waiting)):
                waiting.append(item if isinstance(item, Outcome) else pool.submit(ask, item, client))
            if not waiting:
                return
            first = waiting.popleft()
            yield first if isinstance(first, Outcome) else first.result()
    except BaseException:
        # Also when the caller wants no more: nobody shall wait for pauses whose answers are thrown away.
        client.stop_waiting()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def ask(request: Request, client: ChatClient) -> Outcome:
    """The outcome of one request.

    Raises:
        DataProblem: no request can succeed.
    """
    try:
        completion, attempts = client.complete(request.messages)
    except RequestFailed as error:
        return _outcome(request, refused=[Refused.because("request_failed", str(error))], finished=False)
    rows, refused = read_answer(request, completion)
    sent, received = completion.input_tokens, completion.output_tokens
    return _outcome(
        request,
        rows=rows,
        refused=refused,
        attempts=attempts,
        input_tokens=tokens_in_messages(request) if sent is None else sent,
        output_tokens=tokens_in(completion.text) if received is None else received,
        usage_reported=sent is not None and received is not None,
    )


def read_answer(request: Request, completion: Completion) -> tuple[list[Row], list[Refused]]:
    """The rows in an answer, and a refusal for each row that was wanted or given and is none."""
    try:
        items = find_items(completion.text, request.list_name)
    except NoJson as error:
        if completion.is_cut_off:
            refusal = Refused.because("cut_off", "the answer was longer than max_tokens", text=completion.text)
        else:
            kind: RefusalKind = "not_json" if completion.text.strip() else "empty"
            refusal = Refused.because(kind, str(error), text=completion.text)
        return [], [refusal] * request.wanted
    read = [request.read_item(item) for item in items[: request.wanted]]
    rows = [item for item in read if not isinstance(item, Refused)]
    refused = [item for item in read if isinstance(item, Refused)]
    missing = f"the answer holds {len(items)} of the {request.wanted} rows asked for"
    refused += [Refused.because("missing", missing)] * (request.wanted - len(items))
    surplus = items[request.wanted :]
    refused += [Refused.because("surplus", "it is more than was asked for", text=item) for item in surplus]
    return rows, refused


def stop_after_failures(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The same outcomes, until too many requests in a row gave no row.

    Raises:
        DataProblem: that many did; the last reason is in it.
    """
    in_a_row = 0
    for outcome in outcomes:
        yield outcome
        blamed = [refusal for refusal in outcome.refused if refusal.kind not in _HARMLESS]
        if outcome.rows:
            in_a_row = 0
        elif outcome.attempts and blamed:
            in_a_row += 1
            if in_a_row == MOST_FAILURES_IN_A_ROW:
                raise DataProblem(
                    f"The last {in_a_row} requests gave no usable row, the last one because {_reason(blamed)}. "
                    "What was generated before is kept. Change the settings or the model and start again."
                )


def tokens_in(text: str) -> int:
    """Tokens of a text, estimated from its bytes."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def tokens_in_messages(request: Request) -> int:
    """Tokens of all messages of a request, estimated."""
    return sum(tokens_in(message["content"]) for message in request.messages)


def _reason(refusals: list[Refused]) -> str:
    return Counter(refusal.reason for refusal in refusals).most_common(1)[0][0]


def _outcome(request: Request, *, refused: list[Refused], finished: bool = True, **values: object) -> Outcome:
    return Outcome.model_validate(
        {
            "request": request.id,
            "method": request.method,
            "made_from": request.made_from,
            "before": request.before,
            "refused": refused,
            "attempts": 1,
            "finished": finished,
            **values,
        }
    )
