"""Room on the disks and in memory, for what the run downloads, keeps and merges."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.checks.model_facts import KnownModel, ModelFacts, model_facts
from pipeline.checks.sizes import adapter_bytes
from pipeline.config import ModelConfig
from pipeline.providers.huggingface import attach_lora
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL, demo_document
from tests.estimates import lasting
from tests.pipeline.checks.preflight import HUB_MODEL, changed, facts_of, findings_for, on_model, patched, write_model
from tests.pipeline.providers.architectures import tiny_model

FOUR_BILLION = KnownModel(licence="MIT", is_gated=False, parameters=4_000_000_000)
MERGED = {"model": {"quantization": "4bit"}, "export": {"merged": True}, "method": {"kind": "reward"}}


def test_download_that_does_not_fit_its_own_disk_is_an_error(tmp_path: Path) -> None:
    cache = {"download_dir": tmp_path / "hub", "known_model": FOUR_BILLION}
    small = findings_for(on_model(HUB_MODEL), tmp_path, **cache, free_download_bytes=7_000_000_000)
    finding = small["download_disk_full"]
    assert (finding.severity, finding.field) == ("error", "model.base_model")
    assert f"about 8.0 GB, and 7.0 GB are free at {tmp_path / 'hub'}" in finding.message
    assert set(findings_for(on_model(HUB_MODEL), tmp_path, **cache, free_download_bytes=9_000_000_000)) == {
        "model_download"
    }


def test_download_to_the_disk_of_the_runs_counts_there(tmp_path: Path) -> None:
    cache = {"download_dir": tmp_path, "known_model": FOUR_BILLION, "download_shares_disk": True}
    assert "disk_full" in findings_for(on_model(HUB_MODEL), tmp_path, **cache, free_disk_bytes=7_000_000_000)
    here = {**cache, "free_disk_bytes": 7_000_000_000}
    assert findings_for(on_model(DEMO_MODEL), tmp_path, **here) == {}


def test_full_disk_is_mended_by_fewer_checkpoints(tmp_path: Path) -> None:
    document = changed(tuning={"kind": "full"}, training={"save_total_limit": 10, "save_strategy": "epoch"})
    finding = findings_for(document, tmp_path, free_disk_bytes=300_000_000)["disk_full"]
    assert "disk_full" not in findings_for(patched(document, finding), tmp_path, free_disk_bytes=300_000_000)
    assert findings_for(document, tmp_path, free_disk_bytes=100_000_000)["disk_full"].fixes == ()


def test_checkpoints_of_an_adapter_count(tmp_path: Path) -> None:
    document = changed(tuning={"rank": 1024}, training={"save_total_limit": 10, "save_strategy": "epoch"})
    assert "disk_full" in findings_for(document, tmp_path, free_disk_bytes=200_000_000)
    small = changed(tuning={"rank": 8}, training={"save_total_limit": 1, "save_strategy": "epoch"})
    assert "disk_full" not in findings_for(small, tmp_path, free_disk_bytes=200_000_000)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gemma3_multimodal", "qwen3", "phi3"])
@pytest.mark.parametrize("tuning", [{"rank": 4}, {"rank": 2, "train_embeddings": True}])
def test_size_of_the_adapter_is_that_of_its_matrices(tmp_path: Path, architecture: str, tuning: dict[str, Any]) -> None:
    base = tiny_model(architecture)
    config = parse_job_config(changed(tuning=tuning))
    facts = ModelFacts(tmp_path, base.config.to_dict(), weights_bytes=1, has_chat_template=True)
    estimated = adapter_bytes(config, dataclasses.replace(facts_of(config, tmp_path), model=facts))
    adapter = attach_lora(base, config.tuning, task="causal_lm")
    actual = 4 * sum(weight.numel() for weight in adapter.parameters() if weight.requires_grad)
    # Layers that are fused share one of the two matrices.
    assert estimated == pytest.approx(actual, rel=0.25 if architecture == "phi3" else 0)


def test_merging_that_does_not_fit_into_memory_is_told(tmp_path: Path) -> None:
    document = changed(**MERGED)
    finding = findings_for(document, tmp_path, free_memory_bytes=1_000_000)["merge_memory"]
    assert (finding.severity, finding.field) == ("warning", "export.merged")
    assert "merge_memory" not in findings_for(patched(document, finding), tmp_path, free_memory_bytes=1_000_000)


@pytest.mark.parametrize(
    ("sections", "facts"),
    [
        (MERGED, {"free_memory_bytes": 1_000_000_000}),
        (MERGED, {"free_memory_bytes": None}),
        ({"export": {"merged": True}}, {"free_memory_bytes": 1_000_000}),
        # Merged file by file.
        ({**MERGED, "method": {"kind": "sft"}}, {"free_memory_bytes": 1_000_000}),
    ],
)
def test_merging_that_fits_is_fine(tmp_path: Path, sections: dict[str, Any], facts: dict[str, Any]) -> None:
    assert "merge_memory" not in findings_for(changed(**sections), tmp_path, **facts)


def test_whole_weights_are_twice_as_large_where_the_cpu_computes_in_fp32(tmp_path: Path) -> None:
    enough_for_16_bits = {"free_memory_bytes": 10_000_000, "gpus": ()}
    document = changed(**MERGED)
    assert "merge_memory" not in findings_for(document, tmp_path, **enough_for_16_bits, cpu_has_bf16=True)
    assert "merge_memory" in findings_for(document, tmp_path, **enough_for_16_bits, cpu_has_bf16=False)


def test_address_of_a_folder_is_looked_into(tmp_path: Path) -> None:
    found = model_facts(ModelConfig(base_model=f"file://{write_model(tmp_path / 'model')}"))
    assert found is not None
    assert (found.model_type, found.context_length, found.is_hub_copy) == ("gemma3_text", 2048, False)


def test_run_that_takes_longer_than_the_space_stays_awake_is_a_warning(tmp_path: Path) -> None:
    finding = findings_for(demo_document(), tmp_path, estimate=lasting(60 * 3600), sleeps_after_hours=48)[
        "sleeps_before_end"
    ]
    assert (finding.severity, finding.field) == ("warning", "training.epochs")
    assert "takes about 60 hours, and this Space is put to sleep 48 hours after the last visit" in finding.message


@pytest.mark.parametrize(("seconds", "hours"), [(47 * 3600, 48), (60 * 3600, None), (None, 48)])
def test_run_that_ends_before_or_of_which_too_little_is_known_is_not_warned_of(
    tmp_path: Path, seconds: float | None, hours: int | None
) -> None:
    found = None if seconds is None else lasting(seconds)
    assert findings_for(demo_document(), tmp_path, estimate=found, sleeps_after_hours=hours) == {}
