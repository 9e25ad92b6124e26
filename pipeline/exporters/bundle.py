"""What an export says of its files: the manifest with their checksums, and the report of each that was compared."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.exporters.parity import ParityReport
from pipeline.run_dir import ManifestFile, RunDir

MANIFEST = "manifest.json"


def manifest_text(
    name: str,
    files: Mapping[str, ManifestFile],
    reports: Mapping[str, ParityReport],
    *,
    base_model: str | None,
    formats: Iterable[str],
) -> str:
    """`manifest.json`: every file with size and SHA-256, and what came of comparing them."""
    listed = [
        {"path": path, "size_bytes": file.size_bytes, "sha256": file.sha256} for path, file in sorted(files.items())
    ]
    document: dict[str, Any] = {
        "name": name,
        "base_model": base_model,
        "formats": list(formats),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "files": listed,
        "parity": {name: report.model_dump(mode="json") for name, report in reports.items()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def report_file(kind: str, name: str) -> str:
    """What the report of a candidate of a format is called, beside its files."""
    return "parity.json" if name == kind else f"{name}.parity.json"


def read_reports(run_dir: RunDir, kind: str) -> dict[str, ParityReport]:
    """The reports of a format's files, by the candidate's name; empty where nothing was judged."""
    found = {}
    for file in sorted((run_dir.path / kind).glob("*parity.json")):
        name = file.name.removesuffix("parity.json").rstrip(".") or kind
        found[name] = ParityReport.model_validate_json(file.read_bytes())
    return found


def hub_name(base_model: str) -> str | None:
    """The base model as others can find it; None for a folder of this machine."""
    is_place = base_model.startswith(("/", "~", ".", "file:")) or Path(base_model).exists()
    return None if is_place else base_model
