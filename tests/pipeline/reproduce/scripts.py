"""Runs of the pipeline, and the same runs as scripts in a process that cannot import Lapidary."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import FineTuneJobConfig
from pipeline.events import StepLogged
from pipeline.fine_tune_job import FineTuneJob
from pipeline.job_tracker import JobTracker
from pipeline.reproduce.run_facts import read_facts
from pipeline.reproduce.training_rows import RowsForm, write_training_rows
from pipeline.reproduce.trl_script import as_trl_script
from pipeline.run_dir import RunDir

# Starts the script as `python train.py` does, and says afterwards whether anything of Lapidary could be imported.
_RUNNER = """
import importlib.util, runpy, sys
packages, script, *arguments = sys.argv[1:]
# Without `site`, an editable installation of Lapidary is not found.
sys.path.append(packages)
found = [name for name in ("pipeline", "studio", "db") if importlib.util.find_spec(name)]
assert not found, found
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
assert not [name for name in sys.modules if name.split(".")[0] in ("pipeline", "studio", "db")]
"""


@dataclass(frozen=True)
class Repeated:
    """The losses of a run and those of its script, by step, and what the script was given."""

    run: dict[int, float]
    script: dict[int, float]
    form: RowsForm
    source: str
    folder: Path


def repeat(config: FineTuneJobConfig, folder: Path) -> Repeated:
    """Carry a run out, write its rows and script, and carry the script out in a process of its own."""
    run_dir = RunDir(folder / "run")
    run_dir.create(config)
    with JobTracker(run_dir) as tracker:
        FineTuneJob(config, run_dir, tracker).run()
    return repeat_script(config, run_dir, folder / "elsewhere")


def repeat_script(config: FineTuneJobConfig, run_dir: RunDir, elsewhere: Path) -> Repeated:
    """The same for a run that is done."""
    elsewhere.mkdir()
    facts = read_facts(run_dir)
    form = write_training_rows(config, elsewhere / "rows.jsonl", run_dir=run_dir, facts=facts)
    source = as_trl_script(config, facts)
    (elsewhere / "train.py").write_text(source, encoding="utf-8")
    run_script(elsewhere)
    written = json.loads((elsewhere / config.name / "losses.json").read_text(encoding="utf-8"))
    events = run_dir.read_events()[0]
    return Repeated(
        run={event.step: event.metrics["loss"] for event in events if isinstance(event, StepLogged)},
        script={entry["step"]: entry["loss"] for entry in written},
        form=form,
        source=source,
        folder=elsewhere / config.name,
    )


def run_script(folder: Path) -> None:
    """Run `train.py` on `rows.jsonl`; everything that would let it find Lapidary is taken away."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-S", "-c", _RUNNER, sysconfig.get_path("purelib"), "train.py", "rows.jsonl"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
