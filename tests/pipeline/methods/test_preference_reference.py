"""The reference of preference methods: a frozen copy, or nothing at all beside an adapter; no noise from the base."""

import torch
from peft import PeftModel

from pipeline.job_tracker import JobTracker
from pipeline.methods.preference_reference import reference_for, stop_base_dropout
from pipeline.model_manager import ModelManager
from tests.pipeline.conftest import MakeConfig


def test_whole_model_has_a_frozen_copy(make_config: MakeConfig, tracker: JobTracker) -> None:
    loaded = ModelManager(make_config(tuning={"kind": "full"}), tracker).load()
    reference = reference_for(loaded)
    ids = torch.tensor([[2, 50, 60]])
    torch.testing.assert_close(reference(ids).logits, loaded.model(ids).logits)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter += 1
    assert not torch.allclose(reference(ids).logits, loaded.model(ids).logits)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert not reference.training


def test_adapter_needs_no_copy(make_config: MakeConfig, tracker: JobTracker) -> None:
    loaded = ModelManager(make_config(), tracker).load()
    assert isinstance(loaded.model, PeftModel)
    assert not list(reference_for(loaded).parameters())


def test_only_the_adapters_dropout_stays() -> None:
    layer = torch.nn.ModuleDict(
        {
            "hidden": torch.nn.Dropout(0.1),
            "q_proj": torch.nn.ModuleDict({"lora_dropout": torch.nn.ModuleDict({"default": torch.nn.Dropout(0.3)})}),
        }
    )
    stop_base_dropout(layer)
    assert layer["hidden"].p == 0
    assert layer["q_proj"]["lora_dropout"]["default"].p == 0.3
