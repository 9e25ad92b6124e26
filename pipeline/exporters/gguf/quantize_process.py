"""Quantizes a GGUF file in a process of its own, as `llama-quantize FILE TARGET TYPE` does."""

import sys

# The names of types in llama.cpp (include/llama.h, enum llama_ftype).
TYPES = {"F16": 1, "Q8_0": 7, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "BF16": 32}


def main() -> None:
    """Quantize."""
    source, target, name = sys.argv[1:]
    from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize  # type: ignore[import-not-found]

    settings = LlamaModelQuantizeParams()
    settings.ftype = TYPES[name]
    model_quantize(source, target, settings)


if __name__ == "__main__":
    main()
