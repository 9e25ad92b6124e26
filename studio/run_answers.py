"""What a run's model answered to held-out prompts, read from the run's own events."""

from typing import Any

from pipeline.events import SamplesAnswered, ScoresComputed
from pipeline.run_dir import RunDir


def answers_of(run_dir: RunDir) -> dict[str, Any]:
    """The sample answers by step, the last of each step, and the scores of base against tuned; None without any."""
    events, _ = run_dir.read_events()
    samples = {event.step: event for event in events if isinstance(event, SamplesAnswered)}
    scores = [event for event in events if isinstance(event, ScoresComputed)]
    return {
        "samples": [samples[step].model_dump(mode="json", exclude={"time", "type"}) for step in sorted(samples)],
        "scores": scores[-1].model_dump(mode="json", exclude={"time", "type"}) if scores else None,
    }
