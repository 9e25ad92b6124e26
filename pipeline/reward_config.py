"""Configuration classes of the rewards that GRPO learns from; `pipeline/rewards/<kind>.py` computes each."""

from collections.abc import Sequence
from itertools import count
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from pipeline.augment.config import EndpointConfig
from pipeline.config_base import Config, OptionalText, Text, blank_is_none, parse_json

# A slash would make another level of a chart's name; the rest is what every tracker takes.
RewardName = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Column = Annotated[Text, Field(description="Column of the data set with the right answer.")]
TagName = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,39}$")]


def _read_schema(value: object) -> object:
    schema = parse_json(value)
    return {} if schema is None else schema


class _Reward(Config):
    name: Annotated[RewardName | None, BeforeValidator(blank_is_none)] = Field(
        None, description="Name of its curve. Empty: its kind, with a number where there are several."
    )
    weight: float = Field(1.0, gt=0, le=1000, description="How much this reward counts beside the others.")


class ExactMatchReward(_Reward):
    """1 where the answer equals the column, blanks at the ends aside."""

    kind: Literal["exact_match"] = "exact_match"
    column: Column
    ignore_case: bool = Field(False, description="Whether upper and lower case count as the same.")


class ContainsReward(_Reward):
    """1 where the answer contains the column's text."""

    kind: Literal["contains"] = "contains"
    column: Column
    ignore_case: bool = Field(False, description="Whether upper and lower case count as the same.")


class RegexReward(_Reward):
    """1 where the pattern is found in the answer; with a column, where its first group equals the column's text."""

    kind: Literal["regex"] = "regex"
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = Field(
        description="A regular expression; the dot matches line breaks too."
    )
    column: OptionalText = Field(None, description="Column that the first group must equal. Empty: a match is enough.")


class NumericReward(_Reward):
    """1 where the last number of the answer is the last number of the column, within a tolerance."""

    kind: Literal["numeric"] = "numeric"
    column: Column
    tolerance: float = Field(1e-6, ge=0, le=1, description="Difference allowed, relative to the right number.")


class JsonSchemaReward(_Reward):
    """1 where the answer is JSON that the schema accepts, 0.5 where it is JSON that the schema refuses."""

    kind: Literal["json_schema"] = "json_schema"
    json_schema: Annotated[dict[str, Any], BeforeValidator(_read_schema)] = Field(
        default_factory=dict, description="A JSON schema. Empty: any JSON is right."
    )


class TagsReward(_Reward):
    """1 where the answer is exactly the tags in order, each once, with text between; up to 0.5 for some of them."""

    kind: Literal["tags"] = "tags"
    tags: Annotated[tuple[TagName, ...], BeforeValidator(parse_json)] = Field(
        ("think", "answer"), min_length=1, max_length=16, description="Names of the tags, in order, as a JSON list."
    )

    @model_validator(mode="after")
    def _each_tag_once(self) -> Self:
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("names a tag twice. Each tag stands once in an answer; take the second one out.")
        return self


class LengthReward(_Reward):
    """1 within the bounds in characters, falling evenly to 0 at no characters and at twice the maximum."""

    kind: Literal["length"] = "length"
    minimum: int = Field(0, ge=0, le=10_000_000, description="Fewest characters.")
    maximum: int = Field(1000, ge=1, le=10_000_000, description="Most characters.")

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(
                f"asks for at least {self.minimum} and at most {self.maximum} characters. Swap the two bounds."
            )
        return self


class JudgeReward(_Reward):
    """The score from 0 to 1 that a model behind an OpenAI-compatible endpoint gives the answer."""

    kind: Literal["judge"] = "judge"
    base_url: Text = Field(
        description="Address of the endpoint, such as https://api.openai.com/v1. Its key is the secret "
        "LAPIDARY_ENDPOINT_KEY."
    )
    model: Text = Field(description="Name of the judging model.")
    instruction: Annotated[Text, StringConstraints(max_length=4000)] = Field(
        "Rate how well the answer serves the request.", description="What the judge is asked to look at."
    )
    column: OptionalText = Field(None, description="Column with a right answer for the judge to compare with.")
    requests_per_minute: int = Field(300, ge=1, le=100_000, description="Most requests sent in a minute.")
    concurrent_requests: int = Field(8, ge=1, le=64, description="Requests that wait for an answer at once.")
    max_retries: int = Field(4, ge=0, le=10, description="Further tries of a request that failed for the moment.")
    timeout_seconds: float = Field(120.0, gt=0, le=3600, description="Longest wait for one answer, in seconds.")

    @property
    def endpoint(self) -> EndpointConfig:
        """The server that is asked, at temperature 0 so that the same answer is judged the same."""
        return EndpointConfig(
            base_url=self.base_url,
            model=self.model,
            requests_per_minute=self.requests_per_minute,
            concurrent_requests=self.concurrent_requests,
            max_retries=self.max_retries,
            timeout_seconds=self.timeout_seconds,
            temperature=0.0,
        )

    @model_validator(mode="after")
    def _endpoint_can_be_asked(self) -> Self:
        try:
            _ = self.endpoint
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self


class PythonReward(_Reward):
    """What a Python function of yours returns for each answer; it runs in the training process only."""

    kind: Literal["python"] = "python"
    path: Text = Field(description="A .py file on this machine.")
    function: Text = Field(
        "reward", description="Name of the function: (prompts, completions, **columns) -> list of numbers."
    )


Reward = Annotated[
    ExactMatchReward
    | ContainsReward
    | RegexReward
    | NumericReward
    | JsonSchemaReward
    | TagsReward
    | LengthReward
    | JudgeReward
    | PythonReward,
    Field(discriminator="kind"),
]


def reward_names(rewards: Sequence[Reward]) -> tuple[str, ...]:
    """The name of each reward's curve: the one it was given, else its kind; `regex`, `regex_2`, … where several share
    one.

    Raises:
        ValueError: two were given the same name.
    """
    given = [reward.name for reward in rewards if reward.name is not None]
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"two rewards are called {name}. Give one of them another name.")
    names: list[str] = []
    for reward in rewards:
        numbered = (reward.kind if number == 1 else f"{reward.kind}_{number}" for number in count(1))
        free = next(name for name in numbered if name not in (*given, *names))
        names.append(free if reward.name is None else reward.name)
    return tuple(names)
