"""Writes what repeats a run: job.yaml, the command, and where it can be, a script on TRL alone with its rows."""

import sys
from pathlib import Path

from pipeline.errors import UserError
from pipeline.reproduce.command_line import as_command
from pipeline.reproduce.run_facts import read_facts
from pipeline.reproduce.trl_script import as_trl_script
from pipeline.reproduce.yaml_document import as_yaml
from pipeline.run_dir import RunDir

YAML_FILE, COMMAND_FILE, SCRIPT_FILE, ROWS_FILE = "job.yaml", "command.sh", "train.py", "rows.jsonl"


def reproduce(run_dir: RunDir, folder: Path) -> int:
    """Write the files to `folder`, and say what could not be written; the exit status is 1 where that is all."""
    try:
        config = run_dir.read_training_config()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / YAML_FILE).write_text(as_yaml(config), encoding="utf-8")
        (folder / COMMAND_FILE).write_text(as_command(config) + "\n", encoding="utf-8")
    except (UserError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        facts = read_facts(run_dir)
        script = as_trl_script(config, facts)
        from pipeline.reproduce.training_rows import write_training_rows

        write_training_rows(config, folder / ROWS_FILE, run_dir=run_dir, facts=facts)
        (folder / SCRIPT_FILE).write_text(script, encoding="utf-8")
    except UserError as error:
        sys.stderr.write(f"There is no script: {error}\n")
    sys.stderr.write(f"The files are in {folder}\n")
    return 0
