"""Number formats and attention meet hardware and models that have them."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import DEMO_MODEL
from tests.pipeline.checks.preflight import H100, TURING, changed, findings_for, on_model, patched, write_model

FLASH = {"attention": "flash_attention_2"}


@pytest.fixture
def flash_attn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name, as where FlashAttention 2 is installed."""
    (tmp_path / "site" / "flash_attn").mkdir(parents=True)
    (tmp_path / "site" / "flash_attn" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()


@pytest.fixture
def no_flash_attn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package of that name can be found, as where FlashAttention 2 is not installed."""
    monkeypatch.setitem(sys.modules, "flash_attn", None)


@pytest.mark.parametrize(
    ("code", "model", "facts"),
    [
        ("fp16_without_gpu", {"precision": "fp16"}, {"gpus": ()}),
        ("bf16_imitated", {"precision": "bf16"}, {"gpus": (H100, TURING)}),
        ("bf16_imitated", {"precision": "bf16"}, {"gpus": (), "cpu_has_bf16": False}),
        ("flash_attention_without_gpu", FLASH, {"gpus": ()}),
        ("flash_attention_old_gpu", FLASH, {"gpus": (TURING,)}),
        ("flash_attention_fp32", {**FLASH, "precision": "fp32"}, {"gpus": (H100,)}),
    ],
)
def test_what_the_hardware_lacks_is_told_and_mended(
    tmp_path: Path, flash_attn: None, code: str, model: dict[str, Any], facts: dict[str, Any]
) -> None:
    document = on_model(DEMO_MODEL, model=model)
    finding = findings_for(document, tmp_path, **facts)[code]
    assert finding.field == ("model.precision" if "16_" in code else "model.attention")
    assert findings_for(patched(document, finding), tmp_path, **facts) == {}


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ({"precision": "bf16"}, {"gpus": (H100,)}),
        ({"precision": "bf16"}, {"gpus": (), "cpu_has_bf16": True}),
        ({"precision": "bf16"}, {"gpus": None, "cpu_has_bf16": False}),
        ({"precision": "fp32"}, {"gpus": ()}),
        ({}, {"gpus": (TURING,)}),
        (FLASH, {"gpus": (H100,)}),
        (FLASH, {"gpus": (TURING, H100)}),
        (FLASH, {"gpus": None}),
    ],
)
def test_what_the_hardware_has_is_fine(
    tmp_path: Path, flash_attn: None, model: dict[str, Any], facts: dict[str, Any]
) -> None:
    assert findings_for(on_model(DEMO_MODEL, model=model), tmp_path, **facts) == {}


def test_half_precision_of_another_family_is_fine_on_a_gpu(tmp_path: Path) -> None:
    llama = write_model(tmp_path / "llama", model_type="llama", architectures=["LlamaForCausalLM"])
    document = on_model(llama, model={"precision": "fp16"})
    assert findings_for(document, tmp_path, gpus=(TURING,)) == {}
    assert set(findings_for(document, tmp_path, gpus=())) == {"fp16_without_gpu"}


def test_missing_flash_attention_has_its_install_line(tmp_path: Path, no_flash_attn: None) -> None:
    document = on_model(DEMO_MODEL, model=FLASH)
    finding = findings_for(document, tmp_path, gpus=(H100,))["flash_attention_missing"]
    assert (finding.severity, "pip install flash-attn --no-build-isolation" in finding.message) == ("error", True)
    assert findings_for(patched(document, finding), tmp_path, gpus=(H100,)) == {}


@pytest.mark.parametrize("attention", ["flash_attention_2", "auto"])
@pytest.mark.parametrize("wide", [{"global_head_dim": 512}, {"per_layer_config": {"5": {"head_dim": 512}}}])
def test_heads_too_wide_for_flash_attention_are_an_error(
    tmp_path: Path, flash_attn: None, attention: str, wide: dict[str, Any]
) -> None:
    model = write_model(tmp_path / "model", **wide)
    document = on_model(model, model={"attention": attention})
    finding = findings_for(document, tmp_path, gpus=(H100,))["flash_attention_wide_heads"]
    assert "heads of 512 features, and FlashAttention 2 computes 256 at most" in finding.message
    assert findings_for(patched(document, finding), tmp_path, gpus=(H100,)) == {}


def test_gemma_4_is_known_by_its_name(tmp_path: Path, flash_attn: None) -> None:
    document = on_model("google/gemma-4-E2B-it", model=FLASH)
    assert "flash_attention_wide_heads" in findings_for(document, tmp_path, gpus=(H100,))
    assert "flash_attention_wide_heads" not in findings_for(on_model("google/gemma-3-1b-it", model=FLASH), tmp_path)


def test_automatic_attention_without_the_package_has_no_widest_head(tmp_path: Path, no_flash_attn: None) -> None:
    model = write_model(tmp_path / "model", global_head_dim=512)
    assert findings_for(on_model(model), tmp_path, gpus=(H100,)) == {}


def test_packing_without_flash_attention_is_slow(tmp_path: Path, no_flash_attn: None) -> None:
    document = changed(training={"batching": "packed"})
    finding = findings_for(document, tmp_path)["packing_slow"]
    assert finding.severity == "warning"
    assert findings_for(patched(document, finding), tmp_path) == {}


def test_packing_with_flash_attention_is_fine(tmp_path: Path, flash_attn: None) -> None:
    document = changed(training={"batching": "packed"})
    assert findings_for(document, tmp_path, gpus=(H100,)) == {}
    assert set(findings_for(document, tmp_path, gpus=())) == {"packing_slow"}


def test_dora_on_8_bits_needs_a_gpu(tmp_path: Path) -> None:
    document = changed(model={"quantization": "8bit"}, tuning={"variant": "dora"})
    finding = findings_for(document, tmp_path, gpus=())["dora_8bit_cpu"]
    assert findings_for(patched(document, finding), tmp_path, gpus=()) == {}
    assert findings_for(document, tmp_path, gpus=(H100,)) == {}
