"""Conversations with images as chat templates render them."""

import pytest
from transformers import ProcessorMixin

from pipeline.data.example import Message
from pipeline.vision.turns import image_template

IMAGE = "<start_of_image>"
ONLY_PARTS = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<start_of_image>{% elif p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}"
    "<end_of_turn>{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


def shown(processor: ProcessorMixin, *messages: Message) -> str:
    rendered = image_template(processor.tokenizer).render(messages)
    assert "".join(rendered.text[start:end] for start, end in rendered.spans).strip() == "Red.<end_of_turn>"
    return rendered.text


ANSWER = Message("assistant", "Red.")


def test_images_stand_where_the_row_has_them(processor: ProcessorMixin) -> None:
    question = Message("user", "Compare with ?", images=("a", "b"), image_positions=(8, 13))
    assert f"user\nCompare{IMAGE}with{IMAGE}?<end_of_turn>" in shown(processor, question, ANSWER)


def test_image_before_the_text_and_image_alone(processor: ProcessorMixin) -> None:
    before = Message("user", "Colour?", images=("a",), image_positions=(0,))
    assert f"user\n{IMAGE}Colour?<end_of_turn>" in shown(processor, before, ANSWER)
    alone = Message("user", "", images=("a", "b"), image_positions=(0, 0))
    assert f"user\n{IMAGE}{IMAGE}<end_of_turn>" in shown(processor, alone, ANSWER)


def test_rendering_is_that_of_the_processor(processor: ProcessorMixin) -> None:
    messages = [Message("user", "What is this?", images=("a",), image_positions=(0,)), ANSWER]
    parts = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Red."}]},
    ]
    assert shown(processor, *messages) == processor.apply_chat_template(parts)


@pytest.mark.parametrize("knows_system", [True, False])
def test_system_text_comes_before_the_first_image(processor: ProcessorMixin, knows_system: bool) -> None:
    if not knows_system:
        processor.tokenizer.chat_template = ONLY_PARTS.replace(
            "{% for m in messages %}",
            "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}",
        )
    system = Message("system", "Be brief.")
    question = Message("user", "See: ", images=("a",), image_positions=(5,))
    text = shown(processor, system, question, ANSWER)
    assert text.index("Be brief.\n\nSee:") < text.index(IMAGE)


def test_template_that_knows_parts_only_gets_nothing_else(processor: ProcessorMixin) -> None:
    processor.tokenizer.chat_template = ONLY_PARTS
    question = Message("user", "Colour?", images=("a",), image_positions=(0,))
    assert shown(processor, question, ANSWER) == (
        f"<bos>[user] {IMAGE}Colour?<end_of_turn>[assistant] Red.<end_of_turn>"
    )
