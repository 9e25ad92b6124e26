"""`python -m pipeline preflight`: what is wrong with a run and what it will need, in a shell."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.checks.facts import Facts, gather_facts
from pipeline.checks.machine import Gpu
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection, inspect_data
from pipeline.devices import device_of_type, devices_for
from pipeline.errors import DataProblem, UserError
from pipeline.estimate.calibrate import measure_rates
from pipeline.estimate.estimate_run import estimate_run
from pipeline.estimate.rates import Rates
from pipeline.estimate.run_time import RowCounts
from pipeline.estimates import PURPOSES, Device, DeviceEstimate
from pipeline.model_manager import choose_device
from pipeline.preflight import Preflight, check
from pipeline.preflight_view import preflight_view

_VERDICTS = {"fits": "fits", "tight": "may just fit", "does_not_fit": "does not fit", None: "memory not known"}


def run_preflight(config: FineTuneJobConfig, *, home: Path, gpu_types: Sequence[str], as_json: bool) -> int:
    """Print the preflight; `gpu_types` name GPUs in place of this machine's.

    Returns:
        0, or 1 where the run could not start.
    """
    imports = home / "imports"
    data = _inspect(config, imports)
    gpus = tuple(_gpus())
    facts = gather_facts(config, data=data, output_dir=home, gpus=gpus)
    named = [device_of_type(name) for name in gpu_types]
    devices = named or devices_for(gpus, facts.free_memory_bytes, facts.cpu_has_bf16)
    checked = check(config, _with_estimate(config, facts, devices, imports))
    if as_json:
        sys.stdout.write(json.dumps(preflight_view(checked, None), ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(_table(checked))
    return 1 if checked.errors else 0


def _inspect(config: FineTuneJobConfig, imports: Path) -> Inspection | DataProblem:
    try:
        return inspect_data(config.dataset, imports=imports, seed=config.training.seed)
    except DataProblem as problem:
        return problem


def _with_estimate(config: FineTuneJobConfig, facts: Facts, devices: Sequence[Device], imports: Path) -> Facts:
    if isinstance(facts.data, DataProblem):
        return facts
    rates: list[Rates] = []

    def measured() -> Rates:
        if not rates:
            rates.append(measure_rates(choose_device()))
        return rates[0]

    counts = RowCounts(facts.train_rows, facts.eval_rows)
    try:
        estimate = estimate_run(config, devices, counts=counts, imports=imports, measured_rates=measured)
    except UserError as problem:
        return replace(facts, estimate_problem=str(problem))
    return replace(facts, estimate=estimate)


def _gpus() -> list[Gpu]:
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
        found.append(Gpu(index, name, total, free, capability))
    return found


def _table(checked: Preflight) -> str:
    lines = []
    if checked.estimate is not None:
        estimate = checked.estimate
        lines.append(
            f"{estimate.parameters:,} weights, {estimate.trainable_parameters:,} trained; "
            f"{estimate.rows_at_once} rows at once, the longest {estimate.longest_tokens:,} tokens"
        )
        lines += [f"note: {text}" for text in estimate.assumptions]
        for device in estimate.devices:
            lines += _device_lines(device)
    lines += [f"{item.severity}: {item.field}: {item.message} [{item.code}]" for item in checked.findings]
    lines.append("The run cannot start." if checked.errors else "The run can start.")
    return "\n".join(lines) + "\n"


def _device_lines(device: DeviceEstimate) -> list[str]:
    memory = device.memory
    free = "" if device.free is None else f" of {device.free / 1e9:,.1f} GB free"
    lines = [
        f"{device.name}: {memory.total / 1e9:,.2f} GB{free} ({memory.low / 1e9:,.2f} to {memory.high / 1e9:,.2f}), "
        f"{memory.moment}: {_VERDICTS[device.verdict]}"
    ]
    parts = [(name, memory.by_purpose.get(purpose, 0)) for purpose, name in PURPOSES.items()]
    parts += [("Allocator", memory.allocator), ("Driver and libraries", memory.context)]
    lines += [f"  {name:22}{size / 1e9:9,.3f} GB" for name, size in parts if size]
    if device.time is not None:
        time = device.time
        lines.append(
            f"  {time.steps:,} steps of {time.step_seconds:,.3f} s, {_duration(time.total_seconds)} in all "
            f"({_duration(time.low)} to {_duration(time.high)}), {time.tokens_per_second:,.0f} tokens a second, "
            f"{time.rates}"
        )
    return lines


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:,.1f} h" if hours >= 2 else f"{minutes:,.1f} min" if minutes >= 2 else f"{seconds:,.0f} s"
