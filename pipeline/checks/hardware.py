"""Checks of number formats and attention against the hardware and the model."""

from importlib.util import find_spec

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, warning
from pipeline.checks.machine import Gpu
from pipeline.config import FineTuneJobConfig, LoraConfig
from pipeline.data.inspection import Inspection

# The first generation with bf16, and the first that FlashAttention 2 was written for.
_AMPERE = (8, 0)
# FlashAttention 2 has no kernel for wider heads. Gemma 4's layers that see everything have 512 features.
_WIDEST_HEAD = 256
_GEMMA4_HEAD = 512
_AUTO_PRECISION = Fix(label="Choose the precision automatically", patch={"model.precision": "auto"})
_AUTO_ATTENTION = Fix(label="Choose attention automatically", patch={"model.attention": "auto"})
_SDPA = Fix(label="Use sdpa", patch={"model.attention": "sdpa"})
_AUTO_BATCHING = Fix(label="Choose batches automatically", patch={"training.batching": "auto"})
_INSTALL_FLASH = "pip install flash-attn --no-build-isolation"


def check_precision(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The hardware has the number format, and the model's values fit into it."""
    field, precision = "model.precision", config.model.precision
    findings = []
    if precision == "fp16" and _is_gemma(config, facts):
        # They exceed what fp16 can hold (65 504).
        message = (
            "Gemma's activations overflow in fp16 and the loss becomes NaN. Use bf16, or fp32 where there is none."
        )
        findings.append(error("fp16_overflow", field, message, _AUTO_PRECISION))
    if precision == "fp16" and facts.on_cpu:
        message = "fp16 needs a GPU and there is none here. Use auto, which takes the best that this machine has."
        findings.append(error("fp16_without_gpu", field, message, _AUTO_PRECISION))
    lacking = _without_bf16(facts)
    if precision == "bf16" and lacking is not None:
        message = f"{lacking} has no bf16 and would imitate it, slower than fp32. Use auto, which takes fp32 there."
        findings.append(warning("bf16_imitated", field, message, _AUTO_PRECISION))
    return findings


def check_attention(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """FlashAttention 2 is installed, and can run on this hardware, in this format, with this model."""
    field, model = "model.attention", config.model
    is_installed = find_spec("flash_attn") is not None
    if model.attention != "flash_attention_2":
        if is_installed and _auto_takes_flash(config, facts) and (wide := _too_wide(config, facts)):
            return [error("flash_attention_wide_heads", field, f"{wide} Use sdpa.", _SDPA)]
        return []
    findings = []
    if not is_installed:
        message = f"FlashAttention 2 is not installed. Use auto, or install it with: {_INSTALL_FLASH}"
        findings.append(error("flash_attention_missing", field, message, _AUTO_ATTENTION))
    if facts.on_cpu:
        message = "FlashAttention 2 needs a GPU and there is none here. Use auto."
        findings.append(error("flash_attention_without_gpu", field, message, _AUTO_ATTENTION))
    if facts.gpus and all(map(_is_older, facts.gpus)):
        seen = facts.gpus[0].name
        message = f"FlashAttention 2 needs a GPU of the generation Ampere or later, and {seen} is older. Use sdpa."
        findings.append(error("flash_attention_old_gpu", field, message, _SDPA))
    if model.precision == "fp32":
        message = "FlashAttention 2 cannot compute in fp32. Use sdpa, or another precision."
        findings.append(error("flash_attention_fp32", field, message, _SDPA))
    if wide := _too_wide(config, facts):
        findings.append(error("flash_attention_wide_heads", field, f"{wide} Use sdpa.", _SDPA))
    return findings


def check_packing_attention(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Packed rows meet an attention that leaves out what is between them; of named ones the combinations tell."""
    packs = config.training.batching == "packed" and config.method.kind in ("sft", "cpt")
    if not packs or config.model.attention != "auto" or config.model.provider != "huggingface":
        return []
    if find_spec("flash_attn") is not None and not facts.on_cpu:
        return []
    message = (
        "Without FlashAttention 2 the rows of a packed sequence are kept apart by a mask, and its cost grows with the "
        "square of the packed length. Use auto, which packs only with FlashAttention 2."
    )
    return [warning("packing_slow", "training.batching", message, _AUTO_BATCHING)]


def check_adapter_on_cpu(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The adapter's kind and the quantized weights go together without a GPU."""
    tuning = config.tuning
    is_dora = isinstance(tuning, LoraConfig) and tuning.variant == "dora"
    if not (is_dora and facts.on_cpu and config.model.quantization == "8bit"):
        return []
    message = "dora cannot read the lengths of 8-bit weights on a CPU. Use 4bit, or lora."
    fix = Fix(label="Use 4 bits", patch={"model.quantization": "4bit"})
    return [error("dora_8bit_cpu", "tuning.variant", message, fix)]


def _is_gemma(config: FineTuneJobConfig, facts: Facts) -> bool:
    model_type = "" if facts.model is None else facts.model.model_type
    return "gemma" in model_type or "gemma" in config.model.base_model.lower()


def _without_bf16(facts: Facts) -> str | None:
    """What would imitate bf16, by its name; None where nothing would, or nobody knows."""
    if facts.on_cpu:
        return "This CPU" if facts.cpu_has_bf16 is False else None
    return next((gpu.name for gpu in facts.gpus or () if _is_older(gpu)), None)


def _is_older(gpu: Gpu) -> bool:
    return gpu.compute_capability is not None and gpu.compute_capability < _AMPERE


def _auto_takes_flash(config: FineTuneJobConfig, facts: Facts) -> bool:
    """Whether the run would choose FlashAttention 2 where it is installed: on a GPU, for text, unless in fp32."""
    has_images = isinstance(facts.data, Inspection) and facts.data.modality != "text"
    model = config.model
    is_left_open = model.attention == "auto" and model.provider == "huggingface" and model.precision != "fp32"
    return is_left_open and not has_images and any(not _is_older(gpu) for gpu in facts.gpus or ())


def _too_wide(config: FineTuneJobConfig, facts: Facts) -> str:
    """Why the model's attention heads are too wide for FlashAttention 2; empty where they are not, as far as known."""
    by_name = "gemma-4" in config.model.base_model.lower()
    width = (_GEMMA4_HEAD if by_name else 0) if facts.model is None else facts.model.widest_head
    if width <= _WIDEST_HEAD:
        return ""
    return (
        f"{config.model.base_model} has attention heads of {width} features, and FlashAttention 2 computes "
        f"{_WIDEST_HEAD} at most."
    )
