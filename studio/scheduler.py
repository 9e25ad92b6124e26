"""Scheduler: the one writer of job states. Starts queued jobs, reads what they report, stops and finishes them."""

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from db import jobs
from db.columns import utc_now
from db.database import Database
from db.models import Job
from db.states import JobState
from pipeline.checks.machine import Gpu
from pipeline.errors import UserError
from pipeline.run_dir import RunDir
from studio.datasets import register_import
from studio.death import explain_death
from studio.export_queue import queue_chosen_export
from studio.launchers import Exit, Launcher, ProcessIdentity
from studio.settings import Settings

logger = logging.getLogger(__name__)
_TICK = "tick"
# Imports and augmentations wait for disks and networks more than for the processor.
LIGHT_SLOTS = 2


class DeviceBusy(UserError):
    """What trains models is taken."""

    code = "device_busy"


class Scheduler:
    """A queue with one slot a GPU, or one slot where there is none; imports and augmentations have lanes of their own.

    Every tick is a function of the database, the run folders and the processes that live: a studio that was killed
    goes on where it stood.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        *,
        gpus: Sequence[Gpu],
        environment_for: Callable[[str], Mapping[str, str]] = lambda owner: {},
    ) -> None:
        self.settings = settings
        self.database = database
        self.launcher = launcher
        self.gpus = gpus
        self.environment_for = environment_for
        self._timer = BackgroundScheduler()
        # Held while a slot is chosen, so that none is given to two.
        self._choosing = threading.Lock()
        self._lent: list[int | None] = []

    def start(self) -> None:
        """Tick in a background thread until `close`."""
        # Missed ticks are of no interest: the next one sees the same state.
        self._timer.add_job(
            self.tick, "interval", seconds=self.settings.tick_seconds, id=_TICK, coalesce=True, max_instances=1
        )
        self._timer.start()

    def every(self, seconds: float, chore: Callable[[], None]) -> None:
        """Do a chore now and then, in the same threads as the ticks."""
        self._timer.add_job(chore, "interval", seconds=seconds, coalesce=True, max_instances=1)

    def wake(self) -> None:
        """Tick as soon as possible."""
        if self._timer.running:
            self._timer.modify_job(_TICK, next_run_time=utc_now())

    @contextmanager
    def lend_slot(self) -> Iterator[int | None]:
        """A slot in which no run is started while the body lasts: the index of its GPU, None where there is none.

        Raises:
            DeviceBusy: runs are active in all of them.
        """
        with self._choosing:
            with self.database.read() as session:
                running = [job for job in jobs.live_jobs(session) if job.kind == "train"]
            if len(running) + len(self._lent) >= max(1, len(self.gpus)):
                what = "A run" if running else "A trial"
                raise DeviceBusy(f"{what} is using what this machine trains on. Wait until it is done.")
            slot = self._free_gpu({job.gpu for job in running})
            self._lent.append(slot)
        try:
            yield slot
        finally:
            with self._choosing:
                self._lent.remove(slot)
            self.wake()

    def close(self) -> None:
        """Stop ticking; the children go on."""
        if self._timer.running:
            self._timer.shutdown()

    def tick(self) -> None:
        """One round over the live jobs and the queue. A job that makes trouble does not hold up the others."""
        with self.database.read() as session:
            live = [(job.id, job.job_id, job.kind) for job in jobs.live_jobs(session)]
            waiting = jobs.queued_kinds(session)
        for identifier, name, _ in live:
            try:
                self._attend(identifier)
            except Exception:
                logger.exception("The scheduler could not attend to %s; it tries again.", name)
        for kind in waiting:
            running = sum(other == kind for _, _, other in live)
            self._start_queued(kind, slots=self._slots(kind) - running)

    def _slots(self, kind: str) -> int:
        """Jobs of a kind that may run at once. Those that need no GPU do not wait for training to end."""
        if kind == "export":
            # Each reads and writes a whole model.
            return 1
        return max(1, len(self.gpus)) if kind == "train" else LIGHT_SLOTS

    def _attend(self, identifier: str) -> None:
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        identity = _identity(job)
        # The exit is asked for before the events are read, so that nothing reported before it is missed.
        ended = Exit(None) if identity is None else self.launcher.poll(identity)
        run_dir = RunDir(self.settings.runs / job.job_id)
        events, offset = run_dir.read_events(job.events_offset)
        if not events and ended is None and job.state != JobState.STOPPING:
            return
        with self.database.write() as session:
            job = jobs.get_job(session, identifier)
            if events:
                jobs.apply_events(session, job, events, offset=offset)
            if ended is not None:
                _finish(job, session, run_dir, ended)
        if ended is None and job.state == JobState.STOPPING and identity is not None:
            self._press(job, identity)

    def _press(self, job: Job, identity: ProcessIdentity) -> None:
        """Make a stopping job stop: ask, then after a grace period insist."""
        if job.stopping_at is None:
            raise ValueError(f"{job.job_id} is stopping since no known time")
        waited = utc_now() - job.stopping_at
        if job.keep_on_stop:
            return
        if waited > timedelta(seconds=self.settings.stop_grace_seconds):
            self.launcher.kill(identity)
        else:
            self.launcher.terminate(identity)

    def _start_queued(self, kind: str, *, slots: int) -> None:
        for started in range(slots):
            with self._choosing, self.database.write() as session:
                if kind == "train" and started + len(self._lent) >= slots:
                    return
                taken = {job.gpu for job in jobs.live_jobs(session)}
                job = jobs.claim_next(session, kind=kind)
                if job is None:
                    return
                if kind == "train":
                    job.gpu = self._free_gpu(taken)
                job.nonce = secrets.token_hex(16)
                session.add(job)
            self._launch(job)

    def _free_gpu(self, taken: Collection[int | None]) -> int | None:
        return next((gpu.index for gpu in self.gpus if gpu.index not in taken and gpu.index not in self._lent), None)

    def _launch(self, job: Job) -> None:
        run_dir = RunDir(self.settings.runs / job.job_id)
        device = {} if job.gpu is None else {"CUDA_VISIBLE_DEVICES": str(job.gpu)}
        try:
            run_dir.create(job.config)
            environment = {**self.environment_for(job.owner), **device}
            identity = self.launcher.start(run_dir, environment=environment, nonce=job.nonce or "")
        except OSError as error:
            message = f"The process could not be started: {error}. Free the resource it names and try again."
            self._fail_start(job, code="start_failed", message=message)
            return
        except UserError as error:
            self._fail_start(job, code=error.code, message=str(error))
            return
        with self.database.write() as session:
            stored = jobs.get_job(session, job.id)
            stored.pid, stored.process_started = identity.pid, identity.started
            stored.boot_id, stored.nonce = identity.boot_id, identity.nonce
            session.add(stored)

    def _fail_start(self, job: Job, *, code: str, message: str) -> None:
        with self.database.write() as session:
            jobs.fail_job(session, jobs.get_job(session, job.id), JobState.FAILED, code=code, message=message)


def _identity(job: Job) -> ProcessIdentity | None:
    if job.pid is None or job.process_started is None or job.boot_id is None or job.nonce is None:
        return None
    return ProcessIdentity(job.pid, job.process_started, job.boot_id, job.nonce)


def _finish(job: Job, session: jobs.Session, run_dir: RunDir, ended: Exit) -> None:
    """End a job whose process is gone, by the evidence it left: the manifest, its last words, its exit code."""
    job.exit_code = ended.code
    session.add(job)
    complete = run_dir.read_manifest() is not None and ended.code in (0, None)
    if complete and (job.state != JobState.STOPPING or job.keep_on_stop):
        if job.state == JobState.STARTING:
            jobs.transition(session, job, JobState.RUNNING, reason="the process reported")
        if job.kind == "import":
            register_import(session, job, run_dir)
        jobs.transition(session, job, JobState.COMPLETED, reason="the manifest and its files are there")
        if job.kind == "train":
            queue_chosen_export(session, job, run_dir)
    elif job.state == JobState.STOPPING and not job.error_code:
        jobs.transition(session, job, JobState.CANCELLED, reason="stopped by the user")
    elif job.error_code and job.error_message:
        jobs.fail_job(session, job, JobState.FAILED, code=job.error_code, message=job.error_message)
    else:
        code, message = explain_death(run_dir, ended.code)
        jobs.fail_job(session, job, _resting_state(job), code=code, message=message)


def _resting_state(job: Job) -> JobState:
    return JobState.FAILED if job.state == JobState.STOPPING else JobState.INTERRUPTED
