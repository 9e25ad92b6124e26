"""What the doors for programs show of a preflight: plain JSON types, in the documented shape and with all the rest."""

from typing import Any

from pipeline.errors import InvalidConfig
from pipeline.estimates import DeviceEstimate, MemoryEstimate, TimeEstimate
from pipeline.preflight import Preflight, best_device
from pipeline.prices import HourlyPrice, cost

_GB = 1e9
_MB = 1 << 20


def preflight_view(checked: Preflight, price: HourlyPrice | None) -> dict[str, Any]:
    """The findings as sentences and as data, and the estimate. Where clients know two names of a number, both are
    there. Gigabytes are 10**9 bytes, the megabytes of `estimated_vram_mb` 2**20."""
    shown = None if checked.estimate is None else best_device(checked.estimate)
    return {
        "ok": not checked.errors,
        "warnings": [finding.message for finding in checked.findings if finding.severity == "warning"],
        "errors": [finding.message for finding in checked.errors],
        "estimated_vram_mb": 0 if shown is None else round(shown.memory.total / _MB),
        "vram_breakdown": {} if shown is None else _breakdown(shown.memory),
        "time_per_step_ms": 0 if shown is None or shown.time is None else round(shown.time.step_seconds * 1000, 3),
        "throughput": {} if shown is None or shown.time is None else _throughput(shown.time),
        "findings": [finding.model_dump(mode="json") for finding in checked.findings],
        "steps": checked.total_steps,
        "train_rows": checked.train_rows,
        "eval_rows": checked.facts.eval_rows,
        "devices": [] if checked.estimate is None else [_device(found, price) for found in checked.estimate.devices],
        "estimate": None if checked.estimate is None else checked.estimate.model_dump(mode="json", exclude={"devices"}),
        "fit": None if checked.facts.fit is None else checked.facts.fit.model_dump(mode="json"),
    }


def problem_view(problem: InvalidConfig) -> dict[str, Any]:
    """A document that is no job: its problems as the errors of a preflight."""
    return {
        "ok": False,
        "warnings": [],
        "errors": [f"{item.field}: {item.message}" if item.field else item.message for item in problem.problems],
        "estimated_vram_mb": 0,
        "vram_breakdown": {},
        "time_per_step_ms": 0,
        "throughput": {},
        "findings": [
            {"code": problem.code, "severity": "error", "field": item.field, "message": item.message, "fixes": []}
            for item in problem.problems
        ],
    }


def _breakdown(memory: MemoryEstimate) -> dict[str, float]:
    held = memory.by_purpose
    model = held.get("weights", 0) + held.get("adapter", 0)
    activations = held.get("activations", 0) + held.get("logits", 0) + held.get("workspace", 0)
    return {
        "model_params_gb": _gb(model),
        "model_gb": _gb(model),
        "activations_gb": _gb(activations),
        "gradients_gb": _gb(held.get("gradients", 0)),
        "optimizer_gb": _gb(held.get("optimizer", 0)),
        "total_gb": _gb(memory.tensors),
        "total_with_buffer_gb": _gb(memory.total),
    }


def _throughput(time: TimeEstimate) -> dict[str, float]:
    samples, tokens = round(time.samples_per_second, 3), round(time.tokens_per_second, 1)
    return {
        "samples_per_second": samples,
        "samples_per_sec": samples,
        "tokens_per_second": tokens,
        "tokens_per_sec": tokens,
    }


def _device(found: DeviceEstimate, price: HourlyPrice | None) -> dict[str, Any]:
    memory = {**found.memory.model_dump(mode="json"), "total": found.memory.total}
    shown = {"name": found.name, "free": found.free, "verdict": found.verdict, "memory": memory, "time": None}
    if found.time is None:
        return shown
    seconds = found.time.total_seconds
    dollars = None if price is None else {"dollars": round(cost(seconds, price), 4), "price_from": price.source}
    return {**shown, "time": {**found.time.model_dump(mode="json"), "total_seconds": seconds}, "cost": dollars}


def _gb(count: int) -> float:
    return round(count / _GB, 4)
