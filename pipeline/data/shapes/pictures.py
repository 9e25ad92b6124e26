"""Shapes whose rows hold an image beside text: a question with its answer, or a caption."""

from collections.abc import Iterator

from pipeline.data.mapping import ImagePart, Mapping, TextPart
from pipeline.data.sample import Kind, Sample
from pipeline.data.shapes.pairs import PROMPT_COMPLETION, QUESTION_ANSWER, find_pair
from pipeline.data.shapes.shape import Guess, answer_parts, column_parts, image_column, system_parts

CAPTION_PROMPT = "Describe the image."
_VISUAL_PAIRS = (("question", "multiple_choice_answer"), ("instruction", "output"))
_TEXT_KINDS: tuple[Kind, ...] = ("text", "texts")


def vision_question_answer(sample: Sample) -> Iterator[Guess]:
    """An image, a question and an answer."""
    image, pair = image_column(sample), find_pair(sample, *PROMPT_COMPLETION, *_VISUAL_PAIRS, *QUESTION_ANSWER)
    if image is None or pair is None:
        return
    mapping = Mapping(
        format="prompt_completion",
        system=system_parts(sample),
        prompt=(ImagePart(column=image), *column_parts(sample, pair[0])),
        completion=answer_parts(sample, pair[1]),
    )
    yield Guess(mapping)


def image_caption(sample: Sample) -> Iterator[Guess]:
    """An image and the text that describes it."""
    image = image_column(sample)
    caption = sample.find("caption", "captions", "text", "description", "label", kinds=_TEXT_KINDS)
    if image is None or caption is None:
        return
    mapping = Mapping(
        format="prompt_completion",
        prompt=(ImagePart(column=image), TextPart(text=CAPTION_PROMPT)),
        completion=answer_parts(sample, caption),
    )
    yield Guess(mapping, (f'The prompt is the same in every row: "{CAPTION_PROMPT}"',))
