"""Settings: where things are and who may come in, read from the environment once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InvalidConfig, Problem
from pipeline.hardware_specs import find_flavor
from pipeline.prices import read_flavor, read_price

PROJECT = Path(__file__).resolve().parents[1]
DEFAULT_PORT = 7860
# Downloads of models are part of a trial.
DEFAULT_SMOKE_SECONDS = 1800.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """One studio's surroundings."""

    home: Path
    database_url: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    on_space: bool = False
    space_flavor: str | None = None
    price_per_hour: float | None = None
    gcs_export_bucket: str | None = None
    s3_export_bucket: str | None = None
    access_token: str | None = None
    max_upload_bytes: int = 500_000_000
    tick_seconds: float = 0.5
    stop_grace_seconds: float = 15.0
    smoke_seconds: float = DEFAULT_SMOKE_SECONDS

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, host: str | None = None, port: int | None = None
    ) -> "Settings":
        """Settings from LAPIDARY_HOME, DATABASE_URL, GRADIO_SERVER_NAME, GRADIO_SERVER_PORT, LAPIDARY_TOKEN,
        LAPIDARY_SMOKE_SECONDS, LAPIDARY_PRICE_PER_HOUR (US dollars), GCS_EXPORT_BUCKET_NAME and S3_EXPORT_BUCKET_NAME;
        `host` and `port` win over them. On a Space the home is /data, which
        survives restarts.

        Raises:
            InvalidConfig: the port or the price is none.
        """
        on_space = "SPACE_ID" in environ
        default_home = "/data" if on_space else str(Path.home() / ".lapidary")
        home = Path(environ.get("LAPIDARY_HOME", default_home)).expanduser().resolve()
        default_host = "0.0.0.0" if on_space else "127.0.0.1"  # noqa: S104 - a Space's proxy comes from outside
        return cls(
            home=home,
            database_url=environ.get("DATABASE_URL", f"sqlite:///{home / 'lapidary.db'}"),
            host=host if host is not None else environ.get("GRADIO_SERVER_NAME", default_host),
            port=port if port is not None else _port(environ.get("GRADIO_SERVER_PORT", str(DEFAULT_PORT))),
            on_space=on_space,
            space_flavor=read_flavor(environ),
            price_per_hour=read_price(environ),
            gcs_export_bucket=environ.get("GCS_EXPORT_BUCKET_NAME"),
            s3_export_bucket=environ.get("S3_EXPORT_BUCKET_NAME"),
            access_token=environ.get("LAPIDARY_TOKEN"),
            smoke_seconds=_seconds(environ, "LAPIDARY_SMOKE_SECONDS", default=DEFAULT_SMOKE_SECONDS),
        )

    @property
    def runs(self) -> Path:
        """Run folders, one a job."""
        return self.home / "runs"

    @property
    def uploads(self) -> Path:
        """Data files that users gave."""
        return self.home / "datasets"

    @property
    def imports(self) -> Path:
        """Files that were named by their path, as the studio read them; may be deleted at any time."""
        return self.home / "imports"

    @property
    def smoke(self) -> Path:
        """What the trial of a run writes; empty when none is made."""
        return self.home / "smoke"

    @property
    def temporary(self) -> Path:
        """Private temporary files of the web process."""
        return self.home / "tmp"

    @property
    def assets(self) -> Path:
        """Files that ship with the studio."""
        return PROJECT / "assets"

    @property
    def is_local(self) -> bool:
        """Whether only this machine's user can reach the studio."""
        return self.host in LOOPBACK and not self.on_space

    @property
    def is_ephemeral(self) -> bool:
        """Whether the home is lost at a restart: on a Space, unless storage is attached there."""
        return self.on_space and not any(folder.is_mount() for folder in (self.home, *self.home.parents[:-1]))

    @property
    def sleeps_after_hours(self) -> int | None:
        """Hours without a visit after which the studio is stopped, where that is fixed.

        None also where a Space's owner may have set a time: no variable tells it, only the Hub's API does, as
        `gcTimeout` of the Space's runtime.
        """
        hardware = None if self.space_flavor is None else find_flavor(self.space_flavor)
        return None if hardware is None else hardware.sleeps_after_hours

    @property
    def journal_mode(self) -> str:
        """SQLite's journal: WAL needs shared memory, which a Space's network disk lacks."""
        return "DELETE" if self.on_space else "WAL"


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InvalidConfig([Problem("GRADIO_SERVER_PORT", f"{text!r} is not a port. Give a number from 1 to 65535.")])
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, *, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise InvalidConfig([Problem(name, f"{text!r} is no number of seconds. Give a whole number from 1 on.")])
    return float(text)


def prepare_home(settings: Settings) -> None:
    """Make the folders of the studio, private to its user."""
    for folder in (settings.home, settings.runs, settings.uploads, settings.temporary, settings.temporary / "empty"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def isolate_process(settings: Settings, environ: "os._Environ[str]") -> None:
    """Point temporary files and the working directory to private folders.

    Gradio serves what a handler returns from below the working directory or the temporary folder, so neither may hold
    anything else. Call before gradio is imported.
    """
    environ["TMPDIR"] = str(settings.temporary)
    environ["GRADIO_TEMP_DIR"] = str(settings.temporary / "gradio")
    environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.chdir(settings.temporary / "empty")
