"""What a run tells of itself to others: its data, settings, losses and scores, without a place of this machine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pipeline.config import FineTuneJobConfig
from pipeline.devices import THIS_COMPUTER
from pipeline.evaluation.best_metric import best_metric
from pipeline.events import (
    DataLoaded,
    EvaluationFinished,
    Event,
    ModelLoaded,
    ScoresComputed,
    StepLogged,
    StopReason,
)
from pipeline.exporters.data_facts import DataFacts, data_facts
from pipeline.run_dir import Manifest, RunDir

Points = Sequence[tuple[int, float]]
_CHECKPOINT = "checkpoint-"
_EVALUATED = "eval_"
E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Curve:
    """A value, such as the loss, by optimiser step: of the rows that are trained on, and of those held out."""

    name: str
    training: Points
    held_out: Points

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.training or self.held_out)


@dataclass(frozen=True)
class RunFacts:
    """One run up to the weights that are exported, which are those of `step`. What the run does not know is None.

    `metrics` and `epochs` are the last values at that step, `steps` are all that the run made, `seconds` is the time
    of its training loop. `is_best`: the weights are those of the best evaluation and not of the last step.
    """

    config: FineTuneJobConfig
    data: DataFacts
    started: datetime | None
    model: ModelLoaded | None
    rows: DataLoaded | None
    step: int | None
    steps: int | None
    epochs: float | None
    is_checkpoint: bool
    is_best: bool
    stop_reason: StopReason | None
    seconds: float | None
    device: str | None
    curve: Curve
    metrics: Mapping[str, float]
    scores: ScoresComputed | None
    versions: Mapping[str, str]


def run_facts(run: RunDir, weights: Path) -> RunFacts:
    """The facts of the run whose `weights`, a folder of it, are exported: its result, or one of its checkpoints.

    Raises:
        InvalidConfig: the folder is that of a job of another kind.
    """
    config, manifest = run.read_training_config(), run.read_manifest()
    events, _ = run.read_events()
    # A step that was made again after an interruption counts as it was the last time.
    steps = {event.step: event for event in _all(events, StepLogged)}
    evaluations = {event.step: event for event in _all(events, EvaluationFinished)}
    checkpoint = _checkpoint_step(weights)
    best = _best_step(config, evaluations) if checkpoint is None else None
    last = max(steps, default=None)
    step = next((number for number in (checkpoint, best, last) if number is not None), None)
    logged = steps.get(max((number for number in steps if step is not None and number <= step), default=-1))
    evaluated = None if step is None else evaluations.get(step)
    final = manifest if checkpoint is None else None
    model = _last(events, ModelLoaded)
    return RunFacts(
        config=config,
        data=data_facts(config, run),
        started=datetime.fromtimestamp(events[0].time, UTC) if events else None,
        model=model,
        rows=_last(events, DataLoaded),
        step=step,
        steps=last,
        epochs=None if logged is None else logged.epoch,
        is_checkpoint=checkpoint is not None,
        is_best=best is not None,
        stop_reason=None if final is None else final.stop_reason,
        seconds=None if final is None else final.metrics.get("train_seconds"),
        device=_device(manifest, model),
        curve=_curve(config, steps, evaluations),
        metrics={**(logged.metrics if logged is not None else {}), **(evaluated.metrics if evaluated else {})},
        scores=_last(events, ScoresComputed) if checkpoint is None else None,
        versions={} if manifest is None else manifest.versions,
    )


def _curve(
    config: FineTuneJobConfig, steps: Mapping[int, StepLogged], evaluations: Mapping[int, EvaluationFinished]
) -> Curve:
    """The value that tells whether evaluations get better: the loss, or for GRPO the reward."""
    judged = best_metric(config.method.kind).name
    name = judged.removeprefix(_EVALUATED)
    return Curve(
        name,
        [(step, event.metrics[name]) for step, event in sorted(steps.items()) if name in event.metrics],
        [(step, event.metrics[judged]) for step, event in sorted(evaluations.items()) if judged in event.metrics],
    )


def _best_step(config: FineTuneJobConfig, evaluations: Mapping[int, EvaluationFinished]) -> int | None:
    """The step of the best evaluation, where its weights were kept."""
    metric = best_metric(config.method.kind)
    found = {step: event.metrics[metric.name] for step, event in evaluations.items() if metric.name in event.metrics}
    if not config.evaluation.keep_best or not found:
        return None
    return max(sorted(found), key=lambda step: found[step] if metric.higher_is_better else -found[step])


def _checkpoint_step(weights: Path) -> int | None:
    number = weights.name.removeprefix(_CHECKPOINT)
    return int(number) if weights.name.startswith(_CHECKPOINT) and number.isdecimal() else None


def _device(manifest: Manifest | None, model: ModelLoaded | None) -> str | None:
    measured = manifest.measured if manifest is not None else None
    if measured is not None and measured.device != THIS_COMPUTER:
        return measured.device
    return None if model is None else {"cpu": "CPU"}.get(model.device, model.device)


def _all(events: Iterable[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def _last(events: Iterable[Event], kind: type[E]) -> E | None:
    return next(reversed(_all(events, kind)), None)
