"""Trials: tries the longest batch of a run in a child process before the run is started, one at a time."""

import hashlib
import logging
import signal
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from shutil import rmtree
from typing import Literal

from pipeline.checks import smoke as findings
from pipeline.checks.finding import Finding
from pipeline.config import FineTuneJobConfig
from pipeline.errors import UserError
from pipeline.smoke import lack_of_memory
from pipeline.smoke_report import SmokeProgress, SmokeReport
from studio.line_client import LineClient, RequestFailed
from studio.scheduler import DeviceBusy, Scheduler
from studio.settings import Settings

logger = logging.getLogger(__name__)

_REMEMBERED = 32


class TrialCancelled(UserError):
    """Somebody ended the trial before it was done."""

    code = "trial_cancelled"


@dataclass
class Trial:
    """One trial: how far it is, and, when it is done, its report or the reason why it has none."""

    owner: str
    config: FineTuneJobConfig
    progress: SmokeProgress = SmokeProgress(stage="preparing", share=0.0, message="Starting")
    outcome: SmokeReport | UserError | None = None
    ended_for: Literal["cancelled", "time", ""] = ""
    client: LineClient | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def end(self, reason: Literal["cancelled", "time"]) -> None:
        """End the child, and what it has started."""
        self.ended_for = reason
        if self.client is not None:
            self.client.interrupt()


class Trials:
    """Starts trials as children, in a slot in which no run starts meanwhile, and remembers what came of them.

    A child gets the keys of its owner in its environment, as a run does, and ends with the studio.
    """

    def __init__(self, settings: Settings, scheduler: Scheduler, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._current: Trial | None = None
        self._latest: dict[str, Trial] = {}
        self._reports: OrderedDict[tuple[str, str], SmokeReport] = OrderedDict()

    def start(self, config: FineTuneJobConfig, *, owner: str) -> Trial:
        """Begin a trial of a configuration that was checked.

        Raises:
            DeviceBusy: another trial is made, or runs are active on every device.
            UserError: a stored key cannot be read.
        """
        with self._lock, ExitStack() as stack:
            if self._current is not None:
                raise DeviceBusy("Another trial is being made. Wait until it is done.")
            slot = stack.enter_context(self._scheduler.lend_slot())
            device = {} if slot is None else {"CUDA_VISIBLE_DEVICES": str(slot)}
            environment = {**self._environment, **self._scheduler.environment_for(owner), **device}
            trial = Trial(owner, config, client=LineClient("smokebench", environment, idle_seconds=0))
            lent = stack.pop_all()
            self._current = self._latest[owner] = trial
        threading.Thread(target=self._carry_out, args=(trial, lent), daemon=True, name="trial").start()
        return trial

    def run(self, config: FineTuneJobConfig, *, owner: str) -> SmokeReport:
        """Begin a trial and wait for its report. Raises what `start` raises, and TrialCancelled."""
        trial = self.start(config, owner=owner)
        trial.done.wait()
        match trial.outcome:
            case SmokeReport() as report:
                return report
            case UserError() as error:
                raise error
            case _:
                raise ValueError("the trial is done and has no outcome")

    def latest(self, *, owner: str) -> Trial | None:
        """The trial that goes on, or the last one."""
        return self._latest.get(owner)

    def cancel(self, *, owner: str) -> bool:
        """End the trial of `owner`; False where none goes on."""
        trial = self._current
        if trial is None or trial.owner != owner:
            return False
        trial.end("cancelled")
        return True

    def report_for(self, config: FineTuneJobConfig, *, owner: str) -> SmokeReport | None:
        """What the last trial of exactly this configuration found."""
        return self._reports.get((owner, _hash_of(config)))

    def close(self) -> None:
        """End the trial that goes on, and wait until it is gone."""
        trial = self._current
        if trial is not None:
            trial.end("cancelled")
            trial.done.wait()

    def _carry_out(self, trial: Trial, lent: ExitStack) -> None:
        limit = threading.Timer(self._settings.smoke_seconds, trial.end, args=("time",))
        limit.start()
        try:
            with lent:
                trial.outcome = self._ask(trial)
        except UserError as error:
            trial.outcome = error
        except Exception as error:
            logger.exception("a trial failed")
            trial.outcome = SmokeReport(findings=[findings.failed(f"{type(error).__name__}: {error}")], seconds=0)
        finally:
            limit.cancel()
            with self._lock:
                self._current = None
                if isinstance(trial.outcome, SmokeReport):
                    self._remember(trial, trial.outcome)
            trial.done.set()

    def _ask(self, trial: Trial) -> SmokeReport:
        client, folder = trial.client, self._settings.smoke
        if client is None:
            raise ValueError("the trial has no process")
        # What a studio that was killed may have left.
        rmtree(folder, ignore_errors=True)
        request = {"op": "smoke", "config": trial.config.model_dump(mode="json"), "folder": str(folder)}
        try:
            for reply in client.ask(request):
                if trial.ended_for:
                    break
                if reply["event"] == "done":
                    return SmokeReport.model_validate(reply["report"])
                told = {name: reply[name] for name in SmokeProgress.model_fields}
                trial.progress = SmokeProgress.model_validate(told)
        except RequestFailed as failure:
            if not trial.ended_for:
                return SmokeReport(findings=[_explain(failure, trial)], seconds=0)
        finally:
            client.close()
            rmtree(folder, ignore_errors=True)
        if trial.ended_for == "time":
            seconds = self._settings.smoke_seconds
            return SmokeReport(findings=[findings.timed_out(seconds)], seconds=seconds)
        raise TrialCancelled("The trial was cancelled.")

    def _remember(self, trial: Trial, report: SmokeReport) -> None:
        key = (trial.owner, _hash_of(trial.config))
        self._reports[key] = report
        self._reports.move_to_end(key)
        while len(self._reports) > _REMEMBERED:
            self._reports.popitem(last=False)


def _explain(failure: RequestFailed, trial: Trial) -> Finding:
    """What it means that the child ended, or could not answer."""
    if failure.exit_code is None:
        return findings.failed(str(failure))
    if failure.exit_code == -signal.SIGKILL:
        return lack_of_memory(trial.config, stage=trial.progress.stage)
    if failure.exit_code < 0:
        return findings.failed(f"the process was ended by {signal.Signals(-failure.exit_code).name}")
    return findings.failed(f"the process ended with exit code {failure.exit_code} and gave no reason")


def _hash_of(config: FineTuneJobConfig) -> str:
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()
