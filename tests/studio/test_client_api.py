"""The Gradio client's door of a real server: names, documents, sentences."""

from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.documents import demo_document
from tests.server import StudioProcess

DATA_NAMES = {"/datasets", "/import_dataset", "/preview_dataset", "/transfer"}
PUBLIC = DATA_NAMES | {
    *("/train", "/preflight", "/jobs", "/job_status", "/cancel_job", "/generate", "/recipes", "/health"),
    *("/export", "/exports"),
}


@pytest.fixture(scope="module")
def client(server: StudioProcess) -> Iterator[Client]:
    client = Client(server.url, verbose=False)
    yield client
    client.close()


def test_only_the_contracts_names_are_public(client: Client) -> None:
    api: dict[str, Any] = client.view_api(return_format="dict", print_info=False)
    assert set(api["named_endpoints"]) == PUBLIC


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"training": {"learning_rate": "abc"}}, "training.learning_rate: .* it was 'abc'"),
        ({"training": {"learning_rte": 1}}, "Did you mean training.learning_rate"),
        ({"dataset": {"path": "/nowhere.csv"}}, "There is no file at /nowhere.csv"),
    ],
)
def test_bad_document_reaches_the_client_as_a_sentence(client: Client, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict({**demo_document(), **change}, api_name="/train")


def test_unknown_run_reaches_the_client_as_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no run with the id 'nope'"):
        client.predict("nope", api_name="/job_status")


def test_run_is_cancelled(client: Client, server: StudioProcess) -> None:
    job_id = client.predict(demo_document(max_steps=500), api_name="/train")["job_id"]
    server.wait_for(job_id, "running")
    assert client.predict(job_id, False, api_name="/cancel_job")["state"] == "stopping"
    server.wait_for(job_id, "cancelled", seconds=30)
    with pytest.raises(AppError, match="Only a completed run has a model to ask"):
        client.predict(job_id, "Hello", "tuned", 16, 0.0, api_name="/generate")


def test_export_of_a_run_that_has_no_result_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="no run with the id 'nope'"):
        client.predict("nope", {"formats": ["merged"]}, api_name="/export")
    assert client.predict("", api_name="/exports") == {"exports": [], "total": 0}


def test_recipes_are_found_by_their_words(client: Client) -> None:
    found = client.predict("gemma reasoning", api_name="/recipes")
    assert [recipe["slug"] for recipe in found["recipes"]] == ["gemma-3-1b-grpo-reasoning"]


def test_unknown_recipe_reaches_the_client_with_the_nearest_name(client: Client) -> None:
    with pytest.raises(AppError, match="Did you mean gemma-3-1b-chat-lora"):
        client.predict({**demo_document(), "recipe_id": "gemma-1b-chat-lora"}, api_name="/train")
