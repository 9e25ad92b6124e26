"""Runs every check on a document, with facts of this machine except those that a test sets."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.checks import run_checks
from pipeline.checks.facts import Facts, gather_facts
from pipeline.checks.finding import Finding
from pipeline.checks.machine import Gpu
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection, inspect_data
from pipeline.errors import DataProblem
from pipeline.validation import parse_job_config
from tests.documents import ASSETS, DEMO_MODEL, demo_document

H100 = Gpu(0, "H100", 80 << 30, 79 << 30, (9, 0))
TURING = Gpu(0, "T4", 16 << 30, 15 << 30, (7, 5))
HUB_MODEL = "some/model"


def facts_of(config: FineTuneJobConfig, tmp_path: Path, **known: Any) -> Facts:
    """The facts of this machine; `known` is what the caller of the checks alone can know."""
    data: Inspection | DataProblem
    try:
        data = inspect_data(config.dataset, imports=tmp_path / "imports")
    except DataProblem as problem:
        data = problem
    ships = Path(config.dataset.path).is_relative_to(ASSETS)
    return gather_facts(config, data=data, output_dir=tmp_path, data_ships=ships, **known)


def findings_for(document: dict[str, Any], tmp_path: Path, **facts: Any) -> dict[str, Finding]:
    """What preflight says, by code; `facts` take the place of those that were gathered."""
    config = parse_job_config(document)
    gathered = dataclasses.replace(facts_of(config, tmp_path), **facts)
    return {finding.code: finding for finding in run_checks(config, gathered)}


def patched(document: dict[str, Any], finding: Finding) -> dict[str, Any]:
    """The document with the first fix of the finding."""
    mended: dict[str, Any] = json.loads(json.dumps(document))
    for path, value in finding.fixes[0].patch.items():
        section, name = path.split(".")
        mended.setdefault(section, {})[name] = value
    return mended


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    """The demo's document with some settings of its sections changed."""
    document = demo_document()
    for name, values in sections.items():
        document[name] = {**document.get(name, {}), **values}
    return document


def write_model(folder: Path, *, without: tuple[str, ...] = (), **config: Any) -> Path:
    """A copy of the demo's model whose configuration is changed and which lacks the files `without`."""
    shutil.copytree(DEMO_MODEL, folder)
    known = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**known, **config}), encoding="utf-8")
    for name in without:
        (folder / name).unlink()
    return folder


def on_model(folder: Path | str, **sections: dict[str, Any]) -> dict[str, Any]:
    """The demo's document on another model."""
    return changed(**{**sections, "model": {**sections.get("model", {}), "base_model": str(folder)}})


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def on_rows(file: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """The demo's document on other rows, of which the usual share is held out."""
    document = changed(**sections)
    document["dataset"] = {"path": str(file), **sections.get("dataset", {})}
    return document
