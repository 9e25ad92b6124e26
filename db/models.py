"""The tables."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import JSON, BigInteger, Column, Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from db.columns import PydanticJSON, UtcDateTime, utc_now
from db.states import JobState
from pipeline.config import FineTuneJobConfig, JobConfig
from pipeline.data_config import AugmentJobConfig, ImportJobConfig
from pipeline.export_config import ExportJobConfig

_DOCUMENTS = (FineTuneJobConfig, ImportJobConfig, AugmentJobConfig, ExportJobConfig)


def new_id() -> str:
    """A fresh UUID."""
    return str(uuid4())


def _time(*, default_now: bool = False, nullable: bool = False) -> Any:
    if default_now:
        return Field(default_factory=utc_now, sa_column=Column(UtcDateTime, nullable=nullable))
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=True))


class Job(SQLModel, table=True):
    """One run: its frozen document, where it stands, and the process that works on it."""

    id: str = Field(default_factory=new_id, primary_key=True)
    job_id: str = Field(unique=True, index=True)
    kind: str = Field(default="train")
    name: str
    owner: str = Field(index=True)
    config: Any = Field(sa_column=Column(PydanticJSON(JobConfig, classes=_DOCUMENTS), nullable=False))
    config_hash: str = Field(index=True)
    state: JobState = Field(default=JobState.QUEUED, sa_column=Column(String, nullable=False, index=True))
    stage: str = ""
    message: str = ""
    progress: float = 0.0
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    latest: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    stopped_early: bool = False
    keep_on_stop: bool = False
    priority: int = 0
    attempt: int = 0
    gpu: int | None = None
    pid: int | None = None
    process_started: float | None = None
    boot_id: str | None = None
    nonce: str | None = None
    events_offset: int = Field(default=0, sa_type=BigInteger)
    revision: int = 0
    exit_code: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at: datetime = _time(default_now=True)
    queued_at: datetime = _time(default_now=True)
    started_at: datetime | None = _time()
    stopping_at: datetime | None = _time()
    heartbeat_at: datetime | None = _time()
    finished_at: datetime | None = _time()

    @property
    def training(self) -> FineTuneJobConfig:
        """The document of a fine-tuning run. Raises TypeError for a job of another kind."""
        if not isinstance(self.config, FineTuneJobConfig):
            raise TypeError(f"{self.job_id} is a job of kind {self.kind}")
        return self.config


class JobTransition(SQLModel, table=True):
    """One change of a job's state and its cause."""

    __tablename__: ClassVar[str] = "job_transition"

    id: int | None = Field(default=None, primary_key=True)
    job: str = Field(foreign_key="job.id", index=True, ondelete="CASCADE")
    source: str
    target: str
    reason: str
    created_at: datetime = _time(default_now=True)


class Metric(SQLModel, table=True):
    """One value that a job logged at a step; a step's value is stored once."""

    # A row id must not come back after its row is deleted: readers continue after the last id they saw.
    __table_args__ = (
        UniqueConstraint("job", "step", "name"),
        Index("ix_metric_job_id", "job", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    job: str = Field(foreign_key="job.id", ondelete="CASCADE")
    step: int
    name: str
    value: float
    created_at: datetime = _time(default_now=True)


class Artifact(SQLModel, table=True):
    """One result of a job: a folder below its run folder."""

    __table_args__ = (UniqueConstraint("job", "kind"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    job: str = Field(foreign_key="job.id", index=True, ondelete="CASCADE")
    kind: str
    path: str
    size_bytes: int = Field(sa_type=BigInteger)
    created_at: datetime = _time(default_now=True)


class Dataset(SQLModel, table=True):
    """An imported data set: where it lies, what it was taken for, and what is known about its rows.

    Equal content has an equal `checksum`. New content under a name that its owner has used is a new `version`.
    """

    __table_args__ = (UniqueConstraint("owner", "name", "version"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    name: str = Field(index=True)
    version: int = 1
    description: str = ""
    source: str = ""
    path: str
    job: str | None = Field(default=None, foreign_key="job.id", ondelete="SET NULL")
    shape: str = ""
    format: str = ""
    modality: str = "text"
    confidence: float = 0.0
    num_samples: int
    usable_samples: int = 0
    unreadable_samples: int = 0
    size_bytes: int = Field(sa_type=BigInteger)
    checksum: str = Field(index=True)
    columns: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    splits: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    recognition: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON, nullable=True))
    integrity_checked: bool = False
    integrity_passed: bool = False
    integrity_report: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: datetime = _time(default_now=True)
    updated_at: datetime = _time(default_now=True)


class Draft(SQLModel, table=True):
    """A half-filled wizard: the raw values as typed, and the step it stands on."""

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    step: int = 0
    values: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    updated_at: datetime = _time(default_now=True)


class Activity(SQLModel, table=True):
    """Something that happened, as the feed shows it."""

    id: str = Field(default_factory=new_id, primary_key=True)
    sequence: int = Field(default=0, index=True)
    owner: str = Field(index=True)
    event_type: str = Field(index=True)
    entity_type: str
    entity_id: str
    title: str
    message: str
    status: str
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    read: bool = Field(default=False, index=True)
    created_at: datetime = _time(default_now=True)


class Secret(SQLModel, table=True):
    """One stored key of an owner: its name as an environment variable, and its value encrypted."""

    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    name: str
    encrypted_value: str = Field(repr=False)
    last_four: str = Field(repr=False)
    created_at: datetime = _time(default_now=True)
    updated_at: datetime = _time(default_now=True)
