"""Answerer: greedy answers that do not depend on the batch, and a model that is left as it was."""

import random
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from pipeline.chunked_loss import use_chunked_loss
from pipeline.evaluation.answering import Answerer, undisturbed
from pipeline.evaluation.prompts import HeldOutPrompt

PROMPTS = [
    HeldOutPrompt(row=1, ids=ids, shown="", reference=None)
    for ids in ([2, 300, 310, 320, 330, 340, 350], [2, 300], [2, 400, 410, 420])
]


@pytest.fixture
def model(tiny_gemma: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(tiny_gemma)


def answerer(model: PreTrainedModel, tiny_gemma: Path, *, end_ids: tuple[int, ...] = (1,)) -> Answerer:
    return Answerer(model, AutoTokenizer.from_pretrained(tiny_gemma), precision="fp32", end_ids=end_ids)


def likeliest(model: PreTrainedModel, prompt: list[int], count: int) -> list[int]:
    """Greedy decoding by hand: a whole forward pass for each token."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_answers_are_the_likeliest_tokens_whatever_stands_beside_them(model: PreTrainedModel, tiny_gemma: Path) -> None:
    model.generation_config.update(do_sample=True, top_k=5, repetition_penalty=1.5)
    subject = answerer(model, tiny_gemma)
    texts = [
        subject.tokenizer.decode(likeliest(model, prompt.ids, 10), skip_special_tokens=True).strip()
        for prompt in PROMPTS
    ]
    assert [answer.text for answer in subject.answer(PROMPTS, max_new_tokens=10)] == texts
    assert [subject.answer([prompt], max_new_tokens=10)[0].text for prompt in PROMPTS] == texts


def test_answer_ends_where_an_end_token_is_written(model: PreTrainedModel, tiny_gemma: Path) -> None:
    tokens = likeliest(model, PROMPTS[0].ids, 10)
    end = next(token for token in tokens if token != tokens[0])
    (whole,), (ended,) = (
        answerer(model, tiny_gemma, end_ids=ids).answer(PROMPTS[:1], max_new_tokens=10) for ids in [(1,), (end,)]
    )
    tokenizer = AutoTokenizer.from_pretrained(tiny_gemma)
    assert ended.text == tokenizer.decode(tokens[: tokens.index(end)], skip_special_tokens=True).strip()
    assert (whole.finished, ended.finished) == (False, True)


def test_model_is_left_as_it_was(model: PreTrainedModel, tiny_gemma: Path) -> None:
    use_chunked_loss(model)
    model.train()
    model.model.layers[1].eval()
    modes, forward = [module.training for module in model.modules()], model.forward
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(3)
    states = [random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    with undisturbed(model):
        assert not any(module.training for module in model.modules())
        assert model(torch.tensor([[2, 60]])).logits.shape == (1, 2, 512)
        for draw in (random.random, numpy.random.rand, lambda: torch.rand(1)):
            draw()
    assert [random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()] == states
    assert [module.training for module in model.modules()] == modes
    assert model.forward == forward


def test_model_is_left_as_it_was_after_a_failure(model: PreTrainedModel) -> None:
    use_chunked_loss(model)
    model.train()
    forward = model.forward
    with pytest.raises(ValueError, match="broken"), undisturbed(model):
        raise ValueError("broken")
    assert model.forward == forward
    assert model.training


def test_batch_that_does_not_fit_is_halved(
    model: PreTrainedModel, tiny_gemma: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = answerer(model, tiny_gemma)
    expected = subject.answer(PROMPTS, max_new_tokens=4)
    generate, sizes = model.generate, []

    def small_memory(*, input_ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
        sizes.append(len(input_ids))
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **arguments)

    monkeypatch.setattr(model, "generate", small_memory)
    assert subject.answer(PROMPTS, max_new_tokens=4) == expected
    assert sizes == [3, 1, 2, 1, 1]
