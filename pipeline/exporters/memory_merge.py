"""Merges an adapter into its base model in memory, with PEFT: where the weights cannot be merged one by one."""

import shutil
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pipeline.exporters.model_files import write_model_files


def merge_in_memory(
    base: Path, adapter: Path, folder: Path, *, dtype: torch.dtype, trust_remote_code: bool = False
) -> None:
    """Write the model in `base` with the adapter in its weights to `folder`. Memory: twice the model, in fp32.

    Sums are made in fp32 and rounded once, to `dtype`.
    """
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, trust_remote_code=trust_remote_code)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload().to(dtype)
    untied = model.config.get_text_config().tie_word_embeddings and not merged.config.tie_word_embeddings
    for left in folder.glob("*.safetensors*"):
        left.unlink()
    merged.save_pretrained(folder)
    description = folder / "config.json"
    saved = folder / "saved_config.json"
    description.rename(saved)
    write_model_files(base, adapter, folder, dtype=dtype, untied=untied, trust_remote_code=trust_remote_code)
    # What PEFT changed about the model counts, not what the base says of itself.
    shutil.move(saved, description)
