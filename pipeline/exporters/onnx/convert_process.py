"""Writes the model of a folder as an ONNX graph in a process of its own: the folder, and the file to write."""

import sys
from statistics import NormalDist
from typing import Any

# Two texts of some tokens: of one alone, the number of texts would be fixed to one.
_SAMPLE = (2, 9)


def main() -> None:
    """Convert."""
    folder, file = sys.argv[1:]
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    _state_sparsity(model)
    ids = torch.randint(model.config.get_text_config().vocab_size, _SAMPLE, generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    OnnxExporter().export(model, inputs, config=OnnxConfig(output_path=file, dynamic=True))


def _state_sparsity(model: Any) -> None:
    """Gemma 3n cuts activations off at a quantile of the normal distribution, which ONNX has no operation for."""
    import torch

    def cut_off(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        deviations = NormalDist().inv_cdf(layer.activation_sparsity)
        mean, deviation = inputs.mean(-1, keepdim=True), inputs.std(-1, keepdim=True, unbiased=False)
        return torch.nn.functional.relu(inputs - (mean + deviation * deviations))

    for kind in {type(module) for module in model.modules() if hasattr(module, "_gaussian_topk")}:
        kind._gaussian_topk = cut_off


if __name__ == "__main__":
    main()
