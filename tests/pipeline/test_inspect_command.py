"""`python -m pipeline inspect`: the dataset step in a shell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import DEMO_MODEL

REPOSITORY = Path(__file__).parents[2]
FIXTURES = REPOSITORY / "tests" / "fixtures" / "datasets"


def inspect(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=120)


@pytest.mark.slow
def test_text_tells_shape_mapping_findings_and_the_loss_mask() -> None:
    done = inspect(FIXTURES / "sharegpt.json", "--model", DEMO_MODEL)
    assert done.returncode == 0, done.stderr
    assert "messages (sharegpt), 100% sure" in done.stdout
    assert '"role_key": "from"' in done.stdout
    assert "few_rows" in done.stdout
    assert "<start_of_turn>model\n    ⟦About three hours in bulk" in done.stdout


def test_json_is_one_object(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "A?", "completion": "B"}\n' * 3 + "{broken\n" + '{"prompt": "A?"}\n', encoding="utf-8")
    done = inspect(file, "--json", "--model", DEMO_MODEL)
    found = json.loads(done.stdout)
    assert (found["format"], found["rows"], found["usable_rows"], found["dropped_rows"]) == (
        "prompt_completion",
        5,
        3,
        2,
    )
    assert [dropped["row"] for dropped in found["dropped"]] == [4, 5]
    assert {"unreadable_rows", "unusable_rows", "duplicate_rows"} <= {
        finding["code"] for finding in found["report"]["findings"]
    }
    assert found["first_row"][0]["counts"]["trained"] > 0


def test_source_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    done = inspect(tmp_path / "nowhere.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no file at" in done.stderr
    assert "Traceback" not in done.stderr
