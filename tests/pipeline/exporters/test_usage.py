"""The commands of a card are true: the Python ones run, and the others mean what they say to a shell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.exporters.card_files import CardFile
from pipeline.exporters.usage import serve_commands
from pipeline.exporters.usage_models import AdapterFacts, read_adapter_facts
from pipeline.exporters.usage_place import Command
from tests.documents import DEMO_MODEL
from tests.pipeline.exporters.families import train_adapter

MERGED = CardFile(".", "merged", "bf16", 1)
ADAPTER = CardFile("adapter", "adapter", "bf16", 1)
SMALL, LARGE = CardFile("m-q4_k_m.gguf", "gguf", "q4_k_m", 1), CardFile("m-q8_0.gguf", "gguf", "q8_0", 1)
PLAIN = AdapterFacts(rank=20, is_servable=True, has_tokenizer=True)


def titled(commands: list[Command], title: str) -> str:
    return next(command.text for command in commands if command.title == title)


def arguments(script: str, tmp_path: Path) -> list[list[str]]:
    """What each program of a shell script is called with: programs of these names that write it down."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("vllm", "docker", "llama-cli", "llama-server", "llama-mtmd-cli", "ollama", "hf"):
        (programs / name).write_text(
            f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([{name!r}, *sys.argv[1:]]))\n"
        )
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_python_commands_answer(tmp_path: Path) -> None:
    adapter = train_adapter(DEMO_MODEL, tmp_path / "adapter")
    facts = read_adapter_facts(adapter)
    assert facts == AdapterFacts(rank=8, is_servable=True, has_tokenizer=False)
    commands = serve_commands(
        [ADAPTER, CardFile(str(DEMO_MODEL), "merged", "bf16", 1)],
        name="m",
        folder=str(tmp_path),
        base_folder=str(DEMO_MODEL),
        adapter=facts,
    )
    script = "\n".join(titled(commands, title) for title in ("transformers", "PEFT"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 20


def test_each_command_is_there_only_for_its_format() -> None:
    assert [command.title for command in serve_commands([MERGED], name="m")] == ["transformers", "vLLM", "TGI"]
    assert [command.title for command in serve_commands([LARGE], name="m")] == ["llama.cpp", "Ollama"]
    titles = [command.title for command in serve_commands([ADAPTER], name="m", adapter=PLAIN)]
    assert titles == ["PEFT", "vLLM, with the adapter on the base model"]
    on_hub = serve_commands([ADAPTER], name="m", adapter=PLAIN, base_model="google/gemma-3-1b-it")
    assert [command.title for command in on_hub][2:] == ["TGI, with the adapter on the base model"]
    assert serve_commands([], name="m") == []


@pytest.mark.parametrize("tuning", [{"variant": "dora"}, {"train_embeddings": True}])
def test_servers_are_not_told_to_load_an_adapter_that_they_refuse(tmp_path: Path, tuning: dict[str, object]) -> None:
    facts = read_adapter_facts(train_adapter(DEMO_MODEL, tmp_path / "adapter", **tuning))
    assert [command.title for command in serve_commands([ADAPTER], name="m", adapter=facts)] == ["PEFT"]


def test_commands_for_the_hub_name_the_repository(tmp_path: Path) -> None:
    commands = serve_commands(
        [MERGED, ADAPTER, SMALL, LARGE], name="m", repo="ravi/m", base_model="org/base", adapter=PLAIN
    )
    assert 'from_pretrained("ravi/m", dtype' in titled(commands, "transformers")
    assert 'PeftModel.from_pretrained(model, "ravi/m", subfolder="adapter")' in titled(commands, "PEFT")
    assert arguments(titled(commands, "llama.cpp"), tmp_path) == [
        ["llama-cli", "-hf", "ravi/m:Q8_0"],
        ["llama-server", "-hf", "ravi/m:Q8_0"],
    ]
    assert arguments(titled(commands, "Ollama"), tmp_path) == [
        ["ollama", "run", "hf.co/ravi/m:Q8_0"],
        ["hf", "download", "ravi/m", "m-q8_0.gguf", "m-q8_0.Modelfile", "--local-dir", "m"],
        ["ollama", "create", "m", "-f", "m/m-q8_0.Modelfile"],
        ["ollama", "run", "m"],
    ]
    served = arguments(titled(commands, "vLLM, with the adapter on the base model"), tmp_path)
    assert served == [
        ["hf", "download", "ravi/m", "--include", "adapter/*", "--local-dir", "m"],
        # The next rank that vLLM has room for.
        ["vllm", "serve", "org/base", "--enable-lora", "--max-lora-rank", "32", "--lora-modules", "m=m/adapter"],
    ]
    assert arguments(titled(commands, "TGI"), tmp_path)[0][-2:] == ["--model-id", "ravi/m"]


def test_folders_of_any_name_reach_the_programs_whole(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s "my" $(touch broken) folder; `x`'
    folder.mkdir()
    mmproj = CardFile("mmproj-m.gguf", "mmproj", "f16", 1)
    commands = serve_commands([MERGED, LARGE, mmproj], name="m", folder=str(folder))
    model = str(folder / "m-q8_0.gguf")
    seeing = ["-m", model, "--mmproj", str(folder / "mmproj-m.gguf")]
    assert arguments(titled(commands, "llama.cpp"), tmp_path) == [
        ["llama-mtmd-cli", *seeing],
        ["llama-server", *seeing],
    ]
    assert arguments(titled(commands, "vLLM"), tmp_path)[0][:3] == ["vllm", "serve", str(folder)]
    assert f"{folder}:/model" in arguments(titled(commands, "TGI"), tmp_path)[0]
    assert not (tmp_path / "broken").exists()
    compile(titled(commands, "transformers"), "snippet", "exec")


def test_model_without_a_template_is_given_text() -> None:
    commands = serve_commands([MERGED, LARGE], name="m", talks=False)
    assert "apply_chat_template" not in titled(commands, "transformers")
    assert titled(commands, "llama.cpp") == "llama-server -m m-q8_0.gguf"
