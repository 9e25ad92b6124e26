"""Configuration class of an export: which result, in which forms, to which places."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.config_base import Config, OptionalText, Text
from pipeline.exporters.destinations.address import parse_destination

ExportFormat = Literal["adapter", "merged", "gguf", "gguf_adapter", "onnx"]
Quantization = Literal["bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]
ADAPTER_FORMATS = ("adapter", "merged", "gguf_adapter")
"""Formats of which a full fine-tune, which has no adapter, makes none."""
# Names that other services use for the same.
FORMAT_ALIASES = {"safetensors": "merged", "gguf-adapter": "gguf_adapter"}
QUANTIZATION_ALIASES = {
    "none": "bf16",
    "fp16": "f16",
    "q4": "q4_k_m",
    "not_quantized": "f16",
    "fast_quantized": "q8_0",
    "quantized": "q4_k_m",
}


def _renamed(value: object, names: dict[str, str]) -> object:
    return names.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """A list, where a form or a flag has words between commas."""
    if not isinstance(value, str):
        return value
    return [word.strip().strip("\"'") for word in value.strip("[] ").split(",") if word.strip()]


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice. Give each once.")
    return values


def _normal_destination(text: str) -> str:
    return str(parse_destination(text))


Formats = Annotated[
    tuple[Annotated[ExportFormat, BeforeValidator(lambda value: _renamed(value, FORMAT_ALIASES))], ...],
    BeforeValidator(_listed),
    AfterValidator(_each_once),
]
Quantizations = Annotated[
    tuple[Annotated[Quantization, BeforeValidator(lambda value: _renamed(value, QUANTIZATION_ALIASES))], ...],
    BeforeValidator(_listed),
    AfterValidator(_each_once),
]
Destinations = Annotated[
    tuple[Annotated[str, AfterValidator(_normal_destination)], ...],
    BeforeValidator(_listed),
    AfterValidator(_each_once),
]
FORMATS_HELP = (
    "adapter: the small file of what was learned. merged: safetensors in 16 bits. gguf: for llama.cpp, Ollama, LM "
    "Studio. gguf_adapter: the adapter for llama.cpp. onnx: for ONNX Runtime, experimental."
)
QUANTIZATIONS_HELP = "Number formats of the GGUF files, one file each."
DESTINATIONS_HELP = (
    "Where the proven files are sent, besides staying here: hf://owner/name, s3://bucket/folder, gs://bucket/folder, "
    "or a folder of this machine."
)
PRIVATE_HELP = "A repository that is made on the Hugging Face Hub is private."


class ExportJobConfig(Config):
    """Everything needed to make files of one result that other programs read."""

    kind: Literal["export"] = "export"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")] = Field(
        "my-model", description="What the files are called: letters, digits, dot, dash, underscore."
    )
    source: Text = Field(description="The folder of a finished run, of one of its checkpoints, or of an adapter.")
    base_model: OptionalText = Field(
        None, description="The model that an adapter from elsewhere was trained on. Empty: the one that it names."
    )
    formats: Formats = Field(("merged",), min_length=1, description=FORMATS_HELP)
    quantizations: Quantizations = Field(("q8_0",), min_length=1, description=QUANTIZATIONS_HELP)
    destinations: Destinations = Field((), max_length=8, description=DESTINATIONS_HELP)
    private: bool = Field(True, description=PRIVATE_HELP)
