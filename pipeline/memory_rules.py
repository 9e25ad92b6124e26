"""Rules of thumb about GPU memory: bytes a weight, and how many rows there is room for.

They choose between settings before anything is known of the run in detail; they do not promise that a run fits.
"""

from dataclasses import dataclass
from typing import Protocol

from pipeline.hardware_specs import GIB
from pipeline.method_config import MethodKind

# 16 bits: 2 bytes. NF4: half a byte and 0.016 for its constants (arXiv:2305.14314), and embeddings, head and norms stay
# in 16 bits: with Gemma's vocabulary about a seventh of the weights.
_FROZEN_BYTES = {"none": 2.0, "4bit": 0.7}
_FROZEN_BYTES_FP32 = {"none": 4.0, "4bit": 1.1}
# A trained weight is kept in fp32 with its gradient and two moments of AdamW: four times 4 bytes.
_TRAINED_BYTES = 16.0
# The rest is for activations, the adapter with its optimiser, and the logits of a chunk.
_WEIGHTS_SHARE = 0.6
# What CUDA, its libraries and fragments take.
_RESERVED_SHARE = 0.1
_ROW_TOKENS = 1024
# A chosen and a rejected answer; KTO reads each answer after another prompt too.
_TWO_SEQUENCES: tuple[MethodKind, ...] = ("dpo", "orpo", "kto", "reward")


class Accelerator(Protocol):
    """What the rules ask of a GPU, whether it is here or only known by its type."""

    @property
    def name(self) -> str: ...

    @property
    def memory_total(self) -> int:
        """Bytes that a process can have of it."""

    @property
    def memory_gb(self) -> int:
        """Memory as people call it."""

    @property
    def has_bf16(self) -> bool: ...


@dataclass(frozen=True)
class WeightsPlan:
    """How the weights are kept, and what they take of the GPU, in GB of 2**30 bytes."""

    quantization: str
    weights_gb: float
    gpu_gb: float
    fits: bool
    in_16_bits: bool = True


def weights_gb(parameters: float, *, tuning: str, quantization: str, in_16_bits: bool = True) -> float:
    """What the weights take while they are tuned, in GB of 2**30 bytes."""
    frozen = _FROZEN_BYTES if in_16_bits else _FROZEN_BYTES_FP32
    return parameters * (_TRAINED_BYTES if tuning == "full" else frozen[quantization]) / GIB


def plan_weights(parameters: float, gpu: Accelerator, *, tuning: str, in_16_bits: bool = True) -> WeightsPlan:
    """The least quantised weights that leave two fifths of the GPU to everything else; 4 bits where none do.

    A full fine-tune, whose 16 bytes a weight hold gradients and optimiser already, may take nine tenths.
    """
    total = gpu.memory_total / GIB
    if tuning == "full":
        needed = weights_gb(parameters, tuning="full", quantization="none")
        return WeightsPlan("none", needed, total, needed <= total * (1 - _RESERVED_SHARE), in_16_bits)
    for quantization in ("none", "4bit"):
        needed = weights_gb(parameters, tuning="lora", quantization=quantization, in_16_bits=in_16_bits)
        if needed <= total * _WEIGHTS_SHARE:
            return WeightsPlan(quantization, needed, total, True, in_16_bits)
    return WeightsPlan("4bit", needed, total, needed <= total * (1 - _RESERVED_SHARE), in_16_bits)


def rows_at_once(parameters: float, plan: WeightsPlan, *, method: MethodKind, row_tokens: int | None) -> int:
    """Rows that the memory beside the weights has room for, at least 1.

    Half a GB for each 1,024 tokens of a model of up to two billion weights, one GB up to ten, two GB above; twice as
    much where a row is two sequences, or numbers take 32 bits.
    """
    a_row = 0.5 if parameters <= 2e9 else 1.0 if parameters <= 10e9 else 2.0
    length = _ROW_TOKENS if row_tokens is None else row_tokens
    a_row *= (2 if method in _TWO_SEQUENCES else 1) * (1 if plan.in_16_bits else 2) * max(1.0, length / _ROW_TOKENS)
    left = plan.gpu_gb * (1 - _RESERVED_SHARE) - plan.weights_gb
    return max(1, int(left / a_row))
