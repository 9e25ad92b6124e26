"""Answers prompts in batches with a model that is being trained, and leaves the model as it was."""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy
import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from pipeline.evaluation.prompts import HeldOutPrompt
from pipeline.model_manager import DTYPES, Precision
from pipeline.vision.collator import LEFT_OUT, ImageCollator
from pipeline.vision.images import UnreadableImage
from pipeline.vision.rows import image_dataset


@dataclass(frozen=True)
class Answer:
    """The text of an answer without special tokens and without blanks at its ends; `finished`: its end was written."""

    text: str
    finished: bool


class Answerer:
    """Answers greedily: each token is the likeliest one, whatever the model's own generation settings say.

    `model` is the language model itself, with or without adapter layers in it; `processing` is its tokenizer, or its
    processor where it sees images; `end_ids` end an answer.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processing: PreTrainedTokenizerBase | ProcessorMixin,
        *,
        precision: Precision,
        end_ids: Collection[int],
    ) -> None:
        sees = isinstance(processing, ProcessorMixin)
        self.model = model
        self.tokenizer: PreTrainedTokenizerBase = processing.tokenizer if sees else processing
        self.collator = ImageCollator(processing) if sees else None
        self.precision = precision
        self.end_ids = set(end_ids)

    def answer(self, prompts: Sequence[HeldOutPrompt], *, max_new_tokens: int) -> list[Answer]:
        """The answers to one batch; prompts with images are answered one by one.

        Raises:
            UnreadableImage: an image is not there any more.
        """
        texts = [prompt.ids for prompt in prompts if prompt.image_row is None]
        of_texts = iter(self._answer_texts(texts, max_new_tokens))
        return [
            next(of_texts)
            if prompt.image_row is None
            else self._generate(self._image_inputs(prompt), max_new_tokens)[0]
            for prompt in prompts
        ]

    def _answer_texts(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Answer]:
        """The answers to prompts of text together; out of memory, to each half of them, as often as it takes."""
        if not prompts:
            return []
        try:
            return self._generate(self._left_padded(prompts), max_new_tokens)
        except torch.OutOfMemoryError:
            if len(prompts) == 1:
                raise
        half = len(prompts) // 2
        return [
            answer for part in (prompts[:half], prompts[half:]) for answer in self._answer_texts(part, max_new_tokens)
        ]

    def _generate(self, inputs: dict[str, torch.Tensor], max_new_tokens: int) -> list[Answer]:
        with undisturbed(self.model), torch.no_grad(), self._autocast():
            output = self.model.generate(
                **{name: value.to(self.model.device) for name, value in inputs.items()},
                generation_config=self._generation_config(max_new_tokens),
            )
        return [self._read(row) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]

    def _left_padded(self, prompts: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Token ids and mask of shape (prompts, longest prompt); an answer has to follow its prompt at once."""
        longest, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    def _image_inputs(self, prompt: HeldOutPrompt) -> dict[str, torch.Tensor]:
        """The inputs of a batch in training, with this prompt as its only row."""
        row = replace(prompt.image_row, input_ids=prompt.ids, labels=prompt.ids)
        inputs = self.collator(image_dataset([row]))
        for _, reason in inputs.pop(LEFT_OUT):
            raise UnreadableImage(reason)
        return {name: value for name, value in inputs.items() if name != "labels"}

    def _autocast(self) -> torch.autocast:
        enabled = self.precision != "fp32"
        return torch.autocast(self.model.device.type, dtype=DTYPES[self.precision], enabled=enabled)

    def _generation_config(self, max_new_tokens: int) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            use_cache=True,
            eos_token_id=sorted(self.end_ids),
            pad_token_id=self.tokenizer.pad_token_id,
        )

    def _read(self, ids: list[int]) -> Answer:
        end = next((index for index, token in enumerate(ids) if token in self.end_ids), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Answer(text.strip(), finished=end is not None)


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Run the body with the model in evaluation mode and giving logits; then put back its mode, its forward and every
    random state, so that training goes on as if the body had not been."""
    modes = {module: module.training for module in model.modules()}
    # A loss of ours and the trainer's mixed precision live in a `forward` of the instance; the class has the real one.
    forward = vars(model).pop("forward", None)
    python, numbers = random.getstate(), numpy.random.get_state()
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    try:
        model.eval()
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(numbers)
        if forward is not None:
            model.forward = forward
        for module, training in modes.items():
            module.training = training
