"""Follows the events of a run and tells a tracker of them, each value once."""

from collections.abc import Callable

from pipeline.events import (
    DataLoaded,
    EvaluationFinished,
    Event,
    JobCompleted,
    ModelLoaded,
    ScoresComputed,
    StepLogged,
    TrackerLinked,
    WarningRaised,
)
from pipeline.run_dir import RunDir
from pipeline.trackers import Tracker
from pipeline.trackers.told import Told, ToldFile

_EVAL_PREFIX = "eval_"


def follow(run_dir: RunDir, tracker: Tracker, *, place: ToldFile, run_ended: Callable[[], bool]) -> bool:
    """Tell `tracker` of the events after `place` until the run has ended. Returns whether it completed.

    `run_ended` waits a moment; it is asked before the events are read, so that nothing said before the end is missed.
    """
    completed = False
    while True:
        ended = run_ended()
        events, offset = run_dir.read_events(place.told.offset)
        for event in events:
            tell(tracker, event, told=place.told)
            # The end of an earlier attempt is not the end of the run.
            if not isinstance(event, TrackerLinked | WarningRaised):
                completed = isinstance(event, JobCompleted)
        if events:
            tracker.flush()
            place.told.offset = offset
            place.save()
        if ended:
            return completed


def tell(tracker: Tracker, event: Event, *, told: Told) -> None:
    """Tell `tracker` of one event, unless it has the values of that step; `told` is brought up to date."""
    match event:
        case StepLogged() if event.step > told.step:
            told.step = event.step
            tracker.log(series_of(event), step=event.step, time=event.time)
        case EvaluationFinished() if event.step > told.evaluated_step:
            told.evaluated_step = event.step
            tracker.log(series_of(event), step=event.step, time=event.time)
        case ScoresComputed() if event.step > told.scored_step:
            told.scored_step = event.step
            tracker.log(series_of(event), step=event.step, time=event.time)
        case JobCompleted():
            tracker.log(series_of(event), step=max(told.step, 0), time=event.time)
        case ModelLoaded() | DataLoaded():
            tracker.describe(event.model_dump(mode="json", exclude={"time", "type", "dropped_examples"}))


def series_of(event: StepLogged | EvaluationFinished | ScoresComputed | JobCompleted) -> dict[str, float]:
    """The values of an event by the name of their curve: `train/loss`, `eval/loss`, `result/train_loss`."""
    match event:
        case StepLogged():
            return {**{f"train/{name}": value for name, value in event.metrics.items()}, "train/epoch": event.epoch}
        case EvaluationFinished():
            return {f"eval/{name.removeprefix(_EVAL_PREFIX)}": value for name, value in event.metrics.items()}
        case ScoresComputed():
            return event.metrics
        case JobCompleted():
            return {f"result/{name}": value for name, value in event.metrics.items()}
