"""RunDir: the only place that knows the names of the files in a run folder."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.config import AnyJobConfig, FineTuneJobConfig
from pipeline.errors import InvalidConfig, Problem
from pipeline.events import ArtifactKind, Event, Metrics, ScoresComputed, StopReason, append_event, read_events
from pipeline.measurements import Measurements
from pipeline.validation import parse_any_job_config

_HASH_CHUNK_BYTES = 1 << 20


class ManifestFile(BaseModel):
    """One file of a result, `path` relative to the run folder."""

    path: str
    size_bytes: int
    sha256: str


class ManifestArtifact(BaseModel):
    """One result: a folder of the run folder and the files in it."""

    kind: ArtifactKind
    path: str
    files: list[ManifestFile]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


class Manifest(BaseModel):
    """`result.json`: written last, so that a run that has it is complete."""

    model_config = ConfigDict(extra="forbid")
    stopped_early: bool
    stop_reason: StopReason | None = None
    metrics: Metrics
    artifacts: list[ManifestArtifact]
    versions: dict[str, str]
    measured: Measurements | None = None


@dataclass(frozen=True)
class RunDir:
    """One run's folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The job document."""
        return self.path / "config.json"

    @property
    def events_file(self) -> Path:
        """One JSON line an event."""
        return self.path / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """Standard output and error of the process."""
        return self.path / "log.txt"

    @property
    def manifest_file(self) -> Path:
        """The manifest, written last."""
        return self.path / "result.json"

    @property
    def checkpoints(self) -> Path:
        """The trainer's checkpoints."""
        return self.path / "checkpoints"

    @property
    def compiled_code(self) -> Path:
        """Code that a provider writes for itself while it works."""
        return self.path / "compiled_code"

    @property
    def tracking(self) -> Path:
        """Files of the trackers: what they keep, and how far they are."""
        return self.path / "tracking"

    def artifact(self, kind: ArtifactKind) -> Path:
        """The folder of the result of this kind."""
        return self.path / kind

    def create(self, config: AnyJobConfig) -> None:
        """Make the folder and write the job document; an existing document is replaced atomically."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_atomically(self.config_file, config.model_dump_json(indent=2))

    def read_config(self) -> AnyJobConfig:
        """The job document of this run."""
        return parse_any_job_config(json.loads(self.config_file.read_text(encoding="utf-8")))

    def read_training_config(self) -> FineTuneJobConfig:
        """The job document of a fine-tuning run. Raises InvalidConfig for a job of another kind."""
        config = self.read_config()
        if not isinstance(config, FineTuneJobConfig):
            problem = Problem("kind", f"{self.path.name} is a job of kind {config.kind}, not a training run.")
            raise InvalidConfig([problem])
        return config

    def append(self, event: Event) -> None:
        """Append one event."""
        append_event(self.events_file, event)

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Events after byte `offset` and the next offset."""
        return read_events(self.events_file, offset)

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run folder; one that is there is replaced at once, or not at all."""
        _write_atomically(self.path / name, text)
        return self.path / name

    def write_held_out(self, pairs: list[tuple[str, str]]) -> None:
        """Write questions and answers that were not trained on, to try the result with."""
        _write_atomically(self.path / "held_out.json", json.dumps(pairs, ensure_ascii=False))

    def read_held_out(self) -> list[tuple[str, str]]:
        """Questions and answers that were not trained on; empty where none were held out."""
        file = self.path / "held_out.json"
        return [(question, answer) for question, answer in json.loads(file.read_text("utf-8"))] if file.exists() else []

    def write_scores(self, scores: ScoresComputed) -> None:
        """Write what the base and the tuned model answered, and how well."""
        _write_atomically(self.path / "scores.json", scores.model_dump_json(indent=2))

    def request_stop(self) -> None:
        """Ask the process to stop at its next step and keep what it has learned."""
        (self.path / "stop_requested").touch()

    def stop_requested(self) -> bool:
        """Whether somebody asked the process to stop and keep."""
        return (self.path / "stop_requested").exists()

    def describe_artifact(self, kind: ArtifactKind) -> ManifestArtifact:
        """Size and SHA-256 of every file of the result of this kind."""
        folder = self.artifact(kind)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return ManifestArtifact(kind=kind, path=kind, files=[self.describe_file(file) for file in files])

    def describe_file(self, file: Path) -> ManifestFile:
        """Size and SHA-256 of one file below the run folder."""
        return ManifestFile(path=str(file.relative_to(self.path)), size_bytes=file.stat().st_size, sha256=_sha256(file))

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest; from then on the run counts as complete."""
        _write_atomically(self.manifest_file, manifest.model_dump_json(indent=2))

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None while the run is not complete or a listed file is missing or has another size."""
        if not self.manifest_file.exists():
            return None
        manifest = Manifest.model_validate_json(self.manifest_file.read_text(encoding="utf-8"))
        files = [file for artifact in manifest.artifacts for file in artifact.files]
        intact = all(
            (self.path / file.path).is_file() and (self.path / file.path).stat().st_size == file.size_bytes
            for file in files
        )
        return manifest if intact else None


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
