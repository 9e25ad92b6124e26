"""Weights & Biases: a run on its server, or files below the run folder where there is no server to be had."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import wandb

from pipeline.events import TrackerLinked, WarningRaised
from pipeline.trackers import TrackedRun, TrackerFailed
from pipeline.trackers.document import shown_settings

logger = logging.getLogger(__name__)

# Shares of the time that the run waits at its end. A short run may need both, and time is left to keep the values.
_OPEN_SHARE = 0.4
_FINISH_SHARE = 0.5
_STEP = "step"
_LONGEST_REASON = 300


class WandbTracker:
    """One run of the wandb library, which sends from a process of its own."""

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        # The library's own steps must grow; an evaluation comes after the step it belongs to.
        run.define_metric("*", step_metric=_STEP)

    def log(self, values: Mapping[str, float], *, step: int, time: float) -> None:
        """Hand on the values of a step."""
        self._run.log({**values, _STEP: step})

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Put what is known into the summary."""
        self._run.summary.update(dict(facts))

    def flush(self) -> None:
        """Nothing to do: what was logged is in the other process."""

    def finish(self, *, completed: bool) -> None:
        """End the run as finished or failed.

        Raises:
            TrackerFailed: not everything could be sent in time.
        """
        try:
            self._run.finish(exit_code=0 if completed else 1)
        except TimeoutError as error:
            raise TrackerFailed(f"Its server did not take everything in time. {_kept(self._run)}") from error
        wandb.teardown()


def open_tracker(run: TrackedRun) -> WandbTracker:
    """A run on the server. Where that fails, one in files, and a warning that says how to send them."""
    _keep_files_in(run.folder / "wandb")
    if run.config.tracking.wandb_offline:
        return WandbTracker(_init(run, mode="offline"))
    try:
        if not os.environ.get("WANDB_API_KEY"):
            raise wandb.Error("there is no WANDB_API_KEY")
        opened = _init(run, mode="online")
    except (wandb.Error, TimeoutError, ValueError) as error:
        logger.exception("no run on the server")
        # Its process still holds the id of the run.
        wandb.teardown()
        tracker = WandbTracker(_init(run, mode="offline"))
        run.report(WarningRaised(code="tracker_offline", message=_offline_sentence(tracker._run, error)))
        return tracker
    if opened.url is not None:
        run.report(TrackerLinked(tracker="wandb", url=opened.url))
    return WandbTracker(opened)


def _init(run: TrackedRun, *, mode: Literal["online", "offline"]) -> wandb.Run:
    wait_seconds = run.config.tracking.wait_seconds
    settings = wandb.Settings(
        mode=mode,
        root_dir=str(run.folder),
        project=run.config.tracking.project,
        run_id=run.run_id,
        run_name=run.config.name,
        resume="allow",
        init_timeout=_OPEN_SHARE * wait_seconds,
        finish_timeout=_FINISH_SHARE * wait_seconds,
        finish_timeout_raises=True,
        # Nothing but the values: no console, no code, nothing of this machine.
        console="off",
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        label_disable=True,
        program="lapidary",
        host="lapidary",
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
        silent=True,
    )
    return wandb.init(settings=settings, config=shown_settings(run.config))


def _keep_files_in(folder: Path) -> None:
    """Keep the library's files out of the home folder, and its reports about itself at home."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        os.environ[f"WANDB_{name}_DIR"] = str(folder / name.lower())
    os.environ["WANDB_ERROR_REPORTING"] = "false"


def _offline_sentence(run: wandb.Run, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".")[:_LONGEST_REASON]
    return f"Weights & Biases cannot be used: {reason}. {_kept(run)}"


def _kept(run: wandb.Run) -> str:
    folder = run.settings.sync_dir
    flag = "" if run.offline else "--include-online "
    return f"The values are kept in {folder}; send them with: wandb sync {flag}{folder}"
