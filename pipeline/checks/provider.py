"""Checks of what the chosen provider can do."""

from collections.abc import Iterator

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.method_config import METHOD_NAMES
from pipeline.providers.import_order import UNSLOTH_READS_TEXT, unsloth_problem

_OTHER_PROVIDER = Fix(label="Use huggingface", patch={"model.provider": "huggingface"})
# What Unsloth's own trainers add to these is not used here: sampling by vLLM for GRPO, and nothing for a reward model.
_NOT_WITH_UNSLOTH = ("grpo", "reward")


def check_provider(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The provider is installed, and trains on rows such as these."""
    if config.model.provider != "unsloth":
        return []
    findings = []
    problem = unsloth_problem()
    if problem is not None:
        findings.append(error("unsloth_missing", "model.provider", problem, _OTHER_PROVIDER))
    if isinstance(facts.data, Inspection) and facts.data.modality != "text":
        findings.append(error("unsloth_images", "model.provider", UNSLOTH_READS_TEXT, _OTHER_PROVIDER))
    return findings


def provider_combinations(config: FineTuneJobConfig) -> Iterator[Finding]:
    """Settings that Unsloth would ignore or cannot do."""
    if config.model.provider != "unsloth":
        return
    model, tuning, kind = config.model, config.tuning, config.method.kind
    if kind in _NOT_WITH_UNSLOTH:
        message = f"Unsloth is not used for {METHOD_NAMES[kind]}. Choose the provider huggingface."
        yield error("unsloth_method", "model.provider", message, _OTHER_PROVIDER)
    if tuning.kind == "full":
        message = "Unsloth is used to train adapters, not whole models. Use lora, or the provider huggingface."
        yield error("unsloth_full", "tuning.kind", message, _OTHER_PROVIDER)
    elif tuning.variant == "dora":
        message = "Unsloth's fast layers leave dora out. Use lora or rslora, or the provider huggingface."
        yield error("unsloth_dora", "tuning.variant", message, Fix(label="Use lora", patch={"tuning.variant": "lora"}))
    if model.quantization == "8bit":
        message = "Unsloth reads 8-bit weights as 16-bit ones on a CPU. Use 4bit, or the provider huggingface."
        fix = Fix(label="Use 4 bits", patch={"model.quantization": "4bit"})
        yield error("unsloth_8bit", "model.quantization", message, fix)
    if model.attention != "auto":
        message = f"Unsloth chooses the attention itself and would ignore {model.attention}. Use auto."
        fix = Fix(label="Leave it to Unsloth", patch={"model.attention": "auto"})
        yield error("unsloth_attention", "model.attention", message, fix)
    if config.training.batching == "packed":
        message = "Unsloth turns packing off, or packs in a way of its own. Use grouped, which pads little."
        fix = Fix(label="Group by length", patch={"training.batching": "grouped"})
        yield error("unsloth_packing", "training.batching", message, fix)
