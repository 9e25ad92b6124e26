"""The commands that run an exported model, adapter or graph: transformers, PEFT, vLLM, TGI, ONNX Runtime."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.exporters.usage_place import Command, Place, Served, folder_of, quoted

# vLLM's MaxLoRARanks (vllm/config/lora.py).
_VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_TGI = "ghcr.io/huggingface/text-generation-inference:latest"


@dataclass(frozen=True)
class AdapterFacts:
    """What servers need to know of an adapter: they take one of LoRA or rsLoRA that trained nothing besides."""

    rank: int
    is_servable: bool
    has_tokenizer: bool


def read_adapter_facts(folder: Path) -> AdapterFacts:
    """The facts of the adapter in `folder`. Raises OSError or ValueError where its configuration cannot be read."""
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    # vllm/lora/peft_helper.py refuses the rest; TGI knows LoRA and rsLoRA.
    refused = ("use_dora", "modules_to_save", "trainable_token_indices", "rank_pattern", "alpha_pattern")
    is_plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    return AdapterFacts(
        rank=int(config.get("r", 0)),
        is_servable=is_plain and not any(config.get(name) for name in refused),
        has_tokenizer=(folder / "tokenizer_config.json").is_file(),
    )


def of_model(place: Place, file: Served, *, talks: bool) -> Iterator[Command]:
    """For a whole model."""
    inside = folder_of(file.path)
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'model = AutoModelForCausalLM.from_pretrained({place.python(inside)}, dtype="auto", device_map="auto")',
        f"tokenizer = AutoTokenizer.from_pretrained({place.python(inside)})",
    ]
    yield Command("transformers", "python", "\n".join([*lines, *_answer(talks)]))
    is_at_top = place.repo is not None and inside == "."
    fetch = "" if is_at_top else place.fetched(inside)
    model = shlex.quote(str(place.repo)) if is_at_top else place.local(inside)
    name = shlex.quote(place.name)
    yield Command("vLLM", "sh", f"{fetch}vllm serve {model} --served-model-name {name}")
    source = f"-e HF_TOKEN {_TGI} --model-id {model}" if is_at_top else f"{_mount(model)} {_TGI} --model-id /model"
    yield Command("TGI", "sh", f"{fetch}docker run --gpus all --shm-size 1g -p 8080:80 {source}")


def of_adapter(
    place: Place, file: Served, *, facts: AdapterFacts | None, base: str, base_is_on_hub: bool, talks: bool
) -> Iterator[Command]:
    """For an adapter; servers are named only where they take one of this kind, and TGI where it can fetch the base."""
    inside = folder_of(file.path)
    has_tokenizer = facts is not None and facts.has_tokenizer
    lines = [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'model = AutoModelForCausalLM.from_pretrained({quoted(base)}, dtype="auto", device_map="auto")',
        f"model = PeftModel.from_pretrained(model, {place.python(inside)})",
        f"tokenizer = AutoTokenizer.from_pretrained({place.python(inside) if has_tokenizer else quoted(base)})",
    ]
    yield Command("PEFT", "python", "\n".join([*lines, *_answer(talks)]))
    if facts is None or not facts.is_servable or facts.rank > _VLLM_RANKS[-1]:
        return
    is_at_top = place.repo is not None and inside == "."
    fetch = "" if is_at_top else place.fetched(inside)
    adapter = shlex.quote(str(place.repo)) if is_at_top else place.local(inside)
    rank = next(rank for rank in _VLLM_RANKS if rank >= facts.rank)
    modules = f"--lora-modules {shlex.quote(place.name)}={adapter}"
    text = f"{fetch}vllm serve {shlex.quote(base)} --enable-lora --max-lora-rank {rank} {modules}"
    yield Command("vLLM, with the adapter on the base model", "sh", text)
    if base_is_on_hub:
        source = f"{_TGI} --model-id {shlex.quote(base)}"
        loaded = (
            f"{source} --lora-adapters {adapter}"
            if is_at_top
            else f"{_mount(adapter)} {source} --lora-adapters {shlex.quote(place.name)}=/model"
        )
        text = f"{fetch}docker run --gpus all --shm-size 1g -p 8080:80 -e HF_TOKEN {loaded}"
        yield Command("TGI, with the adapter on the base model", "sh", text)


def of_graph(place: Place, file: Served) -> str:
    """For an ONNX graph: the likeliest next token; the graph has no cache to write long texts with."""
    inside = folder_of(file.path)
    fetch = ["from huggingface_hub import snapshot_download"] if place.repo is not None else []
    folder = (
        quoted(str(PurePosixPath(place.folder, inside)))
        if place.repo is None
        else f"snapshot_download({quoted(place.repo)}, allow_patterns={quoted(f'{inside}/*')}) + {quoted(f'/{inside}')}"
    )
    lines = [
        *fetch,
        "from onnxruntime import InferenceSession",
        "from transformers import AutoTokenizer",
        "",
        f"folder = {folder}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        'session = InferenceSession(f"{folder}/model.onnx")',
        'inputs = tokenizer("Hello!", return_tensors="np")',
        "wanted = {item.name: inputs[item.name] for item in session.get_inputs()}",
        "logits = session.run(None, wanted)[0]",
        "print(tokenizer.decode([int(logits[0, -1].argmax())]))",
    ]
    return "\n".join(lines)


def _answer(talks: bool) -> list[str]:
    if talks:
        asked = [
            'messages = [{"role": "user", "content": "Hello!"}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ").to(model.device)",
        ]
    else:
        asked = ['inputs = tokenizer("Once upon a time", return_tensors="pt").to(model.device)']
    return [
        "",
        *asked,
        "output = model.generate(**inputs, max_new_tokens=256)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _mount(folder: str) -> str:
    return f'-v "$(realpath {folder})":/model'
