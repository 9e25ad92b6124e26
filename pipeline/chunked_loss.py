"""Cross-entropy from hidden states, with logits for the trained tokens only and never all of them at once.

The gradient of cross-entropy by the logits is `softmax(logits) - onehot(target)`, so it is known as soon as the logits
are: each chunk's logits are computed once, turned into their gradient in place and multiplied back, all in the forward
pass (Hsu et al. 2024, "Liger Kernel", arXiv:2410.10989, section 3.2; the idea of never holding all logits is also in
Wijmans et al. 2024, "Cut Your Losses", arXiv:2411.09009).
"""

from dataclasses import dataclass
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from pipeline.row_encoder import IGNORED

# 128 MiB of bf16 logits: few enough to be cheap, many enough to read the head's weight seldom.
LOGITS_PER_CHUNK = 64 * 1024 * 1024
# 8 MiB of fp32: on a CPU the softmax of a block stays in the cache between its passes.
CPU_LOGITS_PER_BLOCK = 2 * 1024 * 1024


class TokenLoss(NamedTuple):
    """The summed loss, and the number of tokens whose target had the best logit (a tie counts as right). Scalars."""

    summed: torch.Tensor
    correct: torch.Tensor


@dataclass
class ChunkedLossOutput(ModelOutput):
    """What the patched forward returns; the counts are over this batch's trained tokens."""

    loss: torch.Tensor | None = None
    summed_loss: torch.Tensor | None = None
    correct_tokens: torch.Tensor | None = None
    trained_tokens: torch.Tensor | None = None


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    logits_per_chunk: int = LOGITS_PER_CHUNK,
    logits_per_block: int = CPU_LOGITS_PER_BLOCK,
) -> TokenLoss:
    """Sum over the tokens of the cross-entropy of `hidden @ weight.T` with `targets`.

    Logits are `softcap * tanh(logit_scale * (hidden @ weight.T + bias) / softcap)`, in the number format of `hidden`
    (or autocast's); softmax and sums are in fp32, or in fp64 for fp64.

    Args:
        hidden: (tokens, width)
        weight: (vocabulary, width)
        targets: (tokens,) token ids
        bias: (vocabulary,)
        logits_per_chunk: logits in memory at a time, in the number format of `hidden`
        logits_per_block: logits widened for the softmax at a time; a GPU widens the whole chunk
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    chunk_rows = max(1, min(len(hidden), logits_per_chunk // len(weight)))
    block_rows = chunk_rows if hidden.is_cuda else max(1, min(chunk_rows, logits_per_block // len(weight)))
    summed, correct = _LinearCrossEntropy.apply(
        hidden, weight, bias, targets, logit_scale, softcap, chunk_rows, block_rows
    )
    return TokenLoss(summed, correct)


def use_chunked_loss(model: PreTrainedModel) -> None:
    """Replace `model.forward` by one that takes labels, computes no logits and returns a ChunkedLossOutput.

    `num_items_in_batch` divides the summed loss, as in transformers; without it the trained tokens of the batch do.
    """
    text_config = model.config.get_text_config().to_dict()
    head = model.get_output_embeddings()
    logit_scale, softcap = text_config.get("logit_scale"), text_config.get("final_logit_softcapping")

    def forward(
        self: PreTrainedModel,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> ChunkedLossOutput:
        kwargs["use_cache"] = False
        states = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs).last_hidden_state
        # A position predicts the token after it.
        targets = labels[:, 1:]
        trained = targets != IGNORED
        loss = linear_cross_entropy(
            states[:, :-1][trained],
            head.weight,
            targets[trained],
            bias=head.bias,
            logit_scale=1.0 if logit_scale is None else logit_scale,
            softcap=softcap,
            logits_per_chunk=LOGITS_PER_CHUNK,
            logits_per_block=CPU_LOGITS_PER_BLOCK,
        )
        count = trained.sum()
        return ChunkedLossOutput(
            loss=loss.summed / (count.clamp(min=1) if num_items_in_batch is None else num_items_in_batch),
            summed_loss=loss.summed.detach(),
            correct_tokens=loss.correct,
            trained_tokens=count,
        )

    model.forward = MethodType(forward, model)
    # Gemma 4 says that it does not take num_items_in_batch; this forward does.
    model.accepts_loss_kwargs = True


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        logit_scale: float,
        softcap: float | None,
        chunk_rows: int,
        block_rows: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, vocabulary = hidden.shape[0], weight.shape[0]
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        weight_cast = weight.to(hidden.dtype)
        exact = torch.promote_types(hidden.dtype, torch.float32)

        logits = hidden.new_empty(chunk_rows, vocabulary)
        block = hidden.new_empty(block_rows, vocabulary, dtype=exact)
        losses = hidden.new_zeros(tokens, dtype=exact)
        correct = torch.zeros((), dtype=torch.int64, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=exact) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=exact) if wants_bias else None

        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, tokens, chunk_rows):
                rows = slice(start, min(start + chunk_rows, tokens))
                chunk = logits[: rows.stop - start]
                torch.mm(hidden[rows], weight_cast.t(), out=chunk)
                for first in range(0, len(chunk), block_rows):
                    part = chunk[first : first + block_rows]
                    at = slice(start + first, start + first + len(part))
                    scores = block[: len(part)].copy_(part)
                    correct += _scores_to_gradient(
                        scores, targets[at], losses[at], bias=bias, logit_scale=logit_scale, softcap=softcap
                    )
                    part.copy_(scores)
                    if grad_bias is not None:
                        grad_bias += scores.sum(0)
                if grad_hidden is not None:
                    torch.mm(chunk, weight_cast, out=grad_hidden[rows])
                if grad_weight is not None:
                    grad_weight += chunk.t() @ hidden[rows]
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.mark_non_differentiable(correct)
        ctx.weight_dtype = weight.dtype
        return losses.sum(), correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * grad,
            None if grad_weight is None else grad_weight.mul_(grad).to(ctx.weight_dtype),
            None if grad_bias is None else grad_bias.mul_(grad).to(ctx.weight_dtype),
            *(None,) * 5,
        )


def _scores_to_gradient(
    scores: torch.Tensor,
    targets: torch.Tensor,
    losses: torch.Tensor,
    *,
    bias: torch.Tensor | None,
    logit_scale: float,
    softcap: float | None,
) -> torch.Tensor:
    """Turn raw `scores` (tokens, vocabulary) into the gradient of the summed loss by them, in place.

    Writes each token's loss into `losses` and returns the number of tokens whose target has the best score
    (a tie counts as right).
    """
    if bias is not None:
        scores += bias
    if logit_scale != 1.0:
        scores *= logit_scale
    slope = None
    if softcap is not None:
        scores.div_(softcap).tanh_()
        slope = 1 - scores.square()
        scores *= softcap
    # Finding the value of the maximum is vectorised, finding its place is twenty times slower on a CPU.
    best = scores.amax(dim=-1)
    column = targets.unsqueeze(1)
    at_target = scores.gather(1, column).squeeze(1)
    torch.softmax(scores, dim=-1, out=scores)
    # The best token's probability is at least 1 / vocabulary: its logarithm is safe where the target's may not be.
    log_normaliser = best - scores.amax(dim=-1).log_()
    torch.sub(log_normaliser, at_target, out=losses)
    scores.scatter_add_(1, column, torch.full_like(column, -1, dtype=scores.dtype))
    if slope is not None:
        scores *= slope
    if logit_scale != 1.0:
        scores *= logit_scale
    return (at_target == best).sum()
