"""Applies a mapping to a row: one usable example, or the reason why there is none."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from pipeline.data.build_preference import build_preference, build_unpaired
from pipeline.data.cells import find_cell, is_blank
from pipeline.data.example import Example, Message, Row, UnusableRow
from pipeline.data.mapping import Conversation, Mapping
from pipeline.data.parts import render_parts
from pipeline.data.sides import complete_prompt, read_side
from pipeline.data.turn_content import read_tools
from pipeline.data.turns import check_order, read_turns
from pipeline.data.validate_mapping import mapped_columns


def build_example(
    number: int, row: Row, mapping: Mapping, *, columns: Collection[str] | None = None, keep_row: bool = False
) -> Example:
    """The example that a row becomes; `number` is the row's number in its source. Text is passed on untouched.

    `columns` are those of the data set, which tell a template's placeholders from its other braces where a row lacks
    one of them; by default the row's own. With `keep_row` the example carries all of the row's columns.

    Raises:
        UnusableRow: the row cannot be used; says why.
    """
    try:
        example = _build(number, row, mapping, columns)
    except RecursionError as error:
        raise UnusableRow("its values are nested too deeply") from error
    return replace(example, extra=row) if keep_row else example


def _build(number: int, row: Row, mapping: Mapping, columns: Collection[str] | None) -> Example:
    match mapping.format:
        case "text":
            return Example(number, text=render_parts(row, mapping.text, what="text", columns=columns).text)
        case "preference":
            example = build_preference(number, row, mapping, columns=columns)
        case "unpaired_preference":
            example = build_unpaired(number, row, mapping, columns=columns)
        case "messages":
            turns = _turns(row, _conversation_of(mapping))
            check_order(turns)
            example = Example(number, messages=tuple(complete_prompt(turns, row, mapping, columns=columns)))
        case "prompt_completion":
            turns = _prompt_and_completion(row, mapping, columns)
            example = Example(number, messages=tuple(complete_prompt(turns, row, mapping, columns=columns)))
        case "prompt_only":
            example = _prompt_only(number, row, mapping, columns)
    if mapping.tools is None:
        return example
    return _with_tools(example, find_cell(row, mapping.tools), what=mapping.tools)


def _turns(row: Row, conversation: Conversation) -> list[Message]:
    return read_turns(find_cell(row, conversation.column), column=conversation.column, conversation=conversation)


def _conversation_of(mapping: Mapping) -> Conversation:
    if mapping.conversation is None:
        raise ValueError("a mapping of messages names the column of the conversation")
    return mapping.conversation


def _prompt_and_completion(row: Row, mapping: Mapping, columns: Collection[str] | None) -> list[Message]:
    earlier = []
    if mapping.conversation is not None and not is_blank(find_cell(row, mapping.conversation.column)):
        earlier = _turns(row, mapping.conversation)
    prompt = read_side(row, mapping.prompt, role="user", what="prompt", columns=columns)
    completion = read_side(row, mapping.completion, role="assistant", what="completion", columns=columns)
    if completion[: len(prompt)] == prompt:
        # The completion repeats the conversation from its beginning.
        completion = completion[len(prompt) :]
    turns = [*earlier, *prompt, *completion]
    check_order(turns)
    return turns


def _prompt_only(number: int, row: Row, mapping: Mapping, columns: Collection[str] | None) -> Example:
    if mapping.conversation is not None:
        turns = _turns(row, mapping.conversation)
    else:
        turns = read_side(row, mapping.prompt, role="user", what="prompt", columns=columns)
    check_order(turns, is_prompt=True)
    messages = tuple(complete_prompt(turns, row, mapping, columns=columns))
    used = mapped_columns(mapping, row.keys() if columns is None else columns)
    return Example(number, messages=messages, extra={name: value for name, value in row.items() if name not in used})


def _with_tools(example: Example, value: Any, *, what: str) -> Example:
    tools = () if is_blank(value) else read_tools(value, what=what)
    if not tools:
        return example
    return Example(
        example.row,
        messages=example.messages,
        chosen=example.chosen,
        rejected=example.rejected,
        label=example.label,
        tools=tools,
        extra=example.extra,
    )
