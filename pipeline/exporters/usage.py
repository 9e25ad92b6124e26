"""The commands that run what an export made: Python, llama.cpp, Ollama, vLLM and TGI, each where it is true."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from pipeline.exporters.usage_models import AdapterFacts, of_adapter, of_graph, of_model
from pipeline.exporters.usage_place import Command, FileFormat, Place, Served

# The first of them that is there stands in the examples: the smallest that hardly differs from the model.
_SHOWN_FIRST = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "f16", "bf16", "q3_k_m", "q2_k")


def serve_commands(
    files: Sequence[Served],
    *,
    name: str,
    repo: str | None = None,
    folder: str = ".",
    base_model: str | None = None,
    base_folder: str = "path/to/base-model",
    adapter: AdapterFacts | None = None,
    talks: bool = True,
) -> list[Command]:
    """How to run the files of an export, each way only where the files allow it.

    Args:
        name: what servers call the model
        repo: `owner/name` on the Hugging Face Hub; without it the files lie in `folder`
        base_model: the base's id on the Hub; without it the base lies in `base_folder`
        adapter: of the adapter among the files; without it no server is told to load one
        talks: whether there is a chat template; without one, text is continued
    """
    place = Place(name, repo, folder)
    found: dict[FileFormat, list[Served]] = {}
    for file in files:
        found.setdefault(file.format, []).append(file)
    base = base_folder if base_model is None else base_model
    commands: list[Command] = []
    for file in found.get("merged", [])[:1]:
        commands += of_model(place, file, talks=talks)
    for file in found.get("adapter", [])[:1]:
        commands += of_adapter(
            place, file, facts=adapter, base=base, base_is_on_hub=base_model is not None, talks=talks
        )
    if "gguf" in found:
        shown = min(found["gguf"], key=lambda file: _order(file.number_format))
        commands += _of_gguf(place, shown, mmproj=next(iter(found.get("mmproj", [])), None), talks=talks)
    for file in found.get("gguf_adapter", [])[:1]:
        text = f"{place.fetched(file.path)}llama-server -m path/to/base-model.gguf --lora {place.local(file.path)}"
        commands.append(Command("llama.cpp, with the adapter on the base model", "sh", text))
    for file in found.get("onnx", [])[:1]:
        commands.append(Command("ONNX Runtime", "python", of_graph(place, file)))
    return commands


def _of_gguf(place: Place, file: Served, *, mmproj: Served | None, talks: bool) -> Iterator[Command]:
    """llama.cpp and Ollama find a file in a repository of the Hub by the number format in its name."""
    tag = file.number_format.upper()
    eyes = "" if mmproj is None else f" --mmproj {place.local(mmproj.path)}"
    model = f"-m {place.local(file.path)}{eyes}" if place.repo is None else f"-hf {shlex.quote(f'{place.repo}:{tag}')}"
    programs = (["llama-cli" if mmproj is None else "llama-mtmd-cli"] if talks else []) + ["llama-server"]
    yield Command("llama.cpp", "sh", "\n".join(f"{program} {model}" for program in programs))
    name = shlex.quote(place.name)
    modelfile = str(PurePosixPath(file.path).with_suffix(".Modelfile"))
    lines = [f"ollama create {name} -f {place.local(modelfile)}", f"ollama run {name}"]
    if place.repo is not None:
        direct = f"ollama run {shlex.quote(f'hf.co/{place.repo}:{tag}')}"
        told = "# or with the template, the sampling and the length of context of the Modelfile:"
        lines = [direct, told, place.fetched(file.path, modelfile).rstrip(), *lines]
    yield Command("Ollama", "sh", "\n".join(lines))


def _order(number_format: str) -> int:
    return _SHOWN_FIRST.index(number_format) if number_format in _SHOWN_FIRST else len(_SHOWN_FIRST)
