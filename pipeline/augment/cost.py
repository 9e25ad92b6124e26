"""What an augmentation will ask for, in tokens, money and minutes, before a request is sent."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from pipeline.augment.asking import BYTES_PER_TOKEN, tokens_in
from pipeline.augment.config import Augmentation, EndpointAugmentation
from pipeline.augment.request import Request
from pipeline.augment.run import plan_augmentation
from pipeline.data.example import Example

# What the chat format adds around each message in OpenAI's own count.
_TOKENS_PER_MESSAGE = 4


class CostEstimate(BaseModel):
    """An estimate before the run. Requests sent again after a failure, and a model's hidden thoughts, come on top."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    requests: int
    rows: int = Field(description="Rows that come of it if every answer is usable.")
    not_applicable: int = Field(description="Rows and pages drawn that the method cannot be used on.")
    input_tokens: int
    output_tokens: int
    cost: float | None = Field(description="US dollars; None where a price is missing.")
    minutes_at_rate_limit: float = Field(description="The least time the requests take at the rate allowed.")
    tokens_counted_by: str = Field(description="How tokens were counted.")


def estimate_cost(
    config: Augmentation,
    examples: Sequence[Example],
    *,
    seed: int,
    count_tokens: Callable[[str], int] | None = None,
) -> CostEstimate:
    """The estimate for the whole run. Input is the very text that will be sent, output is a guess from its length.

    Tokens are counted with `count_tokens`, else estimated as bytes of UTF-8 / 4.

    Raises:
        DataProblem: as `augment`, as far as it shows before the first request.
    """
    plan = plan_augmentation(config, examples, seed=seed)
    if not isinstance(config, EndpointAugmentation):
        made = [len(item.rows) for item in plan.items if not isinstance(item, Request)]
        return CostEstimate(
            requests=0,
            rows=sum(made),
            not_applicable=made.count(0),
            input_tokens=0,
            output_tokens=0,
            cost=0.0,
            minutes_at_rate_limit=0.0,
            tokens_counted_by="nothing is sent",
        )
    count = tokens_in if count_tokens is None else count_tokens
    requests = rows = sent = received = 0
    # Instructions are the same in every request.
    counted: dict[str, int] = {}
    for item in plan.items:
        if not isinstance(item, Request):
            continue
        instruction, material = (message["content"] for message in item.messages)
        if instruction not in counted:
            counted[instruction] = count(instruction)
        requests += 1
        rows += item.wanted
        sent += counted[instruction] + count(material) + _TOKENS_PER_MESSAGE * len(item.messages)
        received += min(config.endpoint.max_tokens, -(-item.expected_characters // BYTES_PER_TOKEN))
    return CostEstimate(
        requests=requests,
        rows=rows,
        not_applicable=plan.total - requests,
        input_tokens=sent,
        output_tokens=received,
        cost=config.endpoint.cost(sent, received),
        minutes_at_rate_limit=requests / config.endpoint.requests_per_minute,
        tokens_counted_by=f"bytes / {BYTES_PER_TOKEN}" if count_tokens is None else "the tokenizer",
    )
