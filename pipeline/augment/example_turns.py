"""The turns of an example that augmentation reads and changes: questions, answers, the system turn."""

from dataclasses import replace

from pipeline.data.example import Example, Message


def question_problem(example: Example) -> str | None:
    """Why the questions of an example cannot be put otherwise: a clause without a full stop, or None."""
    if last_prompt(example) is None:
        return f"row {example.row} has no question in words"
    if any(_has_images_amid_text(message) for message in _turns_of(example, "user")):
        return f"row {example.row} has images between the words of its question"
    return None


def answer_problem(example: Example) -> str | None:
    """Why the answer at the end of an example cannot be put otherwise: a clause without a full stop, or None."""
    return f"row {example.row} has no answer in words" if final_answer(example) is None else None


def last_prompt(example: Example) -> str | None:
    """The last turn of the user; None where there is none, or no text in it."""
    turns = _turns_of(example, "user")
    return turns[-1].content if turns and turns[-1].content.strip() else None


def final_answer(example: Example) -> str | None:
    """The answer that a conversation ends with; None for any other format, and for a call of tools."""
    if not example.messages or example.chosen is not None:
        return None
    last = example.messages[-1]
    return last.content if last.role == "assistant" and last.content.strip() and not last.tool_calls else None


def with_last_prompt(example: Example, text: str) -> Example:
    """The example with another last turn of the user."""
    return with_user_turns(example, [*user_texts(example)[:-1], text])


def with_final_answer(example: Example, text: str) -> Example:
    """The conversation with another answer at its end."""
    turns = () if example.messages is None else example.messages
    return replace(example, messages=(*turns[:-1], _with_text(turns[-1], text)))


def user_texts(example: Example) -> list[str]:
    """The texts of the user's turns, in order."""
    return [message.content for message in _turns_of(example, "user")]


def with_user_turns(example: Example, texts: list[str]) -> Example:
    """The example with these texts in the user's turns, in order; images stay before or after them."""
    remaining = iter(texts)
    turns = tuple(
        _with_text(message, next(remaining)) if message.role == "user" else message
        for message in example.messages or ()
    )
    return replace(example, messages=turns)


def answer_texts(example: Example) -> list[str]:
    """Everything that the model shall learn to say, or not to say."""
    turns = (*_turns_of(example, "assistant"), *(example.chosen or ()), *(example.rejected or ()))
    return [message.content for message in turns]


def simple_pair(example: Example) -> tuple[str, str] | None:
    """Question and answer of a conversation of one question and one answer, with or without a system turn."""
    prompt, answer = last_prompt(example), final_answer(example)
    roles = [message.role for message in example.messages or () if message.role != "system"]
    return (prompt, answer) if roles == ["user", "assistant"] and prompt is not None and answer is not None else None


def system_turn(example: Example) -> str:
    """The text of the system turn; empty where there is none."""
    return "\n\n".join(message.content for message in _turns_of(example, "system"))


def _turns_of(example: Example, role: str) -> list[Message]:
    return [message for message in example.messages or () if message.role == role]


def _has_images_amid_text(message: Message) -> bool:
    return any(0 < position < len(message.content) for position in message.image_positions)


def _with_text(message: Message, text: str) -> Message:
    positions = tuple(len(text) if position else 0 for position in message.image_positions)
    return replace(message, content=text, image_positions=positions)
