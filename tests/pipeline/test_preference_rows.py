"""PreferenceEncoder: a prompt's ids, the ids of the two answers behind it, and what becomes of long pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from pipeline.data.example import Example, Message, UnusableRow
from pipeline.events import RowDropped
from pipeline.preference_rows import PreferenceEncoder, PreferenceRow
from pipeline.prompt_answer import PromptAnswerEncoder

QUESTION = "How many carats has the opal?"


def pair(
    chosen: str, rejected: str, *, prompt: tuple[Message, ...] = (Message("user", QUESTION),), row: int = 1
) -> Example:
    answers = ((Message("assistant", text),) for text in (chosen, rejected))
    return Example(row, messages=prompt, chosen=next(answers), rejected=next(answers))


def encode(
    tokenizer: PreTrainedTokenizerBase, *examples: Example, end_id: int | None = None
) -> tuple[list[PreferenceRow], list[RowDropped]]:
    dropped: list[RowDropped] = []
    encoder = PreferenceEncoder(PromptAnswerEncoder(tokenizer), end_id=end_id)
    return encoder.encode(examples, on_dropped=dropped.append), dropped


def texts(tokenizer: PreTrainedTokenizerBase, row: PreferenceRow) -> list[str]:
    return [tokenizer.decode(ids) for ids in (row.prompt_ids, row.chosen_ids, row.rejected_ids)]


def test_conversation_is_divided_where_the_answers_begin(tokenizer: PreTrainedTokenizerBase) -> None:
    prompt = (Message("system", "Be kind."), Message("user", QUESTION))
    (row,), dropped = encode(tokenizer, pair("It has 3.", "No.", prompt=prompt, row=7))
    assert texts(tokenizer, row) == [
        f"<bos><start_of_turn>user\nBe kind.\n\n{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
        "It has 3.<end_of_turn>\n",
        "No.<end_of_turn>\n",
    ]
    assert row.prompt_ids.count(tokenizer.bos_token_id) == 1
    assert (row.row, dropped) == (7, [])


def test_plain_text_follows_the_prompt_and_ends(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    (row,), _ = encode(tokenizer, pair(" 3 carats", " none"))
    assert texts(tokenizer, row) == [f"<bos>{QUESTION}", " 3 carats<eos>", " none<eos>"]


def test_plain_text_takes_no_conversation(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    prompt = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", QUESTION))
    rows, (dropped,) = encode(tokenizer, pair("3", "4", prompt=prompt, row=3))
    assert rows == []
    assert dropped.row == 3
    assert "several turns" in dropped.reason


def test_token_over_the_border_belongs_to_the_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    """One answer grows together with the end of the prompt, the other does not."""
    tokenizer.chat_template = None
    whole = tokenizer("carats", add_special_tokens=False)["input_ids"]
    assert len(whole) < len(tokenizer("car", add_special_tokens=False)["input_ids"]) + 2
    (row,), _ = encode(tokenizer, pair("ats", " 3", prompt=(Message("user", "How many car"),)))
    for answer, text in ((row.chosen_ids, "How many carats"), (row.rejected_ids, "How many car 3")):
        assert tokenizer.decode(row.prompt_ids + answer, skip_special_tokens=True) == text
        assert row.prompt_ids + answer == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]


def test_end_token_follows_where_it_is_asked_for(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,), _ = encode(tokenizer, pair("3", "4"), end_id=tokenizer.eos_token_id)
    assert texts(tokenizer, row)[1:] == ["3<end_of_turn>\n<eos>", "4<end_of_turn>\n<eos>"]
    tokenizer.chat_template = None
    (row,), _ = encode(tokenizer, pair("3", "4"), end_id=tokenizer.eos_token_id)
    assert texts(tokenizer, row)[1:] == ["3<eos>", "4<eos>"]


def test_later_turns_belong_to_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    chosen = (Message("assistant", "Which?"), Message("user", "The big one."), Message("assistant", "3"))
    example = Example(1, messages=(Message("user", QUESTION),), chosen=chosen, rejected=(Message("assistant", "4"),))
    (row,), _ = encode(tokenizer, example)
    assert texts(tokenizer, row)[1].startswith("Which?<end_of_turn>\n<start_of_turn>user\nThe big one.")


def test_answers_that_the_template_makes_the_same_are_dropped(tokenizer: PreTrainedTokenizerBase) -> None:
    rows, dropped = encode(tokenizer, pair("3", "3 ", row=2), pair("3", "4", row=5))
    assert [row.row for row in rows] == [5]
    assert dropped == [RowDropped(row=2, reason="chosen and rejected are the same to the model")]


def test_template_that_changes_the_prompt_drops_the_row(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'user' %}[{{ messages[-1].content }}] {{ m.content }} =>"
        "{% else %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
    )
    rows, (dropped,) = encode(tokenizer, pair("3", "4", row=9))
    assert rows == []
    assert dropped.row == 9
    assert "writes the prompt in another way" in dropped.reason


def test_pictures_drop_the_row(tokenizer: PreTrainedTokenizerBase) -> None:
    rows, (dropped,) = encode(tokenizer, pair("3", "4", prompt=(Message("user", "What?", images=("a.png",)),)))
    assert rows == []
    assert "images" in dropped.reason


ROW = PreferenceRow(1, [1, 2, 3], [4, 5, 6, 7], [4, 5, 8])


def test_row_counts_its_tokens() -> None:
    assert (ROW.tokens, ROW.length, ROW.trained_tokens) == (13, 7, 7)


def test_cut_keeps_the_start() -> None:
    (row,) = ROW.cut(6)
    assert row == PreferenceRow(1, [1, 2, 3], [4, 5, 6], [4, 5, 8])
    assert ROW.cut(7) == [ROW]


def test_nothing_is_left_where_the_prompt_fills_the_limit() -> None:
    assert ROW.cut(3) == []
    assert ROW.cut(2) == []


def test_answers_that_become_the_same_are_no_pair() -> None:
    with pytest.raises(UnusableRow, match="differ only after the limit of 5 tokens"):
        ROW.cut(5)


IDS = st.lists(st.integers(0, 3), min_size=1, max_size=8)


@given(IDS, IDS, IDS, st.integers(1, 20))
def test_cut_is_the_start_of_both_sequences(prompt: list[int], one: list[int], other: list[int], limit: int) -> None:
    if one == other:
        return
    row = PreferenceRow(1, prompt, one, other)
    try:
        cut = row.cut(limit)
    except UnusableRow:
        assert (prompt + one)[:limit] == (prompt + other)[:limit]
        return
    if not cut:
        assert limit <= len(prompt)
        return
    assert cut[0].length <= limit
    assert cut[0].prompt_ids + cut[0].chosen_ids == (prompt + one)[:limit]
    assert cut[0].prompt_ids + cut[0].rejected_ids == (prompt + other)[:limit]
    assert cut[0].chosen_ids != cut[0].rejected_ids
