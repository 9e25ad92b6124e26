"""What sampling answers takes, by arithmetic: a model without weights would not know when to stop."""

from transformers import PreTrainedConfig

from pipeline.estimate.rates import Rates
from pipeline.estimate.step_time import FORWARD_SHARE
from pipeline.estimate.step_trace import StepTrace

# A sliding layer keeps the tokens of its window only.
_SLIDING = "sliding_attention"
_LOGIT_BYTES = 4


def cache_bytes(model_config: PreTrainedConfig, *, sequences: int, tokens: int, number_bytes: int) -> int:
    """Keys and values of all layers for `sequences` of `tokens` each."""
    text = model_config.get_text_config()
    layers = text.num_hidden_layers
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * layers
    window = getattr(text, "sliding_window", None) or tokens
    shared = getattr(text, "num_kv_shared_layers", None) or 0
    total = 0
    for layer, kind in enumerate(kinds[: layers - shared]):
        own = text.per_layer_config[layer] if text.is_heterogeneous else text
        width = getattr(own, "head_dim", None) or own.hidden_size // own.num_attention_heads
        heads = getattr(own, "num_key_value_heads", None) or own.num_attention_heads
        kept = min(tokens, window) if kind == _SLIDING else tokens
        total += 2 * sequences * heads * width * kept * number_bytes
    return total


def generation_bytes(
    model_config: PreTrainedConfig, trace: StepTrace, *, sequences: int, tokens: int, number_bytes: int
) -> int:
    """Memory while answers are sampled: what stays from step to step, the cache, and the logits of a token."""
    stays = trace.peaks["after"].total
    logits = sequences * model_config.get_text_config().vocab_size * _LOGIT_BYTES
    cache = cache_bytes(model_config, sequences=sequences, tokens=tokens, number_bytes=number_bytes)
    return stays + cache + logits


def generation_seconds(trace: StepTrace, rates: Rates, *, tokens: int, number_bytes: int) -> float:
    """Seconds to sample `tokens` tokens of all answers at once: for each, every weight is read, in the operations of a
    forward pass, which are about a third of those of a training step."""
    operations = sum(trace.operations["batch"].values()) / trace.batches * FORWARD_SHARE
    return tokens * (rates.movement_seconds(trace.parameters * number_bytes) + operations * rates.overhead)
