"""How far an export is: its steps one after the other, each as long as it takes on two processor cores."""

from collections.abc import Mapping

from pipeline.exporters.order import Report
from pipeline.job_tracker import JobTracker

# Seconds a gigabyte of the base model, with the questions that are asked (benchmarks/export.py).
_SECONDS: Mapping[str, float] = {
    "adapter": 6,
    "merged": 12,
    "gguf": 20,
    "gguf_adapter": 25,
    "onnx": 40,
    "card": 1,
    "delivery": 15,
}
_SECONDS_A_QUANTIZATION = 15


class ExportSteps:
    """The steps of one export. `report` tells what is done in a step now."""

    def __init__(self, tracker: JobTracker, steps: list[str], *, quantizations: int) -> None:
        self._tracker = tracker
        costs = [_SECONDS[step] + (_SECONDS_A_QUANTIZATION * quantizations if step == "gguf" else 0) for step in steps]
        total = sum(costs)
        self._shares = [cost / total for cost in costs]
        self._step = -1
        self._behind = 0.0

    def begin(self) -> Report:
        """The next step begins: what takes its messages."""
        if self._step >= 0:
            self._behind += self._shares[self._step]
        self._step += 1
        behind, share, reached = self._behind, self._shares[self._step], 0.0

        def report(message: str, part: float | None = None, /) -> None:
            nonlocal reached
            reached = reached if part is None else max(reached, min(1.0, part))
            self._tracker.stage("exporting", message, progress=min(1.0, behind + share * reached))

        return report
