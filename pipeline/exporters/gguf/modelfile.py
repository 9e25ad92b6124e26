"""Writes Ollama's Modelfile for a GGUF file: what Ollama does not read from the file itself."""

import json
from pathlib import Path

# System text goes into the first turn of the user, where the chat templates of Gemma 3 and 3n put it in training;
# Ollama's own template makes a turn of it. llama.cpp adds the first token itself.
_GEMMA3 = '''TEMPLATE """{{- $system := "" }}
{{- range .Messages }}{{ if eq .Role "system" }}{{ $system = .Content }}{{ end }}{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if eq .Role "user" }}<start_of_turn>user
{{ if $system }}{{ $system }}

{{ $system = "" }}{{ end }}{{ .Content }}<end_of_turn>
{{ if $last }}<start_of_turn>model
{{ end }}
{{- else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}{{ if not $last }}<end_of_turn>
{{ end }}
{{- end }}
{{- end }}"""
PARAMETER stop "<end_of_turn>"
'''
# Ollama renders and parses this family by itself; a template of ours would be in the way.
_GEMMA4 = """TEMPLATE {{ .Prompt }}
RENDERER gemma4
PARSER gemma4
PARAMETER stop "<turn|>"
"""
_FAMILIES = {
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "gemma3n": _GEMMA3,
    "gemma3n_text": _GEMMA3,
    "gemma4": _GEMMA4,
    "gemma4_text": _GEMMA4,
}
# Gemma's own values; min_p is Ollama's, which others do not apply.
_GEMMA_SAMPLING = """PARAMETER temperature 1.0
PARAMETER top_k 64
PARAMETER top_p 0.95
PARAMETER min_p 0.0
"""
# Ollama's own default is shorter than most conversations.
_MOST_CONTEXT = 8192


def modelfile(model: Path, file_name: str) -> str:
    """The Modelfile of the GGUF file `file_name`, which lies beside it, for the model in the folder `model`.

    For families that are not Gemma, Ollama takes template and end from the file.
    """
    return _written(model, f"FROM ./{file_name}\n")


def adapter_modelfile(model: Path, file_name: str, adapter_name: str) -> str:
    """The same with the GGUF adapter `adapter_name` on the file, which is the base model's."""
    return _written(model, f"FROM ./{file_name}\nADAPTER ./{adapter_name}\n")


def _written(model: Path, first: str) -> str:
    config = json.loads((model / "config.json").read_text("utf-8"))
    family = _FAMILIES.get(config["model_type"], "")
    text_config = config.get("text_config", config)
    context = min(_MOST_CONTEXT, int(text_config.get("max_position_embeddings", _MOST_CONTEXT)))
    licence = next((file.read_text("utf-8") for file in sorted(model.glob("LICEN[CS]E*")) if file.is_file()), "")
    parts = [
        first,
        family,
        _GEMMA_SAMPLING if family else "",
        f"PARAMETER num_ctx {context}\n",
        f'LICENSE """{licence.strip()}"""\n' if licence and '"""' not in licence else "",
    ]
    return "".join(parts)
