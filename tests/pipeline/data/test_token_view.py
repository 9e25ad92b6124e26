"""Token truth: what is shown as trained on is what the trainer's labels say."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pipeline.data.example import Example, Message
from pipeline.data.token_view import view_tokens
from pipeline.errors import DataProblem
from pipeline.row_encoder import IGNORED, RowEncoder
from tests.documents import DEMO_MODEL

QUESTION, ANSWER = Message("user", "How heavy is it?"), Message("assistant", "Five carats.")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(DEMO_MODEL)


@pytest.mark.parametrize("train_on", ["assistant", "all"])
@pytest.mark.parametrize(
    "example",
    [
        Example(1, messages=(QUESTION, ANSWER)),
        Example(1, messages=(Message("system", "Be brief."), QUESTION, ANSWER, QUESTION, ANSWER)),
        Example(1, text="A stone of five carats, 24 °C, 宝石, 💎."),
    ],
)
def test_shown_tokens_are_the_trainers(tokenizer: PreTrainedTokenizerBase, example: Example, train_on: str) -> None:
    (sequence,) = view_tokens(example, tokenizer, train_on=train_on, max_length=None)  # type: ignore[arg-type]
    (row,) = RowEncoder(tokenizer, train_on=train_on).encode([example], on_dropped=print)  # type: ignore[arg-type]
    assert [token["id"] for token in sequence["tokens"]] == row.input_ids
    trained = [token["state"] == "trained" for token in sequence["tokens"]]
    assert trained[1:] == [label != IGNORED for label in row.labels[1:]]
    assert sequence["counts"]["trained"] == row.trained_tokens


def test_text_of_the_tokens_is_the_text_of_the_row(tokenizer: PreTrainedTokenizerBase) -> None:
    (sequence,) = view_tokens(Example(1, messages=(QUESTION, ANSWER)), tokenizer, train_on="assistant", max_length=None)
    text = "".join(token["text"] for token in sequence["tokens"])
    assert text == tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION.content}, {"role": "assistant", "content": ANSWER.content}],
        tokenize=False,
    )


def test_preference_has_two_sequences_with_their_answers_marked(tokenizer: PreTrainedTokenizerBase) -> None:
    example = Example(1, messages=(QUESTION,), chosen=(ANSWER,), rejected=(Message("assistant", "No idea."),))
    sequences = view_tokens(example, tokenizer, train_on="assistant", max_length=None)
    marked = {
        sequence["title"]: "".join(token["text"] for token in sequence["tokens"] if token["state"] == "trained")
        for sequence in sequences
    }
    assert marked["chosen"].startswith("Five carats.<end_of_turn>")
    assert marked["rejected"].startswith("No idea.<end_of_turn>")


def test_prompt_alone_ends_where_the_answer_would_begin(tokenizer: PreTrainedTokenizerBase) -> None:
    (sequence,) = view_tokens(Example(1, messages=(QUESTION,)), tokenizer, train_on="assistant", max_length=None)
    assert "".join(token["text"] for token in sequence["tokens"]).endswith("<start_of_turn>model\n")
    assert sequence["counts"]["trained"] == 0


def test_tokens_past_the_limit_are_truncated(tokenizer: PreTrainedTokenizerBase) -> None:
    (sequence,) = view_tokens(Example(1, messages=(QUESTION, ANSWER)), tokenizer, train_on="assistant", max_length=10)
    states = [token["state"] for token in sequence["tokens"]]
    assert set(states[10:]) == {"truncated"}
    assert "truncated" not in states[:10]


def test_row_with_images_is_refused_by_a_text_model(tokenizer: PreTrainedTokenizerBase) -> None:
    shown = Message("user", "What is this?", images=("images/a.png",))
    with pytest.raises(DataProblem, match="Row 7 cannot be rendered: it has images"):
        view_tokens(Example(7, messages=(shown, ANSWER)), tokenizer, train_on="assistant", max_length=None)
