"""Which held-out rows the model is asked, and at which tokens its answers are over."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from pipeline.chat_template import ChatTemplate, UnusableConversation
from pipeline.data.example import Example
from pipeline.evaluation.image_prompts import ImageQuestionReader
from pipeline.evaluation.prompts import HeldOutPrompt, QuestionReader, text_opening
from pipeline.generate import end_token_ids
from pipeline.model_manager import LoadedModel
from pipeline.vision.turns import image_template


def held_out_prompts(
    examples: Sequence[Example], loaded: LoadedModel, *, count: int, keep: Callable[[HeldOutPrompt], bool]
) -> list[HeldOutPrompt]:
    """The first `count` rows that make a prompt to `keep`; the others are passed over.

    Raises:
        ModelUnavailable: the model's chat template is needed and cannot be used.
    """
    return list(islice(filter(keep, _prompts(examples, loaded)), count))


def end_ids_for(prompts: Sequence[HeldOutPrompt], loaded: LoadedModel) -> list[int]:
    """Ids at which answers to these prompts are over; the chat template has a say where any of them is a question.

    To be asked before a trainer is made, which changes the model's own end tokens.
    """
    template = None
    if loaded.tokenizer.chat_template is not None and not all(prompt.is_continuation for prompt in prompts):
        template = ChatTemplate(loaded.tokenizer) if loaded.processor is None else image_template(loaded.tokenizer)
    return end_token_ids(loaded.base, loaded.tokenizer, template=template)


def _prompts(examples: Sequence[Example], loaded: LoadedModel) -> Iterator[HeldOutPrompt]:
    sees = loaded.processor is not None
    reader = ImageQuestionReader(loaded.processor) if sees else QuestionReader(loaded.tokenizer)
    for example in examples:
        try:
            prompt = text_opening(example, loaded.tokenizer) if example.messages is None else reader.read(example)
        except UnusableConversation:
            # It was told when the row was encoded.
            continue
        if prompt is not None:
            yield prompt
