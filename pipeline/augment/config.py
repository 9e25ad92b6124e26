"""What an augmentation is: the ways to make further training rows out of rows or documents, and their settings."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
CURRENCY = "USD"
_COMPLETIONS = "/chat/completions"


def _clean_address(value: str) -> str:
    address = value.strip().rstrip("/").removesuffix(_COMPLETIONS).rstrip("/")
    parts = urlsplit(address)
    # A port that is no number raises only when it is asked for.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("This is no address of a server. Write it as https://host/v1.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "The address carries a user, a password or a query, where a key could be seen. "
            "Write only https://host/v1 and store the key as a secret."
        )
    return address


class _Document(BaseModel):
    # A key pasted into a wrong field must not come back in the text of an error.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class EndpointConfig(_Document):
    """A server that speaks OpenAI's chat completions. Its key is a secret, never part of this document."""

    base_url: Annotated[str, AfterValidator(_clean_address)] = Field(
        description="Address of the API up to its version, for example https://api.openai.com/v1."
    )
    model: Annotated[Text, StringConstraints(max_length=200)] = Field(description="Name of the model on that server.")
    requests_per_minute: int = Field(60, ge=1, le=100_000, description="Most requests sent in a minute.")
    concurrent_requests: int = Field(4, ge=1, le=64, description="Requests that wait for an answer at once.")
    max_retries: int = Field(4, ge=0, le=10, description="Further tries of a request that failed for the moment.")
    timeout_seconds: float = Field(120.0, gt=0, le=3600, description="Longest wait for one answer, in seconds.")
    max_tokens: int = Field(2048, ge=16, le=131_072, description="Longest answer, in tokens.")
    temperature: float = Field(0.8, ge=0, le=2, description="How freely the model writes; 0 is the most likely text.")
    price_input_per_million: float | None = Field(
        None, ge=0, le=100_000, description="US dollars for a million tokens sent. Empty: the cost is not estimated."
    )
    price_output_per_million: float | None = Field(
        None, ge=0, le=100_000, description="US dollars for a million tokens received. Empty: cost not estimated."
    )

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for these tokens; None where a price is missing."""
        if self.price_input_per_million is None or self.price_output_per_million is None:
            return None
        return (input_tokens * self.price_input_per_million + output_tokens * self.price_output_per_million) / 1e6


Share = Annotated[
    float, Field(gt=0, le=1, description="Share of the training rows that are taken, drawn with the seed.")
]


class ParaphraseAugmentation(_Document):
    """Say the same in other words: a model rewrites questions or answers; numbers must survive."""

    kind: Literal["paraphrase"] = "paraphrase"
    endpoint: EndpointConfig
    target: Literal["prompt", "completion", "both"] = Field(
        "prompt", description="What is rewritten: the last question of a row, its answer, or both."
    )
    variants_per_row: int = Field(1, ge=1, le=10, description="New rows wanted for each row.")
    style: str = Field("", max_length=500, description="How the new texts shall sound, for example: short, informal.")
    share: Share = 0.25


class SynthesisAugmentation(_Document):
    """Write new rows like the ones there are: a model is shown some of them (Self-Instruct, arXiv:2212.10560)."""

    kind: Literal["synthesis"] = "synthesis"
    endpoint: EndpointConfig
    instruction: Annotated[Text, StringConstraints(max_length=4000)] = Field(
        description="What the new rows shall be about, and what a good answer is."
    )
    rows: int = Field(100, ge=1, le=100_000, description="New rows wanted.")
    rows_per_request: int = Field(5, ge=1, le=20, description="Rows asked for at once; together they differ more.")
    examples_shown: int = Field(5, ge=1, le=16, description="Training rows shown with each request, drawn anew.")


class DocumentAugmentation(_Document):
    """Ask about documents: a model writes questions that a passage answers, and quotes the passage."""

    kind: Literal["documents"] = "documents"
    endpoint: EndpointConfig
    documents: tuple[Text, ...] = Field(
        min_length=1, max_length=1000, description="Files to ask about: txt, md, pdf or docx."
    )
    instruction: str = Field("", max_length=4000, description="What the questions shall be like, and in what language.")
    chunk_characters: int = Field(4000, ge=200, le=50_000, description="Longest passage, in characters.")
    overlap_characters: int = Field(200, ge=0, le=10_000, description="How much of a passage the next one repeats.")
    questions_per_chunk: int = Field(3, ge=1, le=20, description="Questions wanted for each passage.")
    require_evidence: bool = Field(
        True, description="Refuse answers whose quotation is not in the passage, word for word."
    )

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> Self:
        if self.overlap_characters * 2 > self.chunk_characters:
            raise ValueError(
                f"An overlap of {self.overlap_characters} is more than half of a passage of {self.chunk_characters}. "
                "Make the passages longer or the overlap shorter."
            )
        return self


class TyposAugmentation(_Document):
    """Copies whose questions have slips of a keyboard; words that the answer repeats keep their spelling."""

    kind: Literal["typos"] = "typos"
    rate: float = Field(0.05, gt=0, le=0.5, description="Share of the words of a question that get a slip.")
    share: Share = 0.25


class CaseAugmentation(_Document):
    """Copies whose questions are typed carelessly: in small letters, in capitals, or without punctuation."""

    kind: Literal["case"] = "case"
    style: Literal["lower", "upper", "no_punctuation"] = Field(
        "lower", description="All small letters, all capitals, or the punctuation left out."
    )
    share: Share = 0.25


class SystemDropAugmentation(_Document):
    """Copies without the system turn, so that the behaviour does not hang on it (context distillation)."""

    kind: Literal["system_drop"] = "system_drop"
    share: Share = 0.25


EndpointAugmentation = ParaphraseAugmentation | SynthesisAugmentation | DocumentAugmentation
LocalAugmentation = TyposAugmentation | CaseAugmentation | SystemDropAugmentation
Augmentation = Annotated[EndpointAugmentation | LocalAugmentation, Field(discriminator="kind")]
