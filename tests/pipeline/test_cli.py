"""The command line as a user meets it: real processes, exit codes and sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.events import JobCompleted, JobFailed, StepLogged
from pipeline.run_dir import RunDir
from tests.pipeline.conftest import MakeConfig

REPOSITORY = Path(__file__).parents[2]


def pipeline(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=120,
        check=False,
    )


def losses(run_dir: RunDir) -> list[float]:
    return [event.metrics["loss"] for event in run_dir.read_events()[0] if isinstance(event, StepLogged)]


@pytest.mark.slow
def test_run_works_off_a_folder_the_same_way_twice(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(training={"max_steps": 4}, model={"precision": "auto"}, tuning={"dropout": 0.1})
    seen = []
    for name in ("first", "second"):
        run_dir = RunDir(tmp_path / name)
        run_dir.create(config)
        done = pipeline("run", run_dir.path)
        assert done.returncode == 0, done.stderr
        assert run_dir.read_manifest() is not None
        assert isinstance(run_dir.read_events()[0][-1], JobCompleted)
        seen.append(losses(run_dir))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 4


def test_train_takes_yaml_and_flags(tiny_gemma: Path, chats: Path, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f"model: {{base_model: {tiny_gemma}}}\ntraining: {{max_steps: 50, seed: 3}}\n")
    home = tmp_path / "home"
    done = pipeline(
        "train", "--config", file, "--training-data-path", chats, "--max-steps", 2, "--output-model-name", "stones",
        LAPIDARY_HOME=str(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (home / "runs").iterdir()
    assert folder.name.startswith("stones-")
    config = RunDir(folder).read_config()
    assert (config.training.max_steps, config.training.seed) == (2, 3)
    assert done.stderr.splitlines()[-1] == f"The adapter is in {folder / 'adapter'}"
    assert "tok/s" in done.stderr


def test_unusable_data_is_one_sentence_and_a_failed_event(make_config: MakeConfig, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(make_config(dataset={"path": str(tmp_path / "nothing.jsonl")}))
    done = pipeline("run", run_dir.path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("There is no file at")
    failed = run_dir.read_events()[0][-1]
    assert isinstance(failed, JobFailed)
    assert failed.code == "data_problem"


@pytest.mark.slow
def test_model_of_the_hub_without_a_network(make_config: MakeConfig, tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create(make_config(model={"base_model": "google/gemma-3-1b-it"}))
    done = pipeline("run", run_dir.path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "the Hugging Face Hub cannot be reached" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_revision_chooses_what_is_loaded_from_the_hub_cache(
    make_config: MakeConfig, tiny_gemma: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / "models--acme--stone"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(tiny_gemma)
    (repository / "refs").mkdir()
    (repository / "refs" / "v2").write_text("a" * 40)
    codes = []
    for revision in ("main", "v2"):
        run_dir = RunDir(tmp_path / revision)
        run_dir.create(make_config(model={"base_model": "acme/stone", "revision": revision}))
        codes.append(pipeline("run", run_dir.path, HF_HUB_CACHE=str(tmp_path / "hub"), HF_HUB_OFFLINE="1").returncode)
    assert codes == [1, 0]


def test_damaged_job_document_is_a_failed_event(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"name": "x"}')
    assert pipeline("run", tmp_path).returncode == 1
    failed = RunDir(tmp_path).read_events()[0][-1]
    assert isinstance(failed, JobFailed)
    assert failed.code == "invalid_config"


def test_bad_values_are_one_sentence_each() -> None:
    done = pipeline("train", "--base-model", "x", "--epochs", "-1", "--rank", "many")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["dataset", "tuning.rank", "training.epochs"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"), [("a: [", "is not YAML"), ("- a", "holds no settings"), (None, "cannot be read")]
)
def test_unreadable_yaml_is_a_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "job.yaml"
    if content is not None:
        file.write_text(content)
    done = pipeline("train", "--config", file)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_schema_is_the_job_document() -> None:
    done = pipeline("schema")
    assert done.returncode == 0
    assert set(json.loads(done.stdout)["properties"]) >= {"model", "dataset", "tuning", "method", "training", "export"}


def test_help_schema_and_bad_values_do_not_load_torch() -> None:
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        "for arguments in (['schema'], ['train', '--epochs', '-1'], ['train', '--help']):\n"
        "    try:\n        main(arguments)\n    except SystemExit:\n        pass\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
