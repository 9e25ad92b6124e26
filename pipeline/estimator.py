"""The estimator process: says what runs will need, one JSON object a line in and out. It never loads weights.

in   {"id", "op": "estimate", "config": {…}, "devices": […], "train_rows", "eval_rows", "imports", "rates_file"}
     {"id", "op": "fit", "config": {…}, "device": {…}, "train_rows", "eval_rows", "imports", "rates_file"}
out  {"id", "event": "progress", "message"}*   then   {"id", "event": "done", "estimate" or "fit": {…}}
     or {"id", "event": "error", "code", "message"}
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from pipeline.config import FineTuneJobConfig
from pipeline.errors import UserError
from pipeline.estimate.rates import Rates
from pipeline.estimates import Device
from pipeline.line_server import LineServer, QuitRequest, Send, serve_standard_streams


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str | int
    config: FineTuneJobConfig
    train_rows: int = Field(0, ge=0)
    eval_rows: int = Field(0, ge=0)
    imports: Path
    keys: dict[str, SecretStr] = Field(
        {}, description="Variables to read the model with; they come through the pipe, which only this process reads."
    )
    rates_file: Path = Field(description="Where the rates of this machine are kept once they are measured.")


class EstimateRequest(_Request):
    """Estimate one run on some devices."""

    op: Literal["estimate"]
    devices: list[Device] = Field(min_length=1)


class FitRequest(_Request):
    """Find what makes a run fit a device."""

    op: Literal["fit"]
    device: Device


Request = Annotated[EstimateRequest | FitRequest | QuitRequest, Field(discriminator="op")]
_REQUEST: TypeAdapter[EstimateRequest | FitRequest | QuitRequest] = TypeAdapter(Request)


# Training and the pages go first.
_NICE = 10
# Files that this process has written.
_MEASURED: set[Path] = set()


class CalibrationFailed(UserError):
    """The speed of the device could not be measured."""

    code = "calibration_failed"


def answer(request: EstimateRequest | FitRequest, send: Send) -> dict[str, Any]:
    """The estimate, or what fits, as JSON types. Raises UserError."""
    with _keys_of(request):
        return _answer(request, send)


@contextmanager
def _keys_of(request: EstimateRequest | FitRequest) -> Iterator[None]:
    """The keys of the one who asks, in the environment until the answer is there."""
    usual = {name: os.environ.get(name) for name in request.keys}
    os.environ.update({name: key.get_secret_value() for name, key in request.keys.items()})
    try:
        yield
    finally:
        for name, value in usual.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _answer(request: EstimateRequest | FitRequest, send: Send) -> dict[str, Any]:
    from pipeline.estimate.libraries import import_libraries

    import_libraries()
    from pipeline.estimate.estimate_run import estimate_run, fit_run
    from pipeline.estimate.run_time import RowCounts

    counts = RowCounts(request.train_rows, request.eval_rows)

    def rates() -> Rates:
        return _rates(request.rates_file)

    if isinstance(request, EstimateRequest):
        estimate = estimate_run(
            request.config, request.devices, counts=counts, imports=request.imports, measured_rates=rates
        )
        return {"estimate": estimate.model_dump(mode="json")}
    found = fit_run(
        request.config,
        request.device,
        counts=counts,
        imports=request.imports,
        measured_rates=rates,
        progress=lambda message: send({"event": "progress", "message": message}),
    )
    return {"fit": found.model_dump(mode="json")}


def _rates(file: Path) -> Rates:
    """The rates of this machine, measured once; again later, if much else went on meanwhile."""
    if not file.exists() or (file not in _MEASURED and not Rates.model_validate_json(file.read_bytes()).is_quiet):
        _MEASURED.add(file)
        _measure(file)
    return Rates.model_validate_json(file.read_bytes())


def _measure(file: Path) -> None:
    from pipeline.estimate.calibrate import write_rates
    from pipeline.model_manager import choose_device

    if choose_device().type == "cpu":
        write_rates(file)
        return
    # In a process of its own, because it keeps some of a GPU's memory until it ends.
    command = [sys.executable, "-m", "pipeline.estimate.calibrate", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
    if done.returncode != 0:
        raise CalibrationFailed(f"The speed of this machine could not be measured: {done.stderr[-300:].strip()}")


def serve() -> int:
    """Answer standard input on standard output, after whatever else this computer has to do."""
    os.nice(_NICE)
    return serve_standard_streams(lambda send: LineServer(send, _REQUEST, answer))
