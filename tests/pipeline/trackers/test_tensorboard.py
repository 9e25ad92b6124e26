"""TensorBoard: what its own reader finds in the event files."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.run_dir import RunDir
from tests.pipeline.trackers.conftest import EVAL_LOSS, RUN, TRAIN_LOSS, Play, step, warnings_of


def read(run_dir: RunDir) -> EventAccumulator:
    return EventAccumulator(str(run_dir.tracking / "tensorboard")).Reload()


def curve(name: str, *, run_dir: RunDir) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in read(run_dir).Scalars(name)]


def test_event_files_of_two_attempts_hold_every_value_once(play: Play, run_dir: RunDir) -> None:
    first = play(RUN[:6], tensorboard=True)
    second = play([step(2), *RUN[6:]], tensorboard=True)
    assert warnings_of([*first, *second]) == []
    for name, points in (("train/loss", TRAIN_LOSS), ("eval/loss", EVAL_LOSS)):
        found = curve(name, run_dir=run_dir)
        assert [number for number, _ in found] == [number for number, _ in points]
        # They are stored with 32 bits.
        assert [value for _, value in found] == pytest.approx([value for _, value in points], rel=1e-7)


def test_values_have_the_time_of_their_measurement(play: Play, run_dir: RunDir) -> None:
    play(tensorboard=True)
    times = [point.wall_time for point in read(run_dir).Scalars("train/loss")]
    assert times == [event.time for event in RUN if event.type == "step_logged"]


def test_settings_are_shown_as_text(play: Play, run_dir: RunDir) -> None:
    play(tensorboard=True)
    texts = [point.tensor_proto.string_val[0].decode() for point in read(run_dir).Tensors("run")]
    assert '"learning_rate": 0.0002' in texts[0]
    assert '"path": "stones.jsonl"' in texts[0]
    assert '"trainable_parameters": 10' in texts[1]


def test_folder_that_cannot_be_written_is_a_warning(play: Play, run_dir: RunDir) -> None:
    run_dir.tracking.mkdir(parents=True)
    (run_dir.tracking / "tensorboard").write_text("in the way")
    (warning,) = warnings_of(play(tensorboard=True))
    assert warning.startswith("TensorBoard gets no more values of this run; the run goes on.")
    assert "cannot be written" in warning
