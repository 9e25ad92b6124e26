"""Rows of answers marked good or bad: what they hold, how long they are, and how they are cut."""

from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from pipeline.data.example import Example, Message
from pipeline.events import RowDropped
from pipeline.prompt_answer import PromptAnswerEncoder
from pipeline.unpaired_rows import UnpairedEncoder, UnpairedRow

PROMPT = (Message("user", "How many carats has the opal?"),)
RIGHT, WRONG = ((Message("assistant", f"It has {count}."),) for count in (3, 4))


def encode(tokenizer: PreTrainedTokenizerBase, *examples: Example) -> tuple[list[UnpairedRow], list[RowDropped]]:
    dropped: list[RowDropped] = []
    rows = UnpairedEncoder(PromptAnswerEncoder(tokenizer)).encode(examples, on_dropped=dropped.append)
    return rows, dropped


def test_labelled_answers_become_a_row_each(tokenizer: PreTrainedTokenizerBase) -> None:
    good = Example(1, messages=PROMPT, chosen=RIGHT, label=True)
    bad = Example(2, messages=PROMPT, chosen=WRONG, label=False)
    rows, _ = encode(tokenizer, good, bad)
    answers = [tokenizer.decode(row.answer_ids) for row in rows]
    assert answers == ["It has 3.<end_of_turn>\n", "It has 4.<end_of_turn>\n"]
    assert [(row.row, row.good) for row in rows] == [(1, True), (2, False)]


def test_pair_becomes_a_good_and_a_bad_row(tokenizer: PreTrainedTokenizerBase) -> None:
    pair = Example(7, messages=PROMPT, chosen=RIGHT, rejected=WRONG)
    apart = [
        Example(7, messages=PROMPT, chosen=RIGHT, label=True),
        Example(7, messages=PROMPT, chosen=WRONG, label=False),
    ]
    assert encode(tokenizer, pair) == encode(tokenizer, *apart)


def test_unusable_rows_are_dropped_with_the_reason(tokenizer: PreTrainedTokenizerBase) -> None:
    image = (Message("user", "What is it?", images=("stone.png",)),)
    examples = [
        Example(3, messages=image, chosen=RIGHT, label=True),
        Example(4, messages=PROMPT, chosen=RIGHT, label=True),
    ]
    rows, dropped = encode(tokenizer, *examples)
    assert [row.row for row in rows] == [4]
    assert [(one.row, "has images" in one.reason) for one in dropped] == [(3, True)]


def test_nothing_to_encode_is_no_row(tokenizer: PreTrainedTokenizerBase) -> None:
    assert encode(tokenizer) == ([], [])


@given(st.integers(1, 20), st.integers(1, 20), st.integers(8, 30))
def test_cut_row_counts_the_tokens_that_trl_batches(prompt: int, answer: int, max_length: int) -> None:
    row = UnpairedRow(1, list(range(prompt)), list(range(answer)), good=True)
    assert (row.tokens, row.length, row.trained_tokens) == (prompt + answer, prompt + answer, answer)
    pieces = row.cut(max_length)
    if prompt >= max_length:
        assert pieces == []
        return
    (cut,) = pieces
    example = {"prompt_ids": cut.prompt_ids, "completion_ids": cut.answer_ids, "label": cut.good}
    batch = DataCollatorForUnpairedPreference(pad_token_id=0, max_length=max_length)([example])
    assert cut.tokens == cut.length == int(batch["attention_mask"].sum())
    assert cut.trained_tokens == int(batch["completion_mask"].sum()) > 0
