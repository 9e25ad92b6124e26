"""Trackio: what its own program reads back."""

from pathlib import Path

from pipeline.run_dir import RunDir
from tests.pipeline.trackers.conftest import EVAL_LOSS, RUN, TRAIN_LOSS, Play, step, warnings_of
from tests.pipeline.trackers.trackio_cli import trackio, trackio_curve


def test_trackio_has_the_values_of_both_attempts_once(play: Play, run_dir: RunDir, tmp_path: Path) -> None:
    first = play(RUN[:6], trackio=True, project="gems")
    second = play([*RUN[:3], step(2), *RUN[6:]], trackio=True, project="gems")
    assert warnings_of([*first, *second]) == []
    folder = tmp_path / "lapidary" / "trackio"
    (run,) = trackio("list", "runs", "--project", "gems", folder=folder)["runs"]
    assert run == f"stones-{(run_dir.tracking / 'run_id').read_text()[:6]}"
    assert trackio_curve("train/loss", project="gems", run=run, folder=folder) == TRAIN_LOSS
    assert trackio_curve("eval/loss", project="gems", run=run, folder=folder) == EVAL_LOSS
    config = trackio("get", "run", "--project", "gems", "--run", run, folder=folder)["config"]
    assert (config["train_rows"], config["training"]["learning_rate"]) == (38, 2e-4)


def test_trackio_writes_where_the_environment_says(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    assert warnings_of(play(trackio=True, environment={"TRACKIO_DIR": str(folder)})) == []
    assert (folder / "lapidary.db").is_file()
    assert not (tmp_path / "home").exists()


def test_name_that_trackio_keeps_for_itself_is_a_warning(play: Play) -> None:
    (warning,) = warnings_of(play(trackio=True, project="registry-gems"))
    assert warning.startswith("Trackio gets no more values of this run; the run goes on.")
    assert warning.endswith("Change tracking.project.")


def test_folder_that_cannot_be_made_is_a_warning(play: Play, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (warning,) = warnings_of(play(trackio=True, environment={"TRACKIO_DIR": str(tmp_path / "file" / "trackio")}))
    assert "cannot be written" in warning
    assert "Set TRACKIO_DIR" in warning
