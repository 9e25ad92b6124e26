"""Configuration classes of the rewards that GRPO learns from; `pipeline/rewards/<kind>.py` computes each."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pipeline.config_base import Config, Text, parse_json

Column = Annotated[str, Field(min_length=1, description="Column of the data set with the right answer.")]


class _Reward(Config):
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
    pattern: Text = Field(description="A regular expression; the dot matches line breaks too.")
    column: Annotated[
        str | None, Field(description="Column that the first group must equal. Empty: a match is enough.")
    ] = None


class NumericReward(_Reward):
    """1 where the last number of the answer is the column's number, within a tolerance."""

    kind: Literal["numeric"] = "numeric"
    column: Column
    tolerance: float = Field(1e-6, ge=0, description="Difference allowed, relative to the right number.")


class JsonSchemaReward(_Reward):
    """1 where the answer is JSON that the schema accepts, 0.5 where it is JSON that the schema refuses."""

    kind: Literal["json_schema"] = "json_schema"
    json_schema: Annotated[dict[str, Any], BeforeValidator(parse_json)] = Field(
        default_factory=dict, description="A JSON schema. Empty: any JSON is right."
    )


class TagsReward(_Reward):
    """1 where the answer is exactly the tags in order, each once, with text between; part of it for some of them."""

    kind: Literal["tags"] = "tags"
    tags: tuple[Text, ...] = Field(("think", "answer"), min_length=1, description="Names of the tags, in order.")


class LengthReward(_Reward):
    """1 within the bounds in characters, falling to 0 at twice the distance from them."""

    kind: Literal["length"] = "length"
    minimum: int = Field(0, ge=0, description="Fewest characters.")
    maximum: int = Field(1000, ge=1, description="Most characters.")


class JudgeReward(_Reward):
    """The score from 0 to 1 that a model behind an OpenAI-compatible endpoint gives the answer."""

    kind: Literal["judge"] = "judge"
    base_url: Text = Field(description="Address of the endpoint, such as https://api.openai.com/v1.")
    model: Text = Field(description="Name of the judging model.")
    instruction: Text = Field(
        "Rate how well the answer serves the request.", description="What the judge is asked to look at."
    )
    column: str | None = Field(None, description="Column with a right answer for the judge to compare with.")


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
