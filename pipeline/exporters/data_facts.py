"""What others may know of the data of a run: its name, fingerprint, format and language, never where it lies."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from pipeline.config import FineTuneJobConfig
from pipeline.data.example import Format
from pipeline.data.integrity.report import UNDETERMINED, IntegrityReport
from pipeline.data.row_store import REPORT_FILE, SUMMARY_FILE, DatasetSummary
from pipeline.run_dir import RunDir

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FILE_ENDING = re.compile(r"\.(parquet|jsonl|ndjson|json|csv|tsv|txt|xlsx|zip|gz)$", re.IGNORECASE)
# What a signed address carries behind its path.
_QUERY = re.compile(r"[?#]\S*=\S*")
# A share of the rows from which on the data is said to be in a language.
_MOSTLY = 0.8
T = TypeVar("T")


@dataclass(frozen=True)
class DataFacts:
    """`checksum`: SHA-256 over the rows as they were stored. What is not known is None."""

    name: str
    hub_id: str | None
    checksum: str | None
    format: Format | None
    has_images: bool
    language: str | None
    evaluation_name: str | None
    evaluation_checksum: str | None


def data_facts(config: FineTuneJobConfig, run: RunDir) -> DataFacts:
    """The facts of the rows that the run learned from."""
    path, eval_path = config.dataset.path, config.dataset.eval_path
    folder, summary = _stored(path, run)
    _, evaluation = (None, None) if eval_path is None else _stored(eval_path, run)
    mapping = config.dataset.chosen_mapping
    recognised = summary.recognition if summary is not None else None
    hub_id = _hub_id(path, summary)
    return DataFacts(
        name=hub_id if hub_id is not None else _shown_name(path, summary),
        hub_id=hub_id,
        checksum=summary.checksum if summary is not None else None,
        format=mapping.format if mapping is not None else recognised.format if recognised is not None else None,
        has_images=recognised is not None and recognised.modality == "multimodal",
        language=_language(folder) if folder is not None else None,
        evaluation_name=None if eval_path is None else _shown_name(eval_path, evaluation),
        evaluation_checksum=None if evaluation is None else evaluation.checksum,
    )


def _stored(source: str, run: RunDir) -> tuple[Path | None, DatasetSummary | None]:
    """The folder of the rows as they were read, with its summary: of an imported data set, else what the run itself
    imported. None where several come into question, because a file was changed and read again."""
    folders = [Path(source).expanduser()]
    if not (folders[0] / SUMMARY_FILE).is_file():
        # The name that `open_data` gives it.
        name = source.rstrip("/").rpartition("/")[2] or "data"
        found = [(file.parent, _summary(file)) for file in sorted((run.path / "imports").glob(f"*/{SUMMARY_FILE}"))]
        folders = [folder for folder, summary in found if summary is not None and summary.name == name[:120]]
    if len(folders) != 1:
        return None, None
    return folders[0], _summary(folders[0] / SUMMARY_FILE)


def _summary(file: Path) -> DatasetSummary | None:
    return _read(file, DatasetSummary.model_validate_json)


def _language(folder: Path) -> str | None:
    report = _read(folder / REPORT_FILE, IntegrityReport.model_validate_json)
    shares = report.statistics.languages.shares if report is not None else {}
    return next((name for name, share in shares.items() if share >= _MOSTLY and name != UNDETERMINED), None)


def _read(file: Path, parse: Callable[[bytes], T]) -> T | None:
    try:
        return parse(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _hub_id(path: str, summary: DatasetSummary | None) -> str | None:
    """The id on the Hub where the rows came from there; a file of this machine may have a name like one."""
    told = path if summary is None or _is_address(path) else summary.source
    told = told.removeprefix("hf://datasets/").removeprefix("hf://")
    is_place = Path(path).expanduser().exists() and summary is None
    return told if _HUB_ID.fullmatch(told) and not _FILE_ENDING.search(told) and not is_place else None


def _shown_name(path: str, summary: DatasetSummary | None) -> str:
    name = _last_part(path) if summary is None or _is_address(path) else summary.name
    # A name that somebody gave may be a whole path or address.
    return _QUERY.sub("", name).rstrip("/").rpartition("/")[2] or "rows"


def _last_part(source: str) -> str:
    path = urlsplit(source).path if _is_address(source) else source
    return path.rstrip("/").rpartition("/")[2]


def _is_address(source: str) -> bool:
    return "://" in source
