"""The parity gate: whether a file says what the trained model says, before it is called done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field

from pipeline.exporters.probes import CONVERSATIONS, TEXTS

# Differences of log-probabilities that rounding to a number format may make at the median of all places; at a place
# where the model is undecided, rounding shows more.
ALLOWED = {"f16": 0.05, "bf16": 0.05, "q8_0": 0.2}
_AT_MOST = 8
# Sums in bf16 differ by more than weights in bf16 do.
_ALLOWED_OF_ROUNDED = 0.2
# Tokens that count: the likeliest of either. Of rare ones, faster arithmetic alone makes other numbers.
_LIKELIEST = 10
_ANSWER_TOKENS = 24
# A few texts after which the next token is compared, besides the conversations.
_CONTINUED_TEXTS = TEXTS[11:19]


@dataclass(frozen=True)
class Answer:
    """What was generated, greedily. `ended`: with an end token rather than at the limit."""

    text: str
    tokens: list[int]
    ended: bool


class Speaker(Protocol):
    """A model, whatever runs it."""

    def token_ids(self, text: str, *, add_special: bool) -> list[int]:
        """The ids of the text, with special tokens read as such."""

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of the conversation under the model's own template, up to where the assistant answers."""

    def log_probabilities(self, tokens: Sequence[int], *, vocabulary: int) -> torch.Tensor:
        """Of every token of the vocabulary as the next one: (vocabulary,), in fp64."""

    def answer(self, tokens: Sequence[int], *, limit: int) -> Answer:
        """The greedy continuation of the prompt, at most `limit` tokens."""


@dataclass(frozen=True)
class Statements:
    """What a model said to everything that it was asked; two of them are compared without both models in memory."""

    texts: list[list[int]]
    prompts: list[list[int]]
    expected: list[torch.Tensor]
    answers: list[Answer]


class ParityCheck(BaseModel):
    """One thing that was compared."""

    model_config = ConfigDict(extra="forbid")
    name: str
    passed: bool
    message: str


class ParityReport(BaseModel):
    """What came of comparing a file with the trained model."""

    model_config = ConfigDict(extra="forbid")
    checks: list[ParityCheck]
    difference: float = Field(
        description="Of the log-probabilities of a next token that one of the two holds for likely, the largest of a "
        "place; at the median of all places."
    )
    largest_difference: float = Field(description="The same, at the worst place.")
    divergence: float = Field(description="Kullback-Leibler divergence of next tokens, the largest, in nats.")
    matched_answers: float = Field(description="Share of answers that are the same, token by token.")

    @property
    def passed(self) -> bool:
        """Whether the file says what the model says."""
        return all(check.passed for check in self.checks)


def ask(model: Speaker, *, vocabulary: int, questions: Sequence[str] = ()) -> Statements:
    """Ask a model everything. `vocabulary`: the ids below which it has tokens. `questions`: the run's held-out ones."""
    prompts = [model.prompt_ids(messages) for messages in _conversations(questions)]
    continued = [model.token_ids(text, add_special=True) for text in _CONTINUED_TEXTS]
    return Statements(
        texts=[model.token_ids(text, add_special=False) for text in TEXTS],
        prompts=prompts,
        expected=[model.log_probabilities(tokens, vocabulary=vocabulary) for tokens in [*continued, *prompts]],
        answers=[model.answer(tokens, limit=_ANSWER_TOKENS) for tokens in prompts],
    )


def compare(
    file: Statements,
    model: Statements,
    *,
    number_format: str,
    questions: Sequence[str] = (),
    is_rounded: bool = False,
) -> ParityReport:
    """What a file said against what the trained model said to the same questions.

    Where `number_format` has few bits, differences are reported and not judged. `is_rounded`: the trained model was
    asked in bf16 itself.
    """
    pairs = list(zip(file.expected, model.expected, strict=True))
    differences = [_difference(ours, theirs) for ours, theirs in pairs]
    divergence = max(float((theirs.exp() * (theirs - ours)).sum()) for ours, theirs in pairs)
    allowed = ALLOWED.get(number_format)
    if allowed is not None and is_rounded:
        allowed = max(allowed, _ALLOWED_OF_ROUNDED)
    answers = list(zip(file.answers, model.answers, strict=True))
    labels = [messages[-1]["content"] for messages in _conversations(questions)]
    return ParityReport(
        checks=[
            _same("token_ids", file.texts, model.texts, TEXTS, what="texts"),
            _same("template", file.prompts, model.prompts, labels, what="conversations"),
            _near(median(differences), max(differences), divergence, allowed),
            _stops(answers, judged=allowed is not None),
        ],
        difference=median(differences),
        largest_difference=max(differences),
        divergence=max(0.0, divergence),
        matched_answers=sum(ours.tokens == theirs.tokens for ours, theirs in answers) / len(answers),
    )


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    likeliest = torch.cat([values.topk(min(_LIKELIEST, len(values))).indices for values in (ours, theirs)])
    return float((ours - theirs)[likeliest].abs().max())


def _conversations(questions: Sequence[str]) -> list[Sequence[Mapping[str, str]]]:
    return [*CONVERSATIONS, *([{"role": "user", "content": question}] for question in questions)]


def _same(
    name: str, ours: Sequence[list[int]], theirs: Sequence[list[int]], labels: Sequence[str], *, what: str
) -> ParityCheck:
    differing = [item for item in zip(labels, ours, theirs, strict=True) if item[1] != item[2]]
    if not differing:
        return ParityCheck(name=name, passed=True, message=f"All {len(labels)} {what} have the same token ids.")
    label, mine, other = differing[0]
    told = f"{label[:80]!r} is {mine!r:.160} instead of {other!r:.160}"
    message = f"{len(differing)} of {len(labels)} {what} have other token ids; {told}."
    return ParityCheck(name=name, passed=False, message=message)


def _near(difference: float, largest: float, divergence: float, allowed: float | None) -> ParityCheck:
    told = (
        f"Next tokens differ by {difference:.4f} in log-probability at the median and {largest:.4f} at most, "
        f"{divergence:.5f} nats together"
    )
    if allowed is None:
        return ParityCheck(name="log_probabilities", passed=largest < float("inf"), message=f"{told}.")
    passed = difference <= allowed and largest <= _AT_MOST * allowed
    told += f"; {allowed} and {_AT_MOST * allowed:.1f} are rounding"
    return ParityCheck(name="log_probabilities", passed=passed, message=f"{told}.")


def _stops(answers: Sequence[tuple[Answer, Answer]], *, judged: bool) -> ParityCheck:
    wrong = [(ours, theirs) for ours, theirs in answers if ours.ended != theirs.ended]
    if wrong and judged:
        ours, theirs = wrong[0]
        said = "goes on where the model stops" if theirs.ended else "stops where the model goes on"
        message = f"In {len(wrong)} of {len(answers)} answers the file {said}, first in {ours.text[:80]!r}."
        return ParityCheck(name="end_of_turn", passed=False, message=message)
    ended = sum(theirs.ended for _, theirs in answers)
    message = f"{len(answers)} answers end where the model's do, {ended} of them before the limit."
    return ParityCheck(name="end_of_turn", passed=True, message=message)
