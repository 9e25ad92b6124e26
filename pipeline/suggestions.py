"""Suggested values, and the facts that they follow from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.method_config import MethodKind


@dataclass(frozen=True)
class SuggestedValue:
    """A value for the setting at the dotted path `field`, and why."""

    field: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Goal:
    """What is to be trained, and how."""

    method: MethodKind = "sft"
    tuning: Literal["lora", "full"] = "lora"
    num_generations: int = 8
    max_steps: int | None = None


@dataclass(frozen=True)
class BaseModelFacts:
    """The base model; `recommended` are the settings of its catalogue entry by dotted path."""

    name: str
    parameters: float | None
    context_length: int | None = None
    is_gemma: bool = False
    recommended: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RowFacts:
    """The rows of both sides, and those held out among them; `is_drawn` where their share is for us to choose.

    Lengths are in tokens of the model's tokenizer, where they were counted. `have_answers`: answers can be scored.
    """

    rows: int
    held_out: int
    is_drawn: bool
    have_answers: bool
    longest: int | None = None
    p95: int | None = None


class Suggestions:
    """What was suggested so far; the first suggestion for a field stands."""

    def __init__(self) -> None:
        self.found: dict[str, SuggestedValue] = {}

    def settle(self, path: str, value: Any, reason: str) -> Any:
        """Suggest a value, and return the one that stands."""
        return self.found.setdefault(path, SuggestedValue(path, value, reason)).value
