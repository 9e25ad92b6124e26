"""Builds the examples that compare answers: preference pairs, and single answers with a label."""

from collections.abc import Collection, Sequence

from pipeline.data.cells import find_cell, read_label
from pipeline.data.example import Example, Message, Row, UnusableRow
from pipeline.data.mapping import Mapping
from pipeline.data.sides import complete_prompt, read_side
from pipeline.data.turns import check_order, read_turns

Turns = Sequence[Message]


def build_preference(number: int, row: Row, mapping: Mapping, *, columns: Collection[str] | None = None) -> Example:
    """A prompt with a chosen and a rejected answer. The prompt is a column of its own, or what both have in common.

    Raises:
        UnusableRow: a side is missing, both are the same, they have no prompt, or turns are out of order.
    """
    alone = not mapping.prompt
    sides = [
        read_side(row, parts, role="assistant", what=what, columns=columns, is_transcript=alone)
        for what, parts in (("chosen", mapping.chosen), ("rejected", mapping.rejected))
    ]
    prompt: Turns = [] if alone else read_side(row, mapping.prompt, role="user", what="prompt", columns=columns)
    chosen, rejected = sides
    if chosen == rejected:
        raise UnusableRow("chosen and rejected are the same")
    if chosen[0].role != "assistant" or rejected[0].role != "assistant":
        length = _common_turns(chosen, rejected)
        if not _contains(chosen[:length], prompt):
            raise UnusableRow("chosen and rejected do not begin with the prompt")
        prompt, chosen, rejected = chosen[:length], chosen[length:], rejected[length:]
    if not prompt:
        raise UnusableRow("chosen and rejected have no prompt in common, and the row has none")
    for answer in (chosen, rejected):
        check_order([*prompt, *answer])
    check_order(prompt, is_prompt=True)
    messages = tuple(complete_prompt(list(prompt), row, mapping, columns=columns))
    return Example(number, messages=messages, chosen=tuple(chosen), rejected=tuple(rejected))


def build_unpaired(number: int, row: Row, mapping: Mapping, *, columns: Collection[str] | None = None) -> Example:
    """A prompt with one answer, and whether it is good.

    Raises:
        UnusableRow: a part is missing, the label says neither good nor bad, or turns are out of order.
    """
    if mapping.label is None:
        raise ValueError("a mapping of unpaired preferences names the column of the label")
    if mapping.conversation is not None:
        column = mapping.conversation.column
        turns = read_turns(find_cell(row, column), column=column, conversation=mapping.conversation)
        prompt, answer = turns[:-1], turns[-1:]
    else:
        prompt = read_side(row, mapping.prompt, role="user", what="prompt", columns=columns)
        answer = read_side(row, mapping.completion, role="assistant", what="completion", columns=columns)
        if answer[: len(prompt)] == prompt:
            answer = answer[len(prompt) :]
    check_order([*prompt, *answer])
    check_order(prompt, is_prompt=True)
    label = read_label(find_cell(row, mapping.label), what=mapping.label)
    messages = tuple(complete_prompt(prompt, row, mapping, columns=columns))
    return Example(number, messages=messages, chosen=tuple(answer), label=label)


def _common_turns(chosen: Turns, rejected: Turns) -> int:
    """How many turns at the beginning are the same in both, such that the assistant goes on in both."""
    length = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        length += 1
    while length and not all(len(side) > length and side[length].role == "assistant" for side in (chosen, rejected)):
        length -= 1
    return length


def _contains(turns: Turns, prompt: Turns) -> bool:
    """Whether every turn of the prompt is said in the turns too."""
    return all(any(part.content.strip() in turn.content for turn in turns) for part in prompt)
