"""The names of the layers that an adapter can be put on, by architecture, where all models of it have the same ones."""

from pipeline.checks.model_facts import ModelFacts

_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# As transformers names the modules; tests hold them to its models.
LAYERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3"), _LLAMA),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
}


def layers_of(model: ModelFacts) -> tuple[str, ...]:
    """The last parts of the names of the language model's linear layers; none where the architecture is not listed."""
    model_type = str(model.text_config.get("model_type", model.model_type))
    return () if "auto_map" in model.config else LAYERS.get(model_type, ())
