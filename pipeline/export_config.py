"""Configuration class of an export: which result, in which forms."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config_base import Config, OptionalText, Text

ExportFormat = Literal["merged", "gguf"]
Quantization = Literal["bf16", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"]
# Names that other services use for the same.
QUANTIZATION_ALIASES = {
    "none": "bf16",
    "fp16": "f16",
    "q4": "q4_k_m",
    "not_quantized": "f16",
    "fast_quantized": "q8_0",
    "quantized": "q4_k_m",
}


def _usual_name(value: object) -> object:
    return QUANTIZATION_ALIASES.get(value, value) if isinstance(value, str) else value


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
    formats: tuple[ExportFormat, ...] = Field(
        ("merged",), min_length=1, description="merged: safetensors in 16 bits. gguf: for llama.cpp, Ollama, LM Studio."
    )
    quantizations: tuple[Annotated[Quantization, BeforeValidator(_usual_name)], ...] = Field(
        ("q8_0",), min_length=1, description="Number formats of the GGUF files, one file each."
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for values in (self.formats, self.quantizations):
            twice = next((value for value in values if values.count(value) > 1), None)
            if twice is not None:
                raise ValueError(f"{twice} is given twice. Give each once.")
        return self
