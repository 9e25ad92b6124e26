"""Has a trace on hollow tensors compute as a GPU would, on a machine that has none."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional

from pipeline import chunked_loss

aten = torch.ops.aten
# Beyond it FlashAttention has no kernel (Dao 2023, arXiv:2307.08691).
_WIDEST_FLASH_HEAD = 256
_HALF = (torch.bfloat16, torch.float16)


@contextmanager
def computing_as_cuda() -> Iterator[None]:
    """Attention through the fused kernels of CUDA, and a loss that widens a whole chunk of logits at once."""
    block, attention = chunked_loss.CPU_LOGITS_PER_BLOCK, functional.scaled_dot_product_attention
    chunked_loss.CPU_LOGITS_PER_BLOCK = chunked_loss.LOGITS_PER_CHUNK
    # Not by a TorchFunctionMode, which a backward pass that computes layers again would not see.
    functional.scaled_dot_product_attention = _attend
    try:
        yield
    finally:
        chunked_loss.CPU_LOGITS_PER_BLOCK, functional.scaled_dot_product_attention = block, attention


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention by the kernel that PyTorch 2.13 prefers on CUDA: without a mask FlashAttention, which reads shared keys
    and values as they are, else the memory-efficient one, for which they are repeated."""
    fits_flash = query.dtype in _HALF and query.shape[-1] <= _WIDEST_FLASH_HEAD
    if attn_mask is None and fits_flash:
        flash = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)
        return flash[0]
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # The kernel adds its mask to the products.
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype)
    if attn_mask is not None:
        attn_mask = attn_mask.expand(*query.shape[:-1], key.shape[-2])
    keeps = torch.is_grad_enabled()
    efficient = aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, keeps, dropout_p, is_causal, scale=scale
    )
    return efficient[0]
