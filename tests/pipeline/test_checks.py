"""Each check fires where it should, with a fix that mends it, and is silent on a sound configuration."""

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import run_checks
from pipeline.checks.facts import gather_facts
from pipeline.checks.schedule import total_steps
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL, DEMO_TRAIN, demo_document
from tests.pipeline.checks.preflight import facts_of, findings_for, patched
from tests.pipeline.vision.squares import write_squares, write_zip


def test_sound_configuration_has_no_findings(tmp_path: Path) -> None:
    assert findings_for(demo_document(), tmp_path) == {}


@pytest.mark.parametrize(
    ("code", "document"),
    [
        ("step_not_filled", demo_document(per_device_batch_size=4096)),
        ("rows_never_seen", demo_document(epochs=0.5)),
        ("rows_never_seen", demo_document(max_steps=2)),
        ("never_saved", demo_document(save_strategy="steps", save_steps=100_000)),
        ("never_evaluated", demo_document(eval_strategy="steps", eval_steps=100_000)),
        ("longer_than_context", {**demo_document(), "method": {"kind": "sft", "max_length": 1_000_000}}),
        ("fp16_overflow", {**demo_document(), "model": {"base_model": str(DEMO_MODEL), "precision": "fp16"}}),
        (
            "no_evaluation",
            {**demo_document(eval_strategy="epoch"), "dataset": {"path": str(DEMO_TRAIN), "eval_share": 0}},
        ),
    ],
)
def test_check_fires_and_its_fix_mends_it(tmp_path: Path, code: str, document: dict[str, Any]) -> None:
    finding = findings_for(document, tmp_path)[code]
    assert code not in findings_for(patched(document, finding), tmp_path)


@pytest.mark.parametrize(
    ("code", "model"),
    [("model_not_found", "/nowhere"), ("model_unknown", "no model"), ("model_download", "google/gemma-3-1b-it")],
)
def test_model_that_is_not_here_is_told_apart(tmp_path: Path, code: str, model: str) -> None:
    document = {**demo_document(), "model": {"base_model": model}}
    assert findings_for(document, tmp_path)[code].severity == ("info" if code == "model_download" else "error")


def test_downloaded_model_is_not_announced(tmp_path: Path) -> None:
    name = "google/gemma-3-1b-it"
    document = {**demo_document(), "model": {"base_model": name}}
    assert findings_for(document, tmp_path, cached_models=frozenset({name})) == {}


def test_model_that_cannot_be_trained_is_told_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "gptq"}}))
    finding = findings_for({**demo_document(), "model": {"base_model": str(folder)}}, tmp_path)["model_not_trainable"]
    assert "is quantized already (gptq)" in finding.message
    address = {**demo_document(), "model": {"base_model": f"file://{folder}"}}
    assert findings_for(address, tmp_path)["model_unknown"].message == finding.message


@pytest.mark.parametrize(
    ("address", "code"),
    [("s3://bucket/gemma", "model_download"), ("hf://a/b", "model_download"), ("ftp://a/b", "model_unknown")],
)
def test_address_of_a_model_is_looked_at(tmp_path: Path, address: str, code: str) -> None:
    assert code in findings_for({**demo_document(), "model": {"base_model": address}}, tmp_path)


@pytest.mark.parametrize(
    ("code", "lost"), [("model_without_weights", "model.safetensors"), ("no_chat_template", "chat_template.jinja")]
)
def test_incomplete_model_folder_is_an_error(tmp_path: Path, code: str, lost: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, folder)
    (folder / lost).unlink()
    assert code in findings_for({**demo_document(), "model": {"base_model": str(folder)}}, tmp_path)


def test_rows_that_are_left_out_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "Q", "completion": "A"}] * 40 + [{"prompt": "Q", "completion": ""}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    finding = findings_for({**demo_document(), "dataset": {"path": str(path)}}, tmp_path)["rows_left_out"]
    assert "1 of 41 rows" in finding.message
    assert "row 41: completion is empty" in finding.message


def test_unreadable_data_set_is_an_error_of_its_field(tmp_path: Path) -> None:
    document = {**demo_document(), "dataset": {"path": str(DEMO_TRAIN), "eval_path": "/nowhere.jsonl"}}
    finding = findings_for(document, tmp_path)["data_unusable"]
    assert (finding.severity, finding.field) == ("error", "dataset.eval_path")


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    assert "disk_full" in findings_for(demo_document(), tmp_path, free_disk_bytes=1000)


@pytest.mark.parametrize(
    ("rows", "training", "steps"),
    [
        (800, {"per_device_batch_size": 16, "epochs": 3}, 150),
        (801, {"per_device_batch_size": 16, "epochs": 1}, 51),
        (100, {"per_device_batch_size": 8, "gradient_accumulation_steps": 4, "epochs": 1}, 4),
        (100, {"per_device_batch_size": 8, "epochs": 2, "max_steps": 5}, 5),
        (3, {"per_device_batch_size": 8, "epochs": 1}, 1),
    ],
)
def test_total_steps(rows: int, training: dict[str, Any], steps: int) -> None:
    assert total_steps(parse_job_config(demo_document(**training)), rows) == steps


def test_training_rows_are_those_that_are_not_held_out(tmp_path: Path) -> None:
    document = {**demo_document(), "dataset": {"path": str(DEMO_TRAIN), "eval_share": 0.25, "max_rows": 100}}
    config = parse_job_config(document)
    facts = facts_of(config, tmp_path)
    assert (facts.train_rows, facts.eval_rows) == (75, 25)


def test_rows_that_nobody_has_looked_at_are_announced(tmp_path: Path) -> None:
    config = parse_job_config({**demo_document(), "dataset": {"path": "owner/rows-on-the-hub"}})
    findings = run_checks(config, gather_facts(config, data=None, output_dir=tmp_path))
    assert [finding.code for finding in findings] == ["data_not_seen"]


@pytest.mark.parametrize(
    ("code", "field", "rows"),
    [
        ("format_not_trainable", "method.kind", [{"prompt": "Q", "chosen": "yes", "rejected": "no"}] * 20),
        (
            "format_unsure",
            "dataset.mapping",
            [{"frage": f"Wie {n}?", "antwort": f"So und so viel, {n} Mal am Tag."} for n in range(20)],
        ),
    ],
)
def test_shape_that_does_not_suit_is_told(tmp_path: Path, code: str, field: str, rows: list[dict[str, str]]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    document = {**demo_document(), "dataset": {"path": str(path)}}
    assert findings_for(document, tmp_path)[code].field == field


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Any]:
    """A document whose data set has images and whose model sees them."""
    model = tmp_path / "model"
    shutil.copytree(DEMO_MODEL, model)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps({**config, "vision_config": {"hidden_size": 16}}), encoding="utf-8")
    rows = write_squares(tmp_path / "pictures", 80)
    path = write_zip(tmp_path / "squares.zip", rows, tmp_path / "pictures")
    return {**demo_document(), "model": {"base_model": str(model)}, "dataset": {"path": str(path)}}


def test_images_for_a_model_that_sees_are_fine(tmp_path: Path, pictures: dict[str, Any]) -> None:
    assert {code for code, finding in findings_for(pictures, tmp_path).items() if finding.severity == "error"} == set()


def test_images_for_a_text_model_are_an_error(tmp_path: Path, pictures: dict[str, Any]) -> None:
    finding = findings_for({**pictures, "model": {"base_model": str(DEMO_MODEL)}}, tmp_path)["images_not_seen"]
    assert (finding.severity, finding.field) == ("error", "model.base_model")
    assert "reads text only" in finding.message


@pytest.mark.parametrize(
    ("name", "sees"),
    [("google/gemma-3-1b-it", False), ("unsloth/gemma-3-270m", False), ("google/gemma-3-4b-it", True)],
)
def test_text_model_that_is_not_here_is_known_by_its_name(
    tmp_path: Path, pictures: dict[str, Any], name: str, sees: bool
) -> None:
    assert ("images_not_seen" not in findings_for({**pictures, "model": {"base_model": name}}, tmp_path)) == sees


@pytest.mark.parametrize(
    ("code", "section", "values"),
    [
        ("images_packed", "training", {"batching": "packed"}),
        ("images_flash_attention", "model", {"attention": "flash_attention_2"}),
        ("images_other_method", "method", {"kind": "grpo", "rewards": [{"kind": "length"}]}),
    ],
)
def test_setting_that_does_not_go_with_images_is_an_error(
    tmp_path: Path, pictures: dict[str, Any], code: str, section: str, values: dict[str, Any]
) -> None:
    document = {**pictures, section: {**pictures.get(section, {}), **values}}
    finding = findings_for(document, tmp_path)[code]
    assert finding.severity == "error"
    mended = patched(document, finding)
    # What belongs to the other method goes with it, as in the form.
    mended["method"] = {"kind": "sft"}
    assert code not in findings_for(mended, tmp_path)
    text = {**document, "dataset": {"path": str(DEMO_TRAIN)}}
    assert code not in findings_for(text, tmp_path)


def test_tracker_without_its_library_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {**demo_document(), "tracking": {"trackio": True}}
    assert findings_for(document, tmp_path) == {}
    # Where Python looks for installed libraries; another test may have loaded this one already.
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    monkeypatch.setattr("sys.path", [path for path in sys.path if "site-packages" not in path])
    importlib.invalidate_caches()
    finding = findings_for(document, tmp_path)["tracker_missing"]
    assert (finding.severity, 'pip install "trackio==' in finding.message) == ("warning", True)
    assert findings_for(patched(document, finding), tmp_path) == {}
