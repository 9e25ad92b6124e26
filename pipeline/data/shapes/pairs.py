"""Shapes whose rows hold a prompt and an answer: Alpaca, Dolly, SQuAD, prompt and completion, question and answer."""

from collections.abc import Iterator

from pipeline.data.mapping import ColumnPart, Conversation, Mapping, Parts, TextPart
from pipeline.data.sample import Kind, Sample
from pipeline.data.shapes.shape import Guess, answer_parts, column_parts, system_parts, tools_column

# Prompt and answer of the field's single-turn data sets, the best known first.
PROMPT_COMPLETION = (("prompt", "completion"),)
QUESTION_ANSWER = (
    ("instruction", "response"),
    ("instruction", "completion"),
    ("instruction", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("question", "answers"),
    ("question", "output"),
    ("query", "response"),
    ("query", "answer"),
    ("query", "output"),
    ("input", "output"),
    ("input", "response"),
    ("input", "target"),
    ("source", "target"),
    ("problem", "solution"),
    ("problem", "answer"),
    ("question", "solution"),
    ("prompt", "response"),
    ("prompt", "output"),
    ("prompt", "answer"),
    ("prompt", "solution"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("human", "bot"),
)
JOINT = TextPart(text="\n\n")
_PROMPT_KINDS: tuple[Kind, ...] = ("text", "number", "turns")
_ANSWER_KINDS: tuple[Kind, ...] = ("text", "number", "flag", "texts", "turns", "object", "list")
# Beside a prompt that is a list of turns, an answer of another name is what a reward compares with.
_ANSWERS_TO_TURNS = ("completion", "response", "output")


def alpaca(sample: Sample) -> Iterator[Guess]:
    """Instruction, optional input, output; earlier turns in history."""
    instruction = sample.find("instruction", kinds=_PROMPT_KINDS)
    given = sample.find("input", kinds=("text", "number"))
    outputs = ("output",) if given is None else ("output", "response", "answer", "completion")
    output = sample.find(*outputs, kinds=_ANSWER_KINDS)
    if instruction is None or output is None:
        return
    history = sample.find("history", kinds=("list", "turns", "texts"))
    conversation = None if history is None else Conversation(column=history)
    yield Guess(_pair(sample, _with_context(sample, instruction, given), output, conversation=conversation))


def dolly(sample: Sample) -> Iterator[Guess]:
    """Instruction, optional context, response."""
    instruction = sample.find("instruction", kinds=_PROMPT_KINDS)
    context, response = sample.find("context", kinds=("text",)), sample.find("response", "output", kinds=_ANSWER_KINDS)
    if instruction is not None and context is not None and response is not None:
        yield Guess(_pair(sample, _with_context(sample, instruction, context), response))


def squad(sample: Sample) -> Iterator[Guess]:
    """Context, question and accepted answers, of which the first is taken."""
    context = sample.find("context", "passage", "paragraph", kinds=("text",))
    question = sample.find("question", "query", kinds=("text",))
    answers = sample.find("answers", "answer", kinds=("object", "texts", "text", "list", "flag", "number"))
    if context is None or question is None or answers is None:
        return
    reasons = (
        () if sample.kind(answers) == "text" else (f"Where {answers} lists several texts, the first is the answer.",)
    )
    prompt: Parts = (*column_parts(sample, context), JOINT, *column_parts(sample, question))
    yield Guess(_pair(sample, prompt, answers), reasons)


def prompt_completion(sample: Sample) -> Iterator[Guess]:
    """Prompt and completion, as text or as turns."""
    yield from _pairs(sample, PROMPT_COMPLETION)


def question_answer(sample: Sample) -> Iterator[Guess]:
    """A question and an answer under any of their usual names."""
    yield from _pairs(sample, QUESTION_ANSWER)


def find_pair(sample: Sample, *names: tuple[str, str]) -> tuple[str, str] | None:
    """The columns of the first prompt and answer that the rows have under these names."""
    return next(iter(_found_pairs(sample, names)), None)


def _pairs(sample: Sample, names: tuple[tuple[str, str], ...]) -> Iterator[Guess]:
    for prompt, answer in _found_pairs(sample, names):
        yield Guess(_pair(sample, column_parts(sample, prompt), answer))


def _found_pairs(sample: Sample, names: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    for prompt_name, answer_name in names:
        prompt = sample.find(prompt_name, kinds=_PROMPT_KINDS)
        answer = sample.find(answer_name, kinds=_ANSWER_KINDS)
        if prompt is None or answer is None:
            continue
        if sample.kind(prompt) == "turns" and sample.kind(answer) != "turns" and answer_name not in _ANSWERS_TO_TURNS:
            continue
        yield prompt, answer


def _with_context(sample: Sample, instruction: str, context: str | None) -> Parts:
    if context is None:
        return column_parts(sample, instruction)
    return (*column_parts(sample, instruction), JOINT, ColumnPart(column=context, optional=True))


def _pair(sample: Sample, prompt: Parts, answer: str, *, conversation: Conversation | None = None) -> Mapping:
    return Mapping(
        format="prompt_completion",
        conversation=conversation,
        system=system_parts(sample),
        prompt=prompt,
        completion=answer_parts(sample, answer),
        tools=tools_column(sample),
    )
