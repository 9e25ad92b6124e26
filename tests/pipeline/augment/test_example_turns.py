import pytest

from pipeline.augment.example_turns import (
    answer_problem,
    answer_texts,
    final_answer,
    last_prompt,
    question_problem,
    simple_pair,
    system_turn,
    user_texts,
    with_final_answer,
    with_last_prompt,
    with_user_turns,
)
from pipeline.data.example import Example, Message
from tests.pipeline.augment.material import conversation

USER, ASSISTANT = Message("user", "Hi"), Message("assistant", "Hello")
LONG = Example(1, messages=(USER, ASSISTANT, Message("user", "And now?"), Message("assistant", "Bye")))
CALL = Message("assistant", "", tool_calls=({"name": "look"},))


def shown(*positions: int) -> Example:
    """A question of ten characters with images at these places."""
    question = Message("user", "What is it", images=("a.png",) * len(positions), image_positions=positions)
    return Example(1, messages=(question, ASSISTANT))


def test_last_question_and_answer_are_those_of_the_last_exchange() -> None:
    assert (last_prompt(LONG), final_answer(LONG)) == ("And now?", "Bye")
    changed = with_final_answer(with_last_prompt(LONG, "Well?"), "Farewell")
    assert changed.messages == (USER, ASSISTANT, Message("user", "Well?"), Message("assistant", "Farewell"))


def test_pair_is_one_question_and_one_answer() -> None:
    assert simple_pair(LONG) is None
    assert simple_pair(conversation("Why?", "So.", system="Be kind.")) == ("Why?", "So.")


def test_user_turns_are_replaced_in_order() -> None:
    changed = with_user_turns(LONG, [text.upper() for text in user_texts(LONG)])
    assert [message.content for message in changed.messages or ()] == ["HI", "Hello", "AND NOW?", "Bye"]


def test_answers_are_all_that_is_learned() -> None:
    pair = Example(1, messages=(USER,), chosen=(ASSISTANT,), rejected=(Message("assistant", "No"),))
    assert answer_texts(pair) == ["Hello", "No"]
    assert answer_texts(LONG) == ["Hello", "Bye"]
    assert system_turn(conversation("Why?", "So.", system="Be kind.")) == "Be kind."
    assert system_turn(LONG) == ""


@pytest.mark.parametrize(
    "example",
    [
        Example(1, text="once"),
        Example(1, messages=(USER,), chosen=(ASSISTANT,), rejected=(ASSISTANT,)),
        Example(1, messages=(USER,)),
        Example(1, messages=(USER, CALL)),
    ],
)
def test_only_a_conversation_that_ends_in_words_has_an_answer_to_rewrite(example: Example) -> None:
    assert final_answer(example) is None
    assert answer_problem(example) == "row 1 has no answer in words"


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (conversation("Why?", "So."), None),
        (shown(0), None),
        (shown(0, 10), None),
        (shown(4), "row 1 has images between the words of its question"),
        (Example(1, text="once"), "row 1 has no question in words"),
        (Example(1, messages=(ASSISTANT,)), "row 1 has no question in words"),
        (conversation("\n", "So."), "row 1 has no question in words"),
    ],
)
def test_question_that_cannot_be_put_otherwise_says_why(example: Example, problem: str | None) -> None:
    assert question_problem(example) == problem


def test_images_stay_before_and_after_a_changed_question() -> None:
    changed = with_last_prompt(shown(0, 10), "Tell me what that is")
    assert changed.messages is not None
    assert changed.messages[0].image_positions == (0, 20)
    assert changed.messages[0].images == ("a.png", "a.png")
