"""A studio that listens to the network shows strangers nothing, and reads only its own files."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InvalidConfig
from tests.documents import demo_document
from tests.server import StudioProcess
from tests.services import open_studio

TOKEN = "s3cret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    home = tmp_path_factory.mktemp("guarded")
    server = StudioProcess(home, environment={"LAPIDARY_TOKEN": TOKEN, "HOME": str(home)})
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["/", "/new", "/api/jobs", "/api/activity", "/config", "/gradio_api/info"])
def test_stranger_is_refused(guarded: StudioProcess, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        guarded.get(path)
    assert caught.value.code == 401
    caught.value.close()


def test_bearer_is_served(guarded: StudioProcess) -> None:
    request = urllib.request.Request(guarded.url + "/api/jobs", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as response:
        assert response.status == 200


def test_files_outside_the_studio_are_not_read_from_the_network(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"text": "private"}\n', encoding="utf-8")
    document = {**demo_document(), "dataset": {"path": str(secret)}}
    with open_studio(tmp_path / "home", host="0.0.0.0") as studio:
        with pytest.raises(InvalidConfig, match="is not a data set of yours. Upload the file instead."):
            studio.preflight(document, owner="ana")
        with pytest.raises(InvalidConfig, match="is outside the studio's folders. Upload the file instead."):
            studio.registry.import_source({"source": str(secret)}, owner="ana")
        assert studio.preflight(demo_document(), owner="ana").errors == []
