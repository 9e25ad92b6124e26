"""What is trained, architecture by architecture: the language model's layers and nothing else."""

from collections.abc import Iterator

import pytest
import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pipeline.chunked_loss import use_chunked_loss
from pipeline.config import LoraConfig
from pipeline.errors import InvalidConfig
from pipeline.providers.huggingface import attach_lora
from pipeline.providers.target_modules import FEWEST_FEATURES, target_modules, train_language_model
from tests.pipeline.providers.architectures import (
    ARCHITECTURES,
    LAYERS,
    SCORERS,
    text_batch,
    tiny_model,
    tiny_scorer,
)

ATTENTION_AND_MLP = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PER_LAYER = ("per_layer_input_gate", "per_layer_projection", "per_layer_model_projection")
LEAVES = {
    "phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
    "gemma4": {*ATTENTION_AND_MLP, *PER_LAYER},
    "gemma4_multimodal": {*ATTENTION_AND_MLP, *PER_LAYER},
    "gemma3n": {*ATTENTION_AND_MLP, *PER_LAYER, "linear_left", "linear_right", "0", "1", "2"},
}
MULTIMODAL = ("gemma3_multimodal", "gemma4_multimodal")


def trained(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def adapted_layers(model: torch.nn.Module) -> set[str]:
    prefix, parts = "base_model.model.", (".lora_A.", ".lora_B.")
    names = {name.removeprefix(prefix) for name in trained(model)}
    assert all(any(part in name for part in parts) for name in names)
    return {name.split(".lora_")[0] for name in names}


def language_layers(model: PreTrainedModel) -> Iterator[str]:
    """The linear layers below a decoder, found by another way than by asking the model for it."""
    for name, module in model.named_modules():
        foreign = any(part in name for part in ("vision", "audio", "multi_modal", "lm_head", "score"))
        if isinstance(module, torch.nn.Linear | Conv1D) and not foreign:
            weight = module.weight
            if min(weight.shape) >= FEWEST_FEATURES:
                yield name


def changed_by_a_step(model: torch.nn.Module) -> set[str]:
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad], lr=10.0, weight_decay=0.0
    )
    # The second step reaches what a zero matrix kept the first one from.
    for _ in range(2):
        model(**text_batch()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lora_adapts_the_language_models_layers_and_a_step_changes_the_adapter_only(architecture: str) -> None:
    model = tiny_model(architecture)
    expected = set(language_layers(model))
    adapted = attach_lora(model, LoraConfig(rank=4), task="causal_lm")
    assert adapted_layers(adapted) == expected
    assert {name.rpartition(".")[2] for name in expected} == LEAVES.get(architecture, set(ATTENTION_AND_MLP))
    assert changed_by_a_step(adapted) == trained(adapted)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_trains_all_but_tables_head_and_towers_and_a_step_changes_nothing_else(architecture: str) -> None:
    model = tiny_model(architecture)
    train_language_model(model, embeddings=False)
    decoder = "language_model." if architecture in MULTIMODAL else ""
    tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)} | {
        "lm_head.weight"
    }
    names = {name for name, _ in model.named_parameters()}
    assert trained(model) == {name for name in names - tables if decoder in name}
    assert len(trained(model)) >= 6 * LAYERS
    assert changed_by_a_step(model) == trained(model)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_trains_embedding_and_head_where_asked(architecture: str) -> None:
    model = tiny_model(architecture)
    train_language_model(model, embeddings=False)
    without = trained(model)
    train_language_model(model, embeddings=True)
    added = {name.rpartition(".weight")[0].rpartition(".")[2] for name in trained(model) - without}
    embedding = "wte" if architecture == "gpt2" else "embed_tokens"
    assert added == ({embedding} if model.config.tie_word_embeddings else {embedding, "lm_head"})


@pytest.mark.parametrize("architecture", SCORERS)
def test_scorer_trains_its_head_too(architecture: str) -> None:
    model = tiny_scorer(architecture)
    expected = set(language_layers(model))
    adapted = attach_lora(model, LoraConfig(rank=4), task="seq_cls")
    head = {name for name in trained(adapted) if ".score." in name}
    assert head == {"base_model.model.score.modules_to_save.default.weight"}
    assert {name.removeprefix("base_model.model.").split(".lora_")[0] for name in trained(adapted) - head} == expected

    model = tiny_scorer(architecture)
    train_language_model(model, embeddings=False)
    assert "score.weight" in trained(model)
    assert not any("vision" in name or "embed" in name or "wte" in name for name in trained(model))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_chunked_loss_and_checkpointing_change_no_gradient_of_a_text(architecture: str) -> None:
    """Text alone needs no ids that say what is an image, also in models that see and hear."""

    def step(*, chunked: bool, checkpointing: bool) -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(1)
        model = attach_lora(tiny_model(architecture), LoraConfig(rank=4), task="causal_lm")
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        if chunked:
            use_chunked_loss(model.get_base_model())
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        loss = model(**text_batch()).loss
        loss.backward()
        return loss.item(), [parameter.grad for parameter in model.parameters() if parameter.requires_grad]

    loss, gradients = step(chunked=False, checkpointing=False)
    for checkpointing in (False, True):
        other_loss, other_gradients = step(chunked=True, checkpointing=checkpointing)
        assert other_loss == pytest.approx(loss, rel=1e-5)
        for gradient, other in zip(gradients, other_gradients, strict=True):
            assert torch.allclose(gradient, other, atol=1e-5)


def test_named_layers_of_a_model_that_sees_are_those_of_its_language_model() -> None:
    adapted = attach_lora(
        tiny_model("gemma3_multimodal"), LoraConfig(target_modules="q_proj, v_proj"), task="causal_lm"
    )
    layers = [f"model.language_model.layers.{index}.self_attn" for index in range(LAYERS)]
    assert adapted_layers(adapted) == {f"{layer}.{name}" for layer in layers for name in ("q_proj", "v_proj")}


def test_layer_can_be_named_by_more_of_its_name() -> None:
    adapted = attach_lora(tiny_model("llama"), LoraConfig(target_modules="layers.1.mlp.up_proj"), task="causal_lm")
    assert adapted_layers(adapted) == {"model.layers.1.mlp.up_proj"}


def test_names_are_as_short_as_they_can_be() -> None:
    assert target_modules(tiny_model("llama"), "all-linear") == sorted(ATTENTION_AND_MLP)


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [("q_proj,w_proj", "no layer is called w_proj"), (" , ", "no layer is named"), ("lm_head", "no")],
)
def test_unknown_layer_is_answered_with_the_known_ones(wanted: str, seen: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"tuning.target_modules: {seen}.*Use all-linear, or some of: down_proj, "):
        target_modules(tiny_model("llama"), wanted)
