"""Reads the folder of a PEFT adapter as changes of single weights of its base model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, TaskType
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import ModelUnavailable, TrainingDiverged

WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Older versions of PEFT write the magnitudes with another ending, and whole layers below a name of their own.
_RENAMED = {".lora_magnitude_vector.weight": ".lora_magnitude_vector", ".modules_to_save.weight": ".weight"}
_UNKNOWN = ("lora_embedding_", "lora_B.bias", "trainable_tokens", "lora_variant_")

# Fields of LoRA's configuration with which its weights are not only added (peft/tuners/lora/config.py).
_VARIANTS = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "target_parameters",
    "use_bdlora",
    "use_qalora",
)


class NotStreamable(Exception):
    """The weights cannot be merged one by one; the text says why."""


@dataclass(frozen=True)
class LoraChange:
    """W + `scale` * B A, and with `magnitude` each row of it brought to that length (DoRA, arXiv:2402.09353).

    `down` is A: (rank, inputs), `up` is B: (outputs, rank), `magnitude`: (outputs,), all in fp32. `transposed`: the
    weight has the shape (inputs, outputs).
    """

    down: torch.Tensor
    up: torch.Tensor
    scale: float
    magnitude: torch.Tensor | None = None
    transposed: bool = False

    def applied(self, rows: torch.Tensor, start: int) -> torch.Tensor:
        """The changed rows of the weight, in fp32. `rows`: those from `start` on, in any format."""
        end = start + len(rows)
        if self.transposed:
            return torch.addmm(rows.float(), self.down[:, start:end].T, self.up.T, alpha=self.scale)
        changed = torch.addmm(rows.float(), self.up[start:end], self.down, alpha=self.scale)
        if self.magnitude is not None:
            changed *= (self.magnitude[start:end] / changed.norm(dim=1)).unsqueeze(1)
        return changed


@dataclass(frozen=True)
class AdapterWeights:
    """Changes by the name of the weight in the base model, and weights that take the place of others."""

    changes: Mapping[str, LoraChange]
    replaced: Mapping[str, torch.Tensor]


def read_adapter(folder: Path) -> AdapterWeights:
    """The adapter in `folder`.

    Raises:
        ModelUnavailable: there is no adapter in the folder, or it is damaged.
        TrainingDiverged: it holds values that are no numbers.
        NotStreamable: it is none of LoRA, rsLoRA or DoRA on linear layers with whole layers beside it.
    """
    try:
        config, weights = PeftConfig.from_pretrained(str(folder)), load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnavailable(f"{folder} holds no adapter that can be read: {error}") from error
    if not isinstance(config, LoraConfig):
        raise NotStreamable(f"it is of the kind {config.peft_type}")
    if config.task_type == TaskType.SEQ_CLS:
        raise NotStreamable("its model scores texts with a head that the base model does not have")
    variant = next((name for name in _VARIANTS if getattr(config, name, None)), None)
    if variant is not None:
        raise NotStreamable(f"it is a variant of LoRA, with {variant}")
    named = {_model_name(name): weight for name, weight in weights.items()}
    for name, weight in named.items():
        if not torch.isfinite(weight).all():
            raise TrainingDiverged(f"{name} holds values that are no numbers. Lower the learning rate and train again.")
        if any(part in name for part in _UNKNOWN):
            raise NotStreamable(f"{name} is none of the usual weights of LoRA")
    layers = {name.removesuffix(".lora_A.weight") for name in named if name.endswith(".lora_A.weight")}
    changes = {f"{layer}.weight": _change(layer, named, config) for layer in layers}
    replaced = {name: weight for name, weight in named.items() if ".lora_" not in name}
    return AdapterWeights(changes, replaced)


def _model_name(name: str) -> str:
    name = name.removeprefix(_PREFIX)
    for ending, usual in _RENAMED.items():
        if name.endswith(ending):
            return name.removesuffix(ending) + usual
    return name


def _change(layer: str, named: Mapping[str, torch.Tensor], config: LoraConfig) -> LoraChange:
    down, up = named[f"{layer}.lora_A.weight"].float(), named[f"{layer}.lora_B.weight"].float()
    if down.dim() != 2 or up.dim() != 2:
        raise NotStreamable(f"{layer} is not a linear layer")
    rank = len(down)
    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, layer), config.lora_alpha)
    magnitude = named.get(f"{layer}.lora_magnitude_vector")
    return LoraChange(
        down,
        up,
        # Kalajdzievski 2023, arXiv:2312.03732.
        scale=alpha / (rank**0.5 if config.use_rslora else rank),
        magnitude=None if magnitude is None else magnitude.float().flatten(),
    )
