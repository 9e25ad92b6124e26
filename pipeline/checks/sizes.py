"""How many bytes the base model, an adapter and a checkpoint have, as far as small files and a catalogue tell."""

from pipeline.checks.facts import Facts
from pipeline.checks.model_facts import ModelFacts
from pipeline.config import FineTuneJobConfig, LoraConfig

# The trained weights are fp32, and AdamW keeps two moments of each.
_TRAINED_BYTES = 4
_MOMENTS_BYTES = 8


def model_bytes(facts: Facts) -> int:
    """The base model's weights in 16 bits a number; 0 where nobody knows."""
    if facts.model is not None and facts.model.weights_bytes:
        saved_in = facts.model.config.get("dtype", facts.model.config.get("torch_dtype"))
        return facts.model.weights_bytes // (2 if saved_in == "float32" else 1)
    return 0 if facts.known_model is None else 2 * facts.known_model.parameters


def download_bytes(facts: Facts) -> int:
    """What the run fetches before it can load the model; 0 where it is here, or nobody knows."""
    if facts.model is not None and facts.model.weights_bytes:
        return 0
    return model_bytes(facts)


def adapter_checkpoint_bytes(config: FineTuneJobConfig, facts: Facts) -> int:
    """A checkpoint of an adapter with the state of its optimiser; 0 where the architecture's widths are not known."""
    return (_TRAINED_BYTES + _MOMENTS_BYTES) * _adapter_parameters(config, facts.model)


def adapter_bytes(config: FineTuneJobConfig, facts: Facts) -> int:
    """The adapter that a run ends with; 0 where the architecture's widths are not known."""
    return _TRAINED_BYTES * _adapter_parameters(config, facts.model)


def _adapter_parameters(config: FineTuneJobConfig, model: ModelFacts | None) -> int:
    """Weights of an adapter on all seven layers of a Llama-like block; on fewer layers there are fewer."""
    tuning = config.tuning
    if model is None or not isinstance(tuning, LoraConfig):
        return 0
    text = model.text_config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    found = [text.get(name) for name in names]
    hidden, inner, layers, heads, vocabulary = (size if isinstance(size, int) else 0 for size in found)
    if not (hidden and inner and layers and heads):
        return 0
    groups, head = text.get("num_key_value_heads"), text.get("head_dim")
    head = head if isinstance(head, int) else hidden // heads
    groups = groups if isinstance(groups, int) else heads
    # Inputs plus outputs of query and output, key and value, and the three of the feed-forward block.
    block = 2 * (hidden + heads * head) + 2 * (hidden + groups * head) + 3 * (hidden + inner)
    embeddings = vocabulary * hidden * (1 if text.get("tie_word_embeddings", True) else 2)
    return tuning.rank * layers * block + (embeddings if tuning.train_embeddings else 0)
