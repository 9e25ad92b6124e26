"""The process that makes rows: from a run folder's document to a preview or a review folder, and what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.augment import ReviewFolder
from pipeline.augment_job import PreviewDocument
from pipeline.cli import main
from pipeline.data.import_source import import_source
from pipeline.data.row_store import RowStore
from pipeline.data_config import ImportJobConfig
from pipeline.events import JobCompleted, JobFailed, StageStarted
from pipeline.run_dir import RunDir
from pipeline.validation import parse_augment_config
from tests.endpoint_server import MODEL, EndpointServer, Reply

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Eight rows to train on, two for validation and two for the test."""
    source = tmp_path / "source"
    source.mkdir()
    for split, count in (("train", 8), ("validation", 2), ("test", 2)):
        rows = [{"prompt": f"What is {split} stone {n}?", "completion": f"A {split} opal."} for n in range(count)]
        (source / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = ImportJobConfig(name="stones", source=str(source))
    import_source(config, tmp_path / "stones", downloads=tmp_path / "downloads", progress=lambda _: None)
    return tmp_path / "stones"


def prepare(tmp_path: Path, dataset: Path, augmentation: dict[str, Any], **values: Any) -> RunDir:
    run_dir = RunDir(tmp_path / "run")
    document = {"name": "stones", "dataset": str(dataset), "augmentation": augmentation, "seed": 5, **values}
    run_dir.create(parse_augment_config(document))
    return run_dir


def endpoint(server: EndpointServer) -> dict[str, Any]:
    return {"base_url": server.base_url, "model": MODEL, "requests_per_minute": 100_000, "concurrent_requests": 1}


def test_only_training_rows_are_started_from(tmp_path: Path, dataset: Path) -> None:
    run_dir = prepare(tmp_path, dataset, {"kind": "case", "share": 1})
    assert main(["run", str(run_dir.path)]) == 0
    review = ReviewFolder(run_dir.path / "review")
    splits = {item.number: item.split for item in RowStore(dataset).rows()}
    assert {splits[row.made_from.rows[0]] for row in review.rows()} == {"train"}
    manifest = run_dir.read_manifest()
    assert manifest is not None
    assert (review.counts().proposed, manifest.metrics["generated"], manifest.metrics["requests"]) == (8, 8.0, 0.0)


def test_progress_is_told_to_the_end(tmp_path: Path, dataset: Path) -> None:
    run_dir = prepare(tmp_path, dataset, {"kind": "typos", "share": 1})
    main(["run", str(run_dir.path)])
    events, _ = run_dir.read_events(0)
    told = [(event.stage, event.message) for event in events if isinstance(event, StageStarted)]
    assert told[0] == ("preparing", "Reading the training rows of stones")
    assert told[1] == ("augmenting", "Making rows from 8 training rows")
    assert told[-1] == ("augmenting", "8 of 8")
    assert isinstance(events[-1], JobCompleted)


def test_preview_shows_rows_and_the_estimate_and_leaves_nothing_to_review(tmp_path: Path, dataset: Path) -> None:
    with EndpointServer() as server:
        wanted = {"kind": "synthesis", "endpoint": endpoint(server), "instruction": "Stones.", "rows": 40}
        run_dir = prepare(tmp_path, dataset, wanted, preview=True)
        assert main(["run", str(run_dir.path)]) == 0
    shown = PreviewDocument.model_validate_json((run_dir.path / "preview.json").read_bytes())
    assert (len(shown.rows), shown.estimate.requests, shown.estimate.rows) == (10, 8, 40)
    assert (shown.training_rows, shown.other_rows) == (8, 4)
    assert not (run_dir.path / "review").exists()
    assert not (run_dir.path / "preview.json.partial").exists()


def test_rows_that_copy_evaluation_rows_are_refused(tmp_path: Path, dataset: Path) -> None:
    answers = [{"prompt": f"What is test stone {n}?", "completion": "A test opal."} for n in range(8)]
    with EndpointServer() as server:
        server.answer_next(*[Reply(content=json.dumps({"rewrites": [answer]})) for answer in answers])
        wanted = {"kind": "paraphrase", "endpoint": endpoint(server), "target": "both", "share": 1}
        run_dir = prepare(tmp_path, dataset, wanted)
        assert main(["run", str(run_dir.path)]) == 0
    outcomes = ReviewFolder(run_dir.path / "review").outcomes()
    refused = [refusal for outcome in outcomes for refusal in outcome.refused]
    # The test has the stones 0 and 1 only.
    assert ([refusal.kind for refusal in refused], sum(len(outcome.rows) for outcome in outcomes)) == (
        ["exact_copy", "exact_copy"],
        6,
    )
    assert "of the split test" in refused[0].reason


def test_second_attempt_goes_on(tmp_path: Path, dataset: Path) -> None:
    with EndpointServer() as server:
        run_dir = prepare(tmp_path, dataset, {"kind": "paraphrase", "endpoint": endpoint(server), "share": 1})
        server.answer_next(Reply(), Reply(), Reply(), Reply(status=401))
        assert main(["run", str(run_dir.path)]) == 1
        events, _ = run_dir.read_events(0)
        assert isinstance(events[-1], JobFailed)
        assert ReviewFolder(run_dir.path / "review").counts().proposed == 3
        asked = len(server.received)
        assert main(["run", str(run_dir.path)]) == 0
        assert len(server.received) == asked + 5
    assert ReviewFolder(run_dir.path / "review").counts().proposed == 8


def test_set_without_recognised_columns_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', encoding="utf-8")
    config = ImportJobConfig(name="odd", source=str(tmp_path / "odd.jsonl"))
    import_source(config, tmp_path / "odd", downloads=tmp_path / "downloads", progress=lambda _: None)
    run_dir = prepare(tmp_path, tmp_path / "odd", {"kind": "typos"})
    assert main(["run", str(run_dir.path)]) == 1
    assert "were not recognised" in capsys.readouterr().err


def test_process_loads_no_model_library(tmp_path: Path, dataset: Path) -> None:
    run_dir = prepare(tmp_path, dataset, {"kind": "typos"})
    code = (
        "import sys; from pipeline.cli import main; "
        f"main(['run', {str(run_dir.path)!r}]); print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
