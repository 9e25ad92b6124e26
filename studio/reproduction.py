"""What repeats a run: its document as YAML, as one command, and as a script on TRL with the rows it was trained on."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.models import Job
from pipeline.errors import UserError
from pipeline.reproduce.command_line import as_command
from pipeline.reproduce.run_facts import read_facts
from pipeline.reproduce.trl_script import as_trl_script
from pipeline.reproduce.yaml_document import as_yaml
from pipeline.run_dir import RunDir
from studio.settings import PROJECT, Settings

# Reading and tokenising the rows again; an import of as many takes about that.
_SECONDS = 900.0


class NotReproduced(UserError):
    """The rows of a run could not be written; the text has the reason."""

    code = "not_reproduced"


class Reproduction:
    """Reads what a run left; its rows are written by a child process."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._folder = settings.temporary
        self._environment = dict(environment)

    def texts(self, job: Job, folder: RunDir) -> dict[str, Any]:
        """`yaml`, `command`, and `script`, or why there is none as `no_script`."""
        config = job.training
        shown: dict[str, Any] = {"yaml": as_yaml(config), "command": as_command(config)}
        try:
            return {**shown, "script": as_trl_script(config, read_facts(folder)), "no_script": None}
        except UserError as error:
            return {**shown, "script": None, "no_script": str(error)}

    def pack(self, job: Job, folder: RunDir) -> Path:
        """A zip with the YAML, the command, the script and its rows, for the caller to delete.

        Raises:
            NotReproduced: the child failed, or took too long.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            written = Path(place) / job.name
            command = [sys.executable, "-m", "pipeline", "reproduce", str(folder.path), "--output-dir", str(written)]
            try:
                done = subprocess.run(  # noqa: S603 - our own module
                    command,
                    cwd=PROJECT,
                    env=self._environment,
                    capture_output=True,
                    text=True,
                    timeout=_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                told = f"Writing the rows took longer than {_SECONDS / 60:.0f} minutes. Run it in a shell."
                raise NotReproduced(told) from error
            if done.returncode != 0:
                raise NotReproduced(f"The files could not be written: {done.stderr.strip()[-500:]}")
            handle, name = tempfile.mkstemp(dir=self._folder, suffix=".zip")
            with open(handle, "wb") as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as packed:
                for file in sorted(written.iterdir()):
                    packed.write(file, f"{job.name}/{file.name}")
            return Path(name)
