"""What a run is told to export can be made, and sent."""

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.checks.preflight import changed, findings_for, patched


def test_missing_tools_are_a_warning_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    document = changed(export={"formats": ["merged", "gguf"]})
    finding = findings_for(document, tmp_path)["export_not_installed"]
    assert (finding.severity, "there is no convert_hf_to_gguf.py" in finding.message) == ("warning", True)
    mended = patched(document, finding)
    assert mended["export"]["formats"] == ["merged"]
    assert findings_for(mended, tmp_path) == {}


@pytest.mark.parametrize("tuning", [{"variant": "dora"}, {"train_embeddings": True}])
def test_gguf_adapter_that_cannot_be_is_an_error(tmp_path: Path, tuning: dict[str, Any]) -> None:
    document = changed(export={"formats": ["gguf_adapter"], "destinations": ["/data/out"]}, tuning=tuning)
    finding = findings_for(document, tmp_path)["export_adapter_not_plain"]
    assert finding.severity == "error"
    assert "export_adapter_not_plain" not in findings_for(patched(document, finding), tmp_path)


def test_reward_model_is_not_exported(tmp_path: Path) -> None:
    document = changed(export={"formats": ["merged"]}, method={"kind": "reward"})
    finding = findings_for(document, tmp_path)["export_of_scorer"]
    assert (finding.severity, "no text" in finding.message) == ("error", True)
    assert "export_of_scorer" not in findings_for(patched(document, finding), tmp_path)


def test_hub_without_a_token_is_a_warning(tmp_path: Path) -> None:
    document = changed(export={"formats": ["adapter"], "destinations": ["hf://me/model"]})
    assert "no HF_TOKEN" in findings_for(document, tmp_path, keys=frozenset())["destination_without_key"].message
    assert findings_for(document, tmp_path, keys=frozenset({"HF_TOKEN"})) == {}


def test_export_that_can_be_made_is_fine(tmp_path: Path) -> None:
    document = changed(export={"formats": ["adapter", "merged", "gguf", "onnx"], "destinations": ["s3://bucket/x"]})
    assert findings_for(document, tmp_path, keys=frozenset()) == {}
