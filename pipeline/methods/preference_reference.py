"""The reference of the preference methods: the model as it was before training, at the least cost in memory."""

from copy import deepcopy

import torch
from peft import PeftModel
from transformers import Trainer

from pipeline.model_manager import LoadedModel


def reference_for(loaded: LoadedModel) -> torch.nn.Module:
    """What TRL's trainers take as `ref_model`; `settle_reference` has to follow once the trainer is built.

    After a full fine-tune began, only a frozen copy still knows the start. An adapter can be switched off instead, so
    for LoRA it is an empty module: given none, TRL would copy the adapter under a second name and save it too.
    """
    if isinstance(loaded.model, PeftModel):
        return torch.nn.Module()
    return deepcopy(loaded.model).requires_grad_(False).eval()


def settle_reference(trainer: Trainer) -> None:
    """Let a trainer whose model has an adapter take the model without it as its reference."""
    if isinstance(trainer.model, PeftModel):
        trainer.ref_model = None


def stop_base_dropout(model: torch.nn.Module) -> None:
    """Switch off all dropout but the adapter's own, so that noise in the base does not look like a changed answer."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name.split("."):
            module.p = 0.0
