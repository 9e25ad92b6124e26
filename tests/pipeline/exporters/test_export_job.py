"""An export from the shell: a run's adapter becomes files that are proven, or a sentence says what differs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.export_config import ExportJobConfig
from pipeline.validation import parse_any_job_config
from tests.pipeline.exporters.families import FAMILIES, build_family, train_adapter


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter from elsewhere, which names its base model."""
    root = tmp_path_factory.mktemp("elsewhere")
    return train_adapter(build_family("gemma3", root / "base"), root / "adapter")


def export(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline", "export", "--output-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]


def test_adapter_becomes_files_that_are_proven(adapter: Path, tmp_path: Path) -> None:
    done = export(
        tmp_path / "out", str(adapter), "--name", "stones", "--format", "merged", "gguf", "--quantization", "q8_0", "q4"
    )
    assert done.returncode == 0, done.stderr
    files = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.gguf")}
    assert files == {"gguf/stones-q8_0.gguf", "gguf/stones-q4_k_m.gguf"}
    modelfile = (tmp_path / "out" / "gguf" / "stones-q8_0.Modelfile").read_text("utf-8")
    assert modelfile.startswith("FROM ./stones-q8_0.gguf\nTEMPLATE")
    assert 'PARAMETER stop "<end_of_turn>"\n' in modelfile
    assert "PARAMETER num_ctx 256\n" in modelfile
    manifest = json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    assert {artifact["kind"] for artifact in manifest["artifacts"]} == {"merged", "gguf", "card"}
    report = json.loads((tmp_path / "out" / "gguf" / "stones-q8_0.gguf.parity.json").read_text("utf-8"))
    assert all(check["passed"] for check in report["checks"])
    assert {check["name"] for check in report["checks"]} == {
        "token_ids",
        "template",
        "log_probabilities",
        "end_of_turn",
    }
    progress = [event["progress"] for event in events_of(tmp_path / "out") if event["type"] == "stage_started"]
    assert progress == sorted(progress)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_becomes_files_of_every_format(family: str, tmp_path: Path) -> None:
    learned = train_adapter(build_family(family, tmp_path / "base"), tmp_path / "adapter")
    out = tmp_path / "out"
    formats = ["adapter", "merged", "gguf", "gguf_adapter", "onnx"]
    if family in ("gemma3n", "gemma4"):
        # An adapter of all their layers has some on which none acts in llama.cpp.
        refused = export(tmp_path / "refused", str(learned), "--format", "gguf_adapter")
        assert (refused.returncode, "Export merged or gguf instead" in refused.stderr) == (1, True)
        formats.remove("gguf_adapter")
    done = export(out, str(learned), "--format", *formats, "--quantization", "none", "f16", "q8_0", "q4_k_m", "q2_k")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert set(manifest["parity"]) == {
        "adapter",
        "merged",
        "onnx",
        *(["my-model-lora-f16.gguf"] if "gguf_adapter" in formats else []),
        *(f"my-model-{kind}.gguf" for kind in ("bf16", "f16", "q8_0", "q4_k_m", "q2_k")),
    }
    assert all(check["passed"] for report in manifest["parity"].values() for check in report["checks"])
    assert not (out / "work").exists()
    assert str(tmp_path) not in "".join(file.read_text("utf-8") for file in out.rglob("card/*.md"))


@pytest.mark.slow
def test_file_that_says_something_else_is_kept_and_not_called_done(tmp_path: Path) -> None:
    # llama.cpp bounds the logits of every Gemma 4, also of one that does not.
    base = build_family("gemma4", tmp_path / "base", final_logit_softcapping=None)
    adapter, out = train_adapter(base, tmp_path / "adapter"), tmp_path / "out"
    done = export(out, str(adapter), "--format", "gguf", "--quantization", "f16")
    assert done.returncode == 1
    assert "Next tokens differ by 0." in done.stderr
    assert (out / "gguf" / "my-model-f16.gguf").exists()
    assert not (out / "result.json").exists()
    assert events_of(out)[-1]["code"] == "export_unproven"


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    done = export(tmp_path / "out", str(tmp_path))
    assert done.returncode == 1
    assert "is neither a run nor an adapter" in done.stderr


def test_other_names_of_quantizations_are_understood() -> None:
    config = parse_any_job_config(
        {"kind": "export", "source": "/run", "quantizations": ["none", "fp16", "q4", "fast_quantized"]}
    )
    assert isinstance(config, ExportJobConfig)
    assert config.quantizations == ("bf16", "f16", "q4_k_m", "q8_0")
