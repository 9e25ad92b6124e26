"""Answers prompts in batches with a model that is being trained, and leaves the model as it was."""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy
import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from pipeline.model_manager import DTYPES, Precision


@dataclass(frozen=True)
class Answer:
    """The text of an answer without special tokens and without blanks at its ends; `finished`: its end was written."""

    text: str
    finished: bool


class Answerer:
    """Answers greedily: each token is the likeliest one, whatever the model's own generation settings say.

    `model` is the causal language model itself, with or without adapter layers in it; `end_ids` end an answer.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        precision: Precision,
        end_ids: Collection[int],
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.precision = precision
        self.end_ids = set(end_ids)

    def answer(self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int) -> list[Answer]:
        """The answers to one batch of token ids. Out of memory, it halves the batch as often as it can."""
        try:
            return self._answer(prompts, max_new_tokens)
        except torch.OutOfMemoryError:
            if len(prompts) == 1:
                raise
        half = len(prompts) // 2
        halves = (prompts[:half], prompts[half:])
        return [answer for part in halves for answer in self.answer(part, max_new_tokens=max_new_tokens)]

    def _answer(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Answer]:
        ids, mask = self._left_padded(prompts)
        with undisturbed(self.model), torch.no_grad(), self._autocast():
            output = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=self._generation_config(max_new_tokens)
            )
        return [self._read(row) for row in output[:, ids.shape[1] :].tolist()]

    def _left_padded(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask of shape (prompts, longest prompt); an answer has to follow its prompt at once."""
        longest, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        device = self.model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

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
