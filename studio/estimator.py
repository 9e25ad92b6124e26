"""Estimator: the child process that says what runs will need, asked once for each configuration."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.checks.facts import Facts
from pipeline.config import FineTuneJobConfig
from pipeline.estimate_history import EstimateHistory, corrected
from pipeline.estimates import Device, Estimate, Fit, MemoryEstimate
from studio.databench import data_stamps
from studio.line_client import LineClient

IDLE_SECONDS = 300.0
_REMEMBERED = 128
# What changes neither memory nor time of a step.
_WITHOUT_EFFECT = ("name", "tracking", "export", "evaluation")
# Bytes of a weight, its gradient and two moments in fp32; four times as much, and the libraries, for all the rest.
_AMPLE_BYTES_A_WEIGHT, _AMPLE_BYTES = 64, 2 << 30


@dataclass(frozen=True)
class Subject:
    """A run that is asked about: its configuration, what is known of it, and keys to read its model with."""

    config: FineTuneJobConfig
    facts: Facts
    keys: Mapping[str, str] = field(repr=False)


class Estimator:
    """Asks `python -m pipeline estimator`; remembers what it said while the rows stay as they are."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        imports: Path,
        rates: Path,
        history: Callable[[str], EstimateHistory],
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._client = LineClient("estimator", environment, idle_seconds=idle_seconds)
        self._imports = imports
        self._rates = rates
        self.history = history
        self._known: OrderedDict[str, Estimate | Fit] = OrderedDict()
        self._lock = threading.Lock()
        self.close_if_idle = self._client.close_if_idle
        self.close = self._client.close

    def known(self, subject: Subject, devices: Sequence[Device]) -> Estimate | None:
        """The estimate if this configuration was asked for before, against the memory that is free now."""
        found = self._recall(_key("estimate", subject, devices))
        return self._as_of_now(found, devices) if isinstance(found, Estimate) else None

    def estimate(self, subject: Subject, devices: Sequence[Device]) -> Estimate:
        """What the run needs on each device.

        Raises:
            RequestFailed: the model's configuration cannot be had, the rows cannot be used, or the process died.
        """
        key = _key("estimate", subject, devices)
        found = self._recall(key)
        if not isinstance(found, Estimate):
            request = {"op": "estimate", "devices": [device.model_dump(mode="json") for device in devices]}
            found = Estimate.model_validate(self._ask(request, subject)["estimate"])
            self._remember(key, found)
        return self._as_of_now(found, devices)

    def fit(self, subject: Subject, device: Device, progress: Callable[[str], None] | None = None) -> Fit:
        """What makes the run fit the device. Raises RequestFailed."""
        memory = self.estimate(subject, [device]).devices[0].memory
        device = device.model_copy(update={"free": _as_traced(device.free or 0, memory)})
        # Unlike the memory of a run, what fits depends on what is free; in steps, so that it can be remembered.
        key = _key(f"fit {(device.free or 0) >> 28}", subject, [device])
        found = self._recall(key)
        if not isinstance(found, Fit):
            request = {"op": "fit", "device": device.model_dump(mode="json")}
            found = Fit.model_validate(self._ask(request, subject, progress)["fit"])
            self._remember(key, found)
        return found

    def _ask(
        self, request: dict[str, Any], subject: Subject, progress: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        last: dict[str, Any] = {}
        common = {
            "config": subject.config.model_dump(mode="json"),
            "train_rows": subject.facts.train_rows,
            "eval_rows": subject.facts.eval_rows,
            "keys": dict(subject.keys),
            "imports": str(self._imports),
            "rates_file": str(self._rates),
        }
        for last in self._client.ask({**request, **common}):
            if progress is not None and last["event"] == "progress":
                progress(last["message"])
        return last

    def _as_of_now(self, estimate: Estimate, devices: Sequence[Device]) -> Estimate:
        """With what past runs have taught, and against the memory that is free now."""
        free = {device.name: device.free for device in devices}
        judged = [found.model_copy(update={"free": free[found.name]}) for found in estimate.devices]
        current = estimate.model_copy(update={"devices": judged})
        for device in devices:
            current = corrected(current, self.history(device.name))
        return current

    def _recall(self, key: str) -> Estimate | Fit | None:
        with self._lock:
            return self._known.get(key)

    def _remember(self, key: str, found: Estimate | Fit) -> None:
        with self._lock:
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def is_ample(facts: Facts, devices: Sequence[Device]) -> bool:
    """Whether so much more memory is free than such a small model takes that no estimate is worth waiting for."""
    if facts.model is None or not devices:
        return False
    needed = facts.model.weights_bytes / 2 * _AMPLE_BYTES_A_WEIGHT + _AMPLE_BYTES
    return all(device.free is not None and device.free > needed for device in devices)


def _as_traced(free: int, memory: MemoryEstimate) -> int:
    """The free memory less what past runs took beyond what was traced, as a share."""
    traced = memory.total - memory.context - memory.correction
    return min(free, memory.context + round((free - memory.context) * traced / (traced + memory.correction)))


def _key(what: str, subject: Subject, devices: Sequence[Device]) -> str:
    document = subject.config.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    named = [(device.name, device.on_gpu) for device in devices]
    rows = (subject.facts.train_rows, subject.facts.eval_rows)
    return json.dumps([what, document, named, rows, data_stamps(subject.config.dataset)])
