"""Studio: a verb for each thing a user can do. Pages, the Gradio API and REST are skins over it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from db import activity, drafts, jobs
from db.database import Database
from db.models import Artifact, Draft, Job
from db.states import JobState
from pipeline.config import FineTuneJobConfig
from pipeline.data.fetch import kind_of_source
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem, InvalidConfig, Problem, UserError
from pipeline.estimate_history import ESTIMATE
from pipeline.estimates import Device, Fit
from pipeline.preflight import Preflight
from pipeline.run_dir import RunDir
from pipeline.validation import parse_job_config
from studio.augmentation import Augmentations
from studio.catalog import Catalog
from studio.containment import contain
from studio.datasets import ModelTraits, model_traits
from studio.estimator import Estimator, Subject
from studio.exports import Exports
from studio.fact_finder import FactFinder
from studio.keys import Keys
from studio.line_client import RequestFailed
from studio.preflight import PreflightFailed, check_before_start, check_fully, check_quickly, find_fit
from studio.recipes import Recipes
from studio.registry import Forbidden, Registry
from studio.reproduction import Reproduction
from studio.scheduler import Scheduler
from studio.settings import Settings
from studio.smoke import Trials
from studio.workbench import AnswerFailed, Prompt, Workbench

LOG_CHUNK_BYTES = 256 << 10
KEYS_TO_READ_MODELS = ("HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Studio:
    """The service layer. Every verb takes the owner that the caller was identified as, and checks it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        scheduler: Scheduler,
        *,
        registry: Registry,
        augmentations: Augmentations,
        exports: Exports,
        workbench: Workbench,
        catalog: Catalog,
        keys: Keys,
        facts: FactFinder,
        recipes: Recipes,
        estimator: Estimator,
        trials: Trials,
        reproduction: Reproduction,
    ) -> None:
        self.settings = settings
        self.database = database
        self.scheduler = scheduler
        self.registry = registry
        self.augmentations = augmentations
        self.exports = exports
        self.workbench = workbench
        self.catalog = catalog
        self.keys = keys
        self.facts = facts
        self.recipes = recipes
        self.estimator = estimator
        self.trials = trials
        self.reproduction = reproduction

    # Runs

    def preflight(self, data: Mapping[str, Any], *, owner: str) -> Preflight:
        """Check a configuration at once; what it needs is told only if that is known already.

        Raises:
            InvalidConfig, NotFound (its recipe)
        """
        return check_quickly(self._subject(data, owner=owner), self.estimator)

    def full_preflight(
        self, data: Mapping[str, Any], *, owner: str, devices: Sequence[Device] | None = None
    ) -> Preflight:
        """Check a configuration and estimate it, for other devices than this machine's if they are named.

        Raises as `preflight` does.
        """
        return check_fully(self._subject(data, owner=owner), self.estimator, devices=devices)

    def fit(self, data: Mapping[str, Any], *, owner: str, progress: Callable[[str], None] | None = None) -> Fit | None:
        """What makes the run fit this machine; None where nobody knows its memory. Raises RequestFailed."""
        return find_fit(self._subject(data, owner=owner), self.estimator, progress)

    def require_startable(self, data: Mapping[str, Any], *, owner: str) -> Preflight:
        """`preflight`. Raises PreflightFailed with the errors that forbid a run, too."""
        checked = check_before_start(self._subject(data, owner=owner), self.estimator)
        if checked.errors:
            raise PreflightFailed(checked.errors)
        return checked

    def submit(self, data: Mapping[str, Any], *, owner: str) -> Job:
        """Queue a run. Raises InvalidConfig, NotFound, or PreflightFailed with the errors that forbid it."""
        checked = self.require_startable(data, owner=owner)
        with self.database.write() as session:
            job = jobs.create_job(
                session, checked.config, owner=owner, dataset_name=checked.dataset_name, facts=_predicted(checked)
            )
        self.scheduler.wake()
        return job

    def job(self, identifier: str, *, owner: str) -> Job:
        """One run, by UUID or readable id. Raises NotFound, Forbidden."""
        job = self._any_job(identifier, owner=owner)
        if job.kind != "train":
            raise jobs.NotFound(f"{identifier} is no run but a job of kind {job.kind}.")
        return job

    def jobs(self, *, owner: str, limit: int = 100, offset: int = 0) -> tuple[Sequence[Job], int]:
        """Runs of `owner`, the newest first, and how many there are."""
        with self.database.read() as session:
            return jobs.list_jobs(session, owner=owner, limit=limit, offset=offset)

    def cancel(self, identifier: str, *, owner: str, keep: bool = False) -> Job:
        """Stop a job: a run with `keep` at its next step, saving what it has learned; else at once, discarding it.

        Raises:
            InvalidTransition: the run has ended already.
        """
        known = self._any_job(identifier, owner=owner)
        with self.database.write() as session:
            job = jobs.get_job(session, known.id)
            if job.state == JobState.QUEUED:
                jobs.transition(session, job, JobState.CANCELLED, reason="cancelled before it started")
            else:
                if job.state != JobState.STOPPING or keep or not job.keep_on_stop:
                    jobs.transition(session, job, JobState.STOPPING, reason="stop and keep" if keep else "cancelled")
                job.keep_on_stop = keep
        if keep and job.state == JobState.STOPPING:
            self.run_dir(job).request_stop()
        self.scheduler.wake()
        return job

    def run_dir(self, job: Job) -> RunDir:
        """The folder of a run."""
        return RunDir(self.settings.runs / job.job_id)

    def log(self, job: Job, *, offset: int) -> tuple[str, int]:
        """Log text from a byte offset on, and the next offset. A negative offset begins near the end."""
        path = self.run_dir(job).log_file
        if not path.exists():
            return "", 0
        size = path.stat().st_size
        start = max(0, size - LOG_CHUNK_BYTES) if offset < 0 else min(offset, size)
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(LOG_CHUNK_BYTES)
        return data.decode(errors="replace"), start + len(data)

    def artifacts(self, job: Job) -> Sequence[Artifact]:
        """Results of a run."""
        with self.database.read() as session:
            return jobs.artifacts_of(session, job)

    def artifact(self, identifier: str, *, owner: str) -> tuple[Job, Artifact]:
        """A result and its run. Raises NotFound, Forbidden."""
        with self.database.read() as session:
            artifact = session.get(Artifact, identifier)
        if artifact is None:
            raise jobs.NotFound(f"There is no result with the id {identifier!r}.")
        return self._any_job(artifact.job, owner=owner), artifact

    # Models

    def model_traits(self, reference: str) -> ModelTraits:
        """What decides whether a data set suits a model."""
        return model_traits(reference, self.catalog)

    # Drafts

    def draft(self, draft_id: str, *, owner: str) -> Draft | None:
        """A half-filled wizard of `owner`."""
        with self.database.read() as session:
            return drafts.get_draft(session, draft_id, owner=owner)

    def save_draft(self, draft_id: str, *, owner: str, step: int, values: dict[str, Any]) -> Draft:
        """Keep a half-filled wizard."""
        with self.database.write() as session:
            return drafts.save_draft(session, draft_id, owner=owner, step=step, values=values)

    def forget_draft(self, draft_id: str, *, owner: str) -> None:
        """Drop a wizard that was submitted."""
        with self.database.write() as session:
            drafts.delete_draft(session, draft_id, owner=owner)

    # Activity

    def activity(
        self, *, owner: str, limit: int = 100, offset: int = 0, unread_only: bool = False
    ) -> tuple[Sequence[Any], int, int]:
        """The feed, its length and the unread count."""
        with self.database.read() as session:
            entries, total = activity.list_activity(
                session, owner=owner, limit=limit, offset=offset, unread_only=unread_only
            )
            return entries, total, activity.unread_count(session, owner=owner)

    def mark_read(self, *, owner: str, entry: str | None = None) -> int:
        """Mark one entry or all as read."""
        with self.database.write() as session:
            return activity.mark_read(session, owner=owner, entry=entry)

    # Answers

    def answer(
        self, job: Job, *, side: str, messages: list[dict[str, str]], max_new_tokens: int, temperature: float
    ) -> Iterator[str]:
        """The answer of the base or the tuned model of a completed run, in pieces.

        Raises:
            AnswerFailed: the run is not complete, or the model cannot be loaded.
            InvalidConfig: an argument is out of its bounds.
        """
        if job.state != JobState.COMPLETED:
            raise AnswerFailed(f"{job.name} is {job.state}. Only a completed run has a model to ask.")
        folder = self.run_dir(job).artifact("model" if job.training.tuning.kind == "full" else "adapter")
        try:
            prompt = Prompt(
                base_model=job.training.model.base_model,
                adapter=str(folder),
                side=side,  # type: ignore[arg-type] - checked by the model
                messages=messages,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
        except ValidationError as error:
            problems = [Problem(str(detail["loc"][0]), detail["msg"]) for detail in error.errors()]
            raise InvalidConfig(problems) from error
        yield from self.workbench.answer(prompt)

    def _subject(self, data: Mapping[str, Any], *, owner: str) -> Subject:
        config = self._resolve(parse_job_config(self.recipes.document(data)), owner=owner)
        contain(config, self.settings)
        facts = self.facts.gather(config, data=self._look_at_data(config, owner=owner), owner=owner)
        return Subject(config, facts, self._keys_to_read_models(owner))

    def _keys_to_read_models(self, owner: str) -> dict[str, str]:
        try:
            return self.keys.environment_for(KEYS_TO_READ_MODELS, owner=owner)
        except UserError:
            # The run says what is wrong with the key; without it, only models that all may read are estimated.
            return {}

    def _any_job(self, identifier: str, *, owner: str) -> Job:
        with self.database.read() as session:
            job = jobs.get_job(session, identifier)
        if job.owner != owner:
            raise Forbidden(f"The run {identifier} belongs to somebody else. Ask its owner to share the result.")
        return job

    def _resolve(self, config: FineTuneJobConfig, *, owner: str) -> FineTuneJobConfig:
        """The configuration with registry ids of data sets replaced by their folders."""
        named = {"path": config.dataset.path, "eval_path": config.dataset.eval_path}
        found = {field: self._folder_of(value, owner=owner) for field, value in named.items() if value is not None}
        changed = {field: folder for field, folder in found.items() if folder is not None}
        if not changed:
            return config
        return config.model_copy(update={"dataset": config.dataset.model_copy(update=changed)})

    def _folder_of(self, value: str, *, owner: str) -> str | None:
        try:
            return self.registry.dataset(value, owner=owner).path
        except jobs.NotFound:
            return None

    def _look_at_data(self, config: FineTuneJobConfig, *, owner: str) -> Inspection | DataProblem | None:
        """What the data set holds, or what is wrong with it; None where it would have to be fetched first."""
        sources = [source for source in (config.dataset.path, config.dataset.eval_path) if source is not None]
        if any(kind_of_source(source) != "file" for source in sources):
            return None
        try:
            return self.registry.inspect(config.dataset, owner=owner, seed=config.training.seed)
        except DataProblem as problem:
            return problem
        except RequestFailed as failure:
            return DataProblem(str(failure))


def _predicted(checked: Preflight) -> dict[str, Any]:
    """What is to be compared with what the run will take."""
    return {} if checked.estimate is None else {ESTIMATE: checked.estimate.model_dump(mode="json")}
