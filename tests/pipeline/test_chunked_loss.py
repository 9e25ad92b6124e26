"""linear_cross_entropy against PyTorch's cross-entropy: loss, gradients and counts."""

import itertools
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from pipeline.chunked_loss import linear_cross_entropy, use_chunked_loss

TOKENS, WIDTH, VOCABULARY = 23, 8, 101


def reference(hidden, weight, bias, targets, *, logit_scale, softcap):  # type: ignore[no-untyped-def]
    logits = hidden @ weight.t()
    if bias is not None:
        logits = logits + bias
    logits = logits * logit_scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return cross_entropy(logits, targets, reduction="sum"), (logits.argmax(-1) == targets).sum()


def ours_in_parts(hidden, weight, bias, targets, **options):  # type: ignore[no-untyped-def]
    """Chunks of seven tokens and blocks of three, so that borders fall inside."""
    sizes = {"logits_per_chunk": 7 * VOCABULARY, "logits_per_block": 3 * VOCABULARY}
    return linear_cross_entropy(hidden, weight, targets, bias=bias, **options, **sizes)


def leaves(dtype: torch.dtype, *, with_bias: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(5)
    shapes = [(TOKENS, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,)]
    hidden, weight, bias = (torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)
    return hidden, weight, bias if with_bias else None


@pytest.mark.parametrize(
    ("dtype", "softcap", "logit_scale", "with_bias"),
    list(itertools.product((torch.float64, torch.float32), (None, 2.5), (1.0, 0.5), (False, True))),
)
def test_loss_and_gradients_equal_pytorch(
    dtype: torch.dtype, softcap: float | None, logit_scale: float, with_bias: bool
) -> None:
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(6))
    results = []
    for function in (reference, ours_in_parts):
        inputs = leaves(dtype, with_bias=with_bias)
        summed, correct = function(*inputs, targets, logit_scale=logit_scale, softcap=softcap)
        (summed / 11).backward()
        results.append([summed.detach(), correct, *(leaf.grad for leaf in inputs if leaf is not None)])
    for expected, seen in zip(*results, strict=True):
        torch.testing.assert_close(seen, expected)


def test_huge_losses_stay_finite() -> None:
    hidden = torch.tensor([[400.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]])
    summed, _ = linear_cross_entropy(hidden, weight, torch.tensor([1]))
    summed.backward()
    assert summed.item() == pytest.approx(800)
    assert hidden.grad is not None
    assert hidden.grad.item() == pytest.approx(2)


def test_no_token_is_a_loss_of_zero_with_zero_gradient() -> None:
    hidden = torch.empty(0, WIDTH, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    summed, correct = linear_cross_entropy(hidden, weight, torch.empty(0, dtype=torch.int64))
    summed.backward()
    assert summed.item() == correct.item() == 0
    assert weight.grad is not None
    assert not weight.grad.any()


def test_frozen_head_gets_no_gradient() -> None:
    hidden, weight, _ = leaves(torch.float32, with_bias=False)
    summed, _ = linear_cross_entropy(hidden, weight.detach(), torch.zeros(TOKENS, dtype=torch.int64))
    summed.backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_gradient_is_not_computed_for_evaluation() -> None:
    hidden, weight, _ = leaves(torch.float32, with_bias=False)
    targets = torch.zeros(TOKENS, dtype=torch.int64)
    with torch.no_grad():
        summed, _ = linear_cross_entropy(hidden, weight, targets)
    assert not summed.requires_grad
    torch.testing.assert_close(summed, cross_entropy(hidden @ weight.t(), targets, reduction="sum").detach())


def test_bf16_is_as_close_to_the_truth_as_pytorch() -> None:
    hidden, weight, _ = leaves(torch.float32, with_bias=False)
    targets = torch.arange(TOKENS)
    truth, _ = linear_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, _ = linear_cross_entropy(hidden, weight, targets)
        theirs = cross_entropy((hidden @ weight.t()).float(), targets, reduction="sum")
    assert ours.dtype == torch.float32
    assert abs(ours - truth) <= abs(theirs - truth) + 1e-3 * truth


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Two rows, the second padded, with the first tokens not trained on."""
    ids = torch.randint(10, 500, (2, 12), generator=torch.Generator().manual_seed(7))
    attention = torch.ones_like(ids)
    attention[1, 8:] = 0
    labels = ids.masked_fill(attention == 0, -100)
    labels[:, :5] = -100
    return {"input_ids": ids, "attention_mask": attention, "labels": labels}


@pytest.mark.parametrize("items", [None, 5, torch.tensor(40)])
def test_patched_model_has_the_loss_and_gradients_of_the_original(
    tiny_gemma: Path, batch: dict[str, torch.Tensor], items: int | torch.Tensor | None
) -> None:
    results = []
    for patch in (False, True):
        model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
        # Gemma 2's models cap their logits.
        model.config.final_logit_softcapping = 3.0
        if patch:
            use_chunked_loss(model)
        output = model(**batch, num_items_in_batch=items)
        output.loss.backward()
        results.append((output.loss.detach(), {name: p.grad for name, p in model.named_parameters()}))
    (expected, expected_gradients), (seen, gradients) = results
    torch.testing.assert_close(seen, expected)
    torch.testing.assert_close(gradients, expected_gradients)


def test_patched_model_counts_trained_tokens(tiny_gemma: Path, batch: dict[str, torch.Tensor]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    logits = model(**{**batch, "labels": None}).logits[:, :-1]
    targets = batch["labels"][:, 1:]
    use_chunked_loss(model)
    output = model(**batch)
    assert output.trained_tokens == (targets != -100).sum()
    assert output.correct_tokens == ((logits.argmax(-1) == targets) & (targets != -100)).sum()
    torch.testing.assert_close(output.summed_loss, output.loss.detach() * output.trained_tokens)


def test_batch_without_trained_tokens_is_zero(tiny_gemma: Path, batch: dict[str, torch.Tensor]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_gemma)
    use_chunked_loss(model)
    output = model(**{**batch, "labels": torch.full_like(batch["labels"], -100)})
    output.loss.backward()
    assert output.loss.item() == 0
