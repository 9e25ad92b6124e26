"""What a run takes of a GPU's memory besides its live tensors: the allocator's share, and the driver's context."""

# Published pairs in GiB, allocated and reserved: QLoRA of 12 B weights on a T4, 13.09 and 13.58 (TejasNaik24/
# Kleos-Models, feasibility.py); 8-bit LoRA of LLaMA, 9.40 and 9.76 (stochasticai/xTuring, issue 140); T0 3B, 36.36 and
# 38.31 (bigscience-workshop/t-zero, issue 12): 4 to 5 % more. Little more than 1 % in FLUX.1, 22.72 and 22.97
# (huggingface/lora-fast, issue 1); 12 % in LLaVA, 27.12 and 30.44 (haotian-liu/LLaVA, issue 1152).
ALLOCATOR_SHARE = 0.05
LOW_ALLOCATOR_SHARE = 0.01
HIGH_ALLOCATOR_SHARE = 0.12
# What a process takes beside the allocator: 414 MiB of an A100 without any tensor (awslabs/keys_values, issue 92), 0.51
# GiB of an RTX 4090 (huggingface/lora-fast, issue 1), 0.34 GiB of 16 GiB (qingze-bai/VSmTrans, issue 3), at most 0.14
# GiB of a T4 (Kleos-Models). The highest of them, since the workspaces of cuBLAS come to it.
CONTEXT_BYTES = 512 << 20


def allocator_bytes(allocated: int, *, share: float = ALLOCATOR_SHARE) -> int:
    """Bytes that PyTorch's CUDA allocator holds beside so many bytes of live tensors: rounding and fragments."""
    return round(allocated * share)
