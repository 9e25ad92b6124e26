"""The smokebench process ends with whoever started it, and leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

from pipeline.validation import parse_job_config
from tests.documents import demo_document

REPOSITORY = Path(__file__).parents[2]


def start() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "smokebench"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )


def test_child_ends_in_the_middle_when_its_input_is_closed(tmp_path: Path) -> None:
    config = parse_job_config(demo_document()).model_dump(mode="json")
    folder = tmp_path / "trial"
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        request = {"id": 1, "op": "smoke", "config": config, "folder": str(folder)}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert (first["event"], first["stage"], first["share"]) == ("progress", "preparing", 0.0)
        assert folder.is_dir()
        process.stdin.close()
        assert process.wait(timeout=10) == -9
        assert process.stdout.read() == ""
    assert not folder.exists()


def test_request_that_is_none_is_answered_and_the_child_goes_on(tmp_path: Path) -> None:
    process = start()
    out, _ = process.communicate('{"id": 3, "op": "smoke", "folder": "x"}\n{"op": "quit"}\n', timeout=30)
    answer = json.loads(out)
    assert (answer["id"], answer["event"], answer["code"]) == (3, "error", "invalid_request")
    assert process.returncode == 0
