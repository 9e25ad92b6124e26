"""Suggested values and recipes through the doors of a real server, and from a studio's own facts."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataProblem, InvalidConfig
from pipeline.suggestions import SuggestedValue
from pipeline.validation import parse_job_config
from studio.service import Studio
from studio.smart_defaults import Suggested, suggest_values
from studio.ui.suggestion_box import reason_list
from tests.documents import DEMO_TEST, DEMO_TRAIN, demo_document
from tests.server import StudioProcess
from tests.services import open_studio

WITHOUT_GPU = {"resources": {"gpus": 0}}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_studio(tmp_path_factory.mktemp("studio")) as studio:
        yield studio


def values_of(suggested: Suggested) -> dict[str, Any]:
    return {value.field: value.value for value in suggested.values}


def ask(studio: Studio, document: dict[str, Any]) -> Suggested:
    return suggest_values(studio, document, owner="ana")


def test_demo_is_suggested_what_its_rows_and_model_ask_for(studio: Studio) -> None:
    document = {**demo_document(), **WITHOUT_GPU, "dataset": {"path": str(DEMO_TRAIN)}}
    found = ask(studio, document)
    values = values_of(found)
    assert values["training.learning_rate"] == 0.003
    assert 8 < values["method.max_length"] < 200
    assert values["dataset.eval_share"] == 0.05
    assert values["evaluation.score_rows"] == 20
    config = parse_job_config(found.document)
    assert config.method.max_length == values["method.max_length"]
    assert found.document["name"] == "demo" and "resources" not in found.document
    assert document["training"]["eval_strategy"] == "no", "what was sent is not changed"


def test_own_evaluation_file_keeps_its_rows(studio: Studio) -> None:
    assert str(DEMO_TEST) == demo_document()["dataset"]["eval_path"]
    assert "dataset.eval_share" not in values_of(ask(studio, {**demo_document(), **WITHOUT_GPU}))


def test_document_with_nothing_in_it_is_suggested_the_usual_rate(studio: Studio) -> None:
    found = ask(studio, WITHOUT_GPU)
    assert found.document == {"training": {"learning_rate": 2e-4}}


@pytest.mark.parametrize(
    ("model", "gpu", "quantization"),
    [
        ("google/gemma-3-4b-it", "l4", "none"),
        ("acme/Acme-12B-Instruct", "rtx-4090", "4bit"),
        ("acme/acme-270m", "t4", "none"),
        ("acme/moe-8x7B", "l4", None),
    ],
)
def test_size_comes_from_the_catalogue_or_from_the_name(
    studio: Studio, model: str, gpu: str, quantization: str | None
) -> None:
    found = ask(studio, {"model": {"base_model": model}, "resources": {"gpu_type": gpu}})
    assert values_of(found).get("model.quantization") == quantization
    assert found.document["model"]["base_model"] == model


def test_recipe_is_the_ground_that_values_are_put_on(studio: Studio) -> None:
    found = ask(studio, {"recipe_id": "gemma-3-4b-qlora-t4", "resources": {"gpu_type": "T4"}})
    assert found.document["model"] == {
        "base_model": "google/gemma-3-4b-it",
        "quantization": "4bit",
        "precision": "fp32",
    }
    assert "recipe_id" not in found.document


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"resources": {"gpu_tpe": "t4"}}, "Did you mean resources.gpu_type?"),
        ({"resources": {"gpu_type": "a10o"}}, "'a10o' is no GPU that is known here. Did you mean a10"),
        ({"resources": {"gpus": -1}}, "it was -1"),
        ({"training": {"epochs": 0}}, "training.epochs: input should be greater than 0"),
        ({"method": {"kind": "grpo"}}, "needs at least one reward"),
    ],
)
def test_what_is_written_wrong_is_a_sentence(studio: Studio, document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig, match=sentence.replace("?", r"\?")):
        ask(studio, document)


def test_data_set_that_cannot_be_used_is_said_to_be(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="There is no file at"):
        ask(studio, {"dataset": {"path": str(tmp_path / "none.csv")}})


def test_reasons_on_the_page_tell_what_was_set_and_escape_it() -> None:
    shown = reason_list([SuggestedValue("training.epochs", 5.0, "Because <b>.")], kept=2)
    assert "<strong>Epochs: 5</strong> Because &lt;b&gt;." in shown
    assert "2 other values were as suggested already." in shown
    assert "Nothing to change" in reason_list([], kept=3)


def test_recipes_are_served_with_the_contracts_fields(server: StudioProcess) -> None:
    listed = server.get("/api/recipes?train_style=sft&max_gpu_memory_gb=8&limit=2")
    assert (len(listed["recipes"]), listed["limit"], listed["offset"]) == (2, 2, 0)
    assert listed["total"] > 2
    fields = "id slug display_name description recipe_type modality train_styles default_config required_fields "
    fields += "optional_fields supported_architectures min_gpu_memory_gb supports_distributed is_active tags"
    assert set(listed["recipes"][0]) == set(fields.split())
    first = listed["recipes"][0]
    assert server.get(f"/api/recipes/{first['id']}") == server.get(f"/api/recipes/{first['slug']}") == first


def test_job_starts_from_a_recipe_with_the_users_values_over_it(server: StudioProcess) -> None:
    body = {**demo_document(max_steps=1), "recipe_id": "any-model-lora", "tuning": {"rank": 4}}
    status, job = server.post("/api/jobs", body)
    assert status == 201, job
    config = server.get(f"/api/jobs/{job['id']}")["config"]
    assert (config["tuning"]["rank"], config["tuning"]["alpha"]) == (4, 32)
    assert config["training"]["gradient_accumulation_steps"] == 16
    assert config["training"]["per_device_batch_size"] == 16
    server.post(f"/api/jobs/{job['id']}/cancel")


def test_unknown_recipe_is_404_with_the_nearest_name(server: StudioProcess) -> None:
    status, body = server.post("/api/jobs", {**demo_document(), "recipe_id": "gemma-1b-dpo"})
    assert (status, body["code"]) == (404, "not_found")
    assert body["error"] == body["detail"] == ("There is no recipe called 'gemma-1b-dpo'. Did you mean gemma-3-1b-dpo?")


def test_suggestions_are_served_with_their_reasons(server: StudioProcess) -> None:
    status, body = server.post("/api/experiments/smart-defaults", {**demo_document(), "resources": {"gpu_type": "l4"}})
    assert status == 200
    values = {item["field"]: item["value"] for item in body["suggestions"]}
    assert values["model.precision"] == body["config"]["model"]["precision"] == "bf16"
    assert all(item["reason"].endswith(".") for item in body["suggestions"])
    status, body = server.post("/api/experiments/smart-defaults", {"resources": {"gpu_type": "t44"}})
    assert (status, body["fields"][0]["field"]) == (400, "resources.gpu_type")
