"""Mapping: how the columns of a row become an example. Recognised from the rows, or written by hand."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.example import Format


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Document):
    """The same text in every row."""

    kind: Literal["text"] = "text"
    text: str


class ColumnPart(_Document):
    """The value of one column. `answers.text` is the field `text` of the objects in the column `answers`."""

    kind: Literal["column"] = "column"
    column: str = Field(min_length=1)
    optional: bool = Field(
        False, description="Where the cell is blank, leave it out, together with the text that joins it to the rest."
    )
    json_text: bool = Field(False, description="The cells are JSON written as text, as a CSV file holds it.")


class TemplatePart(_Document):
    """Text in which `{column}` stands for a column's value; braces around anything else stay as they are.

    `{{column}}` writes `{column}`.
    """

    kind: Literal["template"] = "template"
    template: str = Field(min_length=1)


class ImagePart(_Document):
    """The image in one column: a path, an address, bytes or base64; or a list of them."""

    kind: Literal["image"] = "image"
    column: str = Field(min_length=1)


Part = Annotated[TextPart | ColumnPart | TemplatePart | ImagePart, Field(discriminator="kind")]
Parts = tuple[Part, ...]


class Conversation(_Document):
    """A column that holds a list of turns, and what its keys and roles are called.

    A turn without `role_key` whose keys are names of roles is an exchange: one turn for each of them, in their order.
    """

    column: str = Field(min_length=1)
    role_key: str = "role"
    content_key: str = "content"
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = Field(
        default_factory=dict, description="The roles of the data set by their names there; standard names need none."
    )


class Mapping(_Document):
    """Which columns carry what. Parts that stand side by side are put together in their order.

    messages              `conversation`
    prompt_completion     `prompt`, `completion`; `conversation` where turns come before the prompt
    text                  `text`
    preference            `chosen`, `rejected`; without `prompt`, what both have in common is the prompt
    unpaired_preference   `prompt`, `completion`, `label`; or `label` and a `conversation` that ends with the completion
    prompt_only           `prompt`, or `conversation`; every other column is kept for rewards

    Where `prompt`, `completion`, `chosen` or `rejected` is one column that holds a list of turns, the turns are used.
    """

    format: Format
    conversation: Conversation | None = None
    system: Parts = ()
    prompt: Parts = ()
    completion: Parts = ()
    chosen: Parts = ()
    rejected: Parts = ()
    text: Parts = ()
    label: str | None = Field(None, description="Column that says whether the completion is good.")
    tools: str | None = Field(None, description="Column with the tools that the conversation may call.")
    images: str | None = Field(None, description="Column with the images of a conversation, in order.")


class Recognition(_Document):
    """What a data set was taken for, and why.

    `confidence` is the share of the sampled rows that become examples under `mapping`, lowered where another shape
    fits as well.
    """

    shape: str = Field(description="Name of the public shape: openai_messages, sharegpt, alpaca, …, or custom.")
    mapping: Mapping
    confidence: float = Field(ge=0, le=1)
    reasons: tuple[str, ...] = ()
    modality: Literal["text", "multimodal"] = "text"

    @property
    def format(self) -> Format:
        """The kind of example that the rows become."""
        return self.mapping.format
