"""ChatTemplate: which tokens the assistant wrote, for templates of every kind."""

import pytest
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import gemma3_training_chat_template, gemma_chat_template, qwen3_chat_template

from pipeline.chat_template import ChatTemplate, UnusableConversation, mask_tokens
from pipeline.data.example import Message
from pipeline.errors import ModelUnavailable

TWO_TURNS = (
    Message("user", "How many carats?"),
    Message("assistant", "Seven."),
    Message("user", "And the opal?"),
    Message("assistant", "Three."),
)
PLAIN = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<end_of_turn>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def trained_text(tokenizer: PreTrainedTokenizerBase, messages: tuple[Message, ...]) -> str:
    rendered = ChatTemplate(tokenizer).render(messages)
    encoded = tokenizer(rendered.text, add_special_tokens=False, return_offsets_mapping=True)
    mask = mask_tokens(encoded["offset_mapping"], rendered.spans)
    return tokenizer.decode([token for token, on in zip(encoded["input_ids"], mask, strict=True) if on])


def test_known_template_trains_answers_and_their_end_of_turn(tokenizer: PreTrainedTokenizerBase) -> None:
    assert trained_text(tokenizer, TWO_TURNS) == "Seven.<end_of_turn>\nThree.<end_of_turn>\n"


def test_template_with_marks_of_its_own_is_used_as_it_is(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = gemma3_training_chat_template + "{# ours #}"
    assert trained_text(tokenizer, TWO_TURNS) == "Seven.<end_of_turn>\nThree.<end_of_turn>\n"


def test_unknown_template_is_read_by_prefix_difference(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = PLAIN
    assert trained_text(tokenizer, TWO_TURNS) == "Seven.<end_of_turn>Three.<end_of_turn>"


def test_marks_that_leave_the_end_of_turn_out_are_not_trusted(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = PLAIN.replace(
        "{{ m['content'] }}",
        "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}{% endgeneration %}"
        "{% else %}{{ m['content'] }}{% endif %}",
    )
    assert trained_text(tokenizer, TWO_TURNS) == "Seven.<end_of_turn>Three.<end_of_turn>"


def test_rendered_conversation_is_what_the_tokenizer_renders(tokenizer: PreTrainedTokenizerBase) -> None:
    turns = [{"role": turn.role, "content": turn.content} for turn in TWO_TURNS]
    assert ChatTemplate(tokenizer).render(TWO_TURNS).text == tokenizer.apply_chat_template(turns, tokenize=False)


@pytest.mark.parametrize(
    "template",
    [gemma_chat_template, PLAIN.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")],
    ids=["refused", "dropped in silence"],
)
def test_system_turn_is_folded_where_the_template_has_none(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    tokenizer.chat_template = template
    chat = ChatTemplate(tokenizer)
    assert chat.folds_system
    text = chat.render((Message("system", "Be brief."), *TWO_TURNS)).text
    assert "Be brief.\n\nHow many carats?" in text


def test_system_turn_stays_where_the_template_takes_it(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = qwen3_chat_template
    assert not ChatTemplate(tokenizer).folds_system


def test_conversation_the_template_refuses_says_why(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UnusableConversation, match="must alternate"):
        ChatTemplate(tokenizer).render((TWO_TURNS[0], TWO_TURNS[2], TWO_TURNS[1]))


def test_missing_template_names_the_cure(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    with pytest.raises(ModelUnavailable, match="instruction-tuned"):
        ChatTemplate(tokenizer)


def test_template_that_hides_the_answer_names_the_cure(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{{ bos_token }}{{ messages | length }}{{ messages[-1]['content'] }}"
    with pytest.raises(ModelUnavailable, match="generation"):
        ChatTemplate(tokenizer)


def test_prompt_ends_where_the_answer_begins(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = ChatTemplate(tokenizer)
    assert chat.render(TWO_TURNS[:2]).text.startswith(chat.prompt(TWO_TURNS[:1]) + "Seven.")


def test_end_of_turn_ids_are_the_special_tokens_after_an_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    assert ChatTemplate(tokenizer).end_of_turn_ids() == {tokenizer.convert_tokens_to_ids("<end_of_turn>")}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [False] * 5),
        ([(0, 9)], [True, True, False, True, True]),
        ([(2, 4)], [False, True, False, True, False]),
        ([(0, 1), (5, 6)], [True, False, False, False, True]),
    ],
)
def test_mask_covers_tokens_that_touch_a_span(spans: list[tuple[int, int]], expected: list[bool]) -> None:
    # The third token stands for nothing in the text, like one that a normaliser has added.
    assert mask_tokens([(0, 2), (2, 3), (3, 3), (3, 5), (5, 9)], spans) == expected
