"""RowEncoder: token ids and labels of conversations and plain text."""

from transformers import PreTrainedTokenizerBase

from pipeline.data.example import Example, Message
from pipeline.events import RowDropped
from pipeline.row_encoder import IGNORED, RowEncoder, TokenizedRow

CHAT = Example(3, messages=(Message("user", "How many?"), Message("assistant", "Two.")))


def encode(tokenizer: PreTrainedTokenizerBase, *examples: Example, train_on: str = "assistant") -> list[TokenizedRow]:
    dropped: list[RowDropped] = []
    rows = RowEncoder(tokenizer, train_on=train_on).encode(list(examples), on_dropped=dropped.append)
    assert not dropped
    return rows


def test_conversation_has_one_beginning_and_trains_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,) = encode(tokenizer, CHAT)
    assert row.row == 3
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
    assert row.input_ids[0] == tokenizer.bos_token_id
    trained = [label for label in row.labels if label != IGNORED]
    assert tokenizer.decode(trained) == "Two.<end_of_turn>\n"
    assert row.trained_tokens == len(trained)


def test_train_on_all_trains_the_question_too(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,) = encode(tokenizer, CHAT, train_on="all")
    assert row.labels == row.input_ids


def test_text_begins_and_ends_once(tokenizer: PreTrainedTokenizerBase) -> None:
    plain, marked = encode(tokenizer, Example(1, text="Two garnets"), Example(2, text="<bos>Two garnets<eos>"))
    assert plain.input_ids == marked.input_ids == plain.labels
    assert plain.input_ids[0] == tokenizer.bos_token_id
    assert plain.input_ids[-1] == tokenizer.eos_token_id
    assert plain.trained_tokens == len(plain.input_ids) - 1


def test_text_needs_no_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    assert len(encode(tokenizer, Example(1, text="Two garnets"))) == 1


def test_refused_conversation_is_dropped_with_its_number_and_reason(tokenizer: PreTrainedTokenizerBase) -> None:
    dropped: list[RowDropped] = []
    broken = Example(8, messages=(Message("assistant", "Two."), Message("assistant", "Three.")))
    rows = RowEncoder(tokenizer, train_on="assistant").encode([CHAT, broken], on_dropped=dropped.append)
    assert [row.row for row in rows] == [3]
    assert dropped[0].row == 8
    assert "alternate" in dropped[0].reason
