"""Shapes whose rows compare answers: chosen and rejected in all their spellings, and answers with a label."""

from collections.abc import Iterator

from pipeline.data.example import UnusableRow
from pipeline.data.mapping import ColumnPart, Mapping, Parts
from pipeline.data.sample import Kind, Sample
from pipeline.data.shapes.conversations import CONVERSATION_COLUMNS, find_conversations
from pipeline.data.shapes.pairs import JOINT, PROMPT_COMPLETION, QUESTION_ANSWER, find_pair
from pipeline.data.shapes.shape import Guess, answer_parts, column_parts, system_parts, tools_column
from pipeline.data.sides import read_transcript

_CHOSEN_REJECTED = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("preferred", "dispreferred"),
    ("accepted", "rejected"),
)
_PROMPTS = ("prompt", "instruction", "question", "query", "input", "problem", *CONVERSATION_COLUMNS, "context")
_LABELS = ("label", "kto_tag", "desirable", "is_desirable", "good", "is_good", "preferred", "liked", "thumbs_up")
_SIDE_KINDS: tuple[Kind, ...] = ("text", "turns", "number")


def preference(sample: Sample) -> Iterator[Guess]:
    """Prompt, chosen and rejected, as text or as turns."""
    pair, prompt = _find_sides(sample), sample.find(*_PROMPTS, kinds=("text", "turns"))
    if pair is not None and prompt is not None:
        given = sample.find("input", kinds=("text",)) if prompt == sample.find("instruction") else None
        parts: Parts = column_parts(sample, prompt)
        if given is not None:
            parts = (*parts, JOINT, ColumnPart(column=given, optional=True))
        yield Guess(_preference(sample, *pair, prompt=parts))


def preference_implicit(sample: Sample) -> Iterator[Guess]:
    """Chosen and rejected as whole conversations that begin alike."""
    pair = _find_sides(sample)
    if pair is not None and sample.find(*_PROMPTS) is None and sample.kind(pair[0]) == "turns":
        reason = f"The turns that {pair[0]} and {pair[1]} have in common are the prompt."
        yield Guess(_preference(sample, *pair), (reason,))


def hh_rlhf(sample: Sample) -> Iterator[Guess]:
    """Chosen and rejected as texts in which a Human and an Assistant speak."""
    pair = _find_sides(sample)
    if pair is None or sample.find(*_PROMPTS) is not None or sample.kind(pair[0]) != "text":
        return
    cells = sample.cells(pair[0])
    if 2 * sum(_is_transcript(str(cell)) for cell in cells) > len(cells):
        reason = "Paragraphs that begin with Human: and Assistant: are turns; those in common are the prompt."
        yield Guess(_preference(sample, *pair), (reason,))


def openai_preference(sample: Sample) -> Iterator[Guess]:
    """The preference files of OpenAI: input.messages, preferred_output, non_preferred_output."""
    given = sample.find("input", kinds=("object",))
    chosen, rejected = sample.find("preferred_output"), sample.find("non_preferred_output")
    if given is None or chosen is None or rejected is None:
        return
    has_tools = any("tools" in cell for cell in sample.cells(given) if isinstance(cell, dict))
    mapping = Mapping(
        format="preference",
        prompt=(ColumnPart(column=f"{given}.messages"),),
        chosen=column_parts(sample, chosen),
        rejected=column_parts(sample, rejected),
        tools=f"{given}.tools" if has_tools else None,
    )
    yield Guess(mapping)


def unpaired_preference(sample: Sample) -> Iterator[Guess]:
    """Prompt, completion and a label that says good or bad; or a conversation and such a label."""
    label = next((column for name in _LABELS if (column := sample.find(name)) and sample.is_label(column)), None)
    if label is None:
        return
    pair = find_pair(sample, *PROMPT_COMPLETION, *QUESTION_ANSWER)
    if pair is not None:
        mapping = Mapping(
            format="unpaired_preference",
            system=system_parts(sample),
            prompt=column_parts(sample, pair[0]),
            completion=answer_parts(sample, pair[1]),
            label=label,
            tools=tools_column(sample),
        )
        yield Guess(mapping)
    for found in find_conversations(sample):
        mapping = Mapping(
            format="unpaired_preference",
            conversation=found.conversation,
            system=system_parts(sample),
            label=label,
            tools=tools_column(sample),
        )
        yield Guess(mapping, found.reasons, found.ceiling)


def _find_sides(sample: Sample) -> tuple[str, str] | None:
    for chosen_name, rejected_name in _CHOSEN_REJECTED:
        chosen = sample.find(chosen_name, kinds=_SIDE_KINDS)
        rejected = sample.find(rejected_name, kinds=_SIDE_KINDS)
        if chosen is not None and rejected is not None:
            return chosen, rejected
    return None


def _preference(sample: Sample, chosen: str, rejected: str, *, prompt: Parts = ()) -> Mapping:
    return Mapping(
        format="preference",
        system=system_parts(sample),
        prompt=prompt,
        chosen=column_parts(sample, chosen),
        rejected=column_parts(sample, rejected),
        tools=tools_column(sample),
    )


def _is_transcript(text: str) -> bool:
    try:
        return len(read_transcript(text)) > 1
    except UnusableRow:
        return True
