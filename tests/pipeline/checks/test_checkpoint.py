"""Checkpoints that cannot be trained are told before they are downloaded, and layers that do not exist."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import run_checks
from pipeline.checks.facts import gather_facts
from pipeline.checks.lora_targets import LAYERS, layers_of
from pipeline.checks.model_facts import ModelFacts
from pipeline.providers.target_modules import linear_layer_names
from pipeline.validation import parse_job_config
from tests.documents import DEMO_MODEL
from tests.pipeline.checks.preflight import facts_of, findings_for, on_model, patched, write_model
from tests.pipeline.providers.architectures import tiny_model


@pytest.mark.parametrize(
    ("name", "severity", "words"),
    [
        ("google/gemma-3-1b-it-qat-q4_0-gguf", "error", "perhaps google/gemma-3-1b-it."),
        ("TheBloke/Llama-2-7B-GGUF", "error", "whose name is like Llama-2-7B."),
        ("mlx-community/Qwen3-0.6B-MLX-4bit", "error", "whose name is like Qwen3-0.6B."),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "warning", "perhaps Qwen/Qwen2.5-7B-Instruct."),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "warning", "perhaps Qwen/Qwen2.5-7B-Instruct."),
        ("unsloth/gemma-3-1b-it-bnb-4bit", "warning", "perhaps unsloth/gemma-3-1b-it."),
        ("unsloth/gemma-3-1b-it-unsloth-bnb-4bit", "warning", "perhaps unsloth/gemma-3-1b-it."),
        ("neuralmagic/Llama-3.2-1B-FP8", "warning", "perhaps neuralmagic/Llama-3.2-1B."),
    ],
)
def test_quantized_repository_is_told_by_its_name(tmp_path: Path, name: str, severity: str, words: str) -> None:
    finding = findings_for(on_model(name), tmp_path)["model_quantized_by_name"]
    assert finding.severity == severity
    assert words in finding.message


@pytest.mark.parametrize("name", ["google/gemma-3-1b-it", "some/gguf-writer", "a/int4-studies-1b", "b/Awqward-7B"])
def test_other_names_are_let_through(tmp_path: Path, name: str) -> None:
    assert "model_quantized_by_name" not in findings_for(on_model(name), tmp_path)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_copy_in_the_cache_is_looked_at_instead_of_its_name(tmp_path: Path, kind: str) -> None:
    name = "some/model-gptq"
    config = parse_job_config(on_model(name, tuning={"kind": kind}))
    quantized = write_model(tmp_path / "quantized", quantization_config={"quant_method": "gptq"})
    whole = write_model(tmp_path / "whole")
    found = {
        folder: {finding.code for finding in run_checks(config, facts_of(config, tmp_path, model_folder=folder))}
        for folder in (quantized, whole)
    }
    assert found == {quantized: {"model_not_trainable"}, whole: set()}


def test_copy_without_weights_is_completed_by_the_run(tmp_path: Path) -> None:
    config = parse_job_config(on_model("some/model"))
    for lost, codes in (("model.safetensors", ["model_download"]), ("chat_template.jinja", ["no_chat_template"])):
        folder = write_model(tmp_path / lost, without=(lost,))
        findings = run_checks(config, facts_of(config, tmp_path, model_folder=folder))
        assert [finding.code for finding in findings] == codes
        assert findings[0].severity != "error"


@pytest.mark.parametrize(
    ("model_config", "settings", "code"),
    [
        ({"model_type": "brand_new"}, {}, "architecture_unknown"),
        ({"model_type": "brand_new", "auto_map": {"AutoConfig": "a.B"}}, {}, "remote_code_needed"),
        ({"model_type": "brand_new", "auto_map": {"AutoConfig": "a.B"}}, {"trust_remote_code": True}, None),
        ({"model_type": "gemma3_text", "auto_map": {"AutoConfig": "a.B"}}, {}, None),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, {}, "architecture_without_text"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, {}, "architecture_without_text"),
        ({}, {}, None),
    ],
)
def test_architecture_is_one_that_writes_text(
    tmp_path: Path, model_config: dict[str, Any], settings: dict[str, Any], code: str | None
) -> None:
    model = write_model(tmp_path / "model", **model_config)
    found = findings_for(on_model(model, model=settings), tmp_path)
    assert [known for known in found if "architecture" in known or "remote_code" in known] == ([code] if code else [])


def test_reward_model_may_start_from_one_that_scores(tmp_path: Path) -> None:
    saved_as = {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}
    model = write_model(tmp_path / "model", **saved_as)
    assert "architecture_without_text" not in findings_for(on_model(model, method={"kind": "reward"}), tmp_path)


def test_layer_that_does_not_exist_is_an_error_and_its_fix_mends_it(tmp_path: Path) -> None:
    document = on_model(DEMO_MODEL, tuning={"target_modules": "q_proj, query_key_value"})
    finding = findings_for(document, tmp_path)["no_such_layers"]
    assert "No layer is called query_key_value in this model" in finding.message
    assert "no_such_layers" not in findings_for(patched(document, finding), tmp_path)


@pytest.mark.parametrize("names", ["q_proj", "layers.0.mlp.up_proj, down_proj", "all-linear"])
def test_layer_that_exists_is_fine(tmp_path: Path, names: str) -> None:
    assert findings_for(on_model(DEMO_MODEL, tuning={"target_modules": names}), tmp_path) == {}


def test_layers_of_an_unlisted_architecture_are_left_to_the_run(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", model_type="gemma4_text", architectures=["Gemma4ForCausalLM"])
    document = on_model(model, tuning={"target_modules": "anything"})
    assert "no_such_layers" not in findings_for(document, tmp_path)


@pytest.mark.parametrize("model_type", sorted(LAYERS))
def test_listed_layers_are_those_of_the_model(tmp_path: Path, model_type: str) -> None:
    facts = ModelFacts(tmp_path, {"model_type": model_type}, weights_bytes=0, has_chat_template=False)
    model = tiny_model(model_type.removesuffix("_text"))
    assert set(layers_of(facts)) == {name.rpartition(".")[2] for name in linear_layer_names(model)}


def test_broken_configuration_is_told_and_does_not_stop_the_checks(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (model / "config.json").write_text("{", encoding="utf-8")
    config = parse_job_config(on_model(model))
    (finding,) = run_checks(config, gather_facts(config, data=None, output_dir=tmp_path))[:1]
    assert (finding.code, "is not JSON" in finding.message) == ("model_not_trainable", True)
