"""ImportJob: the recipe of bringing a data set in: fetch, read, check, describe."""

import shutil
import time
from pathlib import Path

from pipeline.data.import_source import Progress, import_source
from pipeline.data.integrity.check import check_integrity
from pipeline.data.row_store import FLAGS_FILE, REPORT_FILE, DatasetSummary, RowStore, write_document
from pipeline.data.scan import scan_rows
from pipeline.data_config import ImportJobConfig
from pipeline.events import DatasetImported, TransferProgressed
from pipeline.job_tracker import STAGE_PROGRESS, JobTracker
from pipeline.run_dir import RunDir

_REPORT_SECONDS = 0.5


class ImportJob:
    """One import of one source into one run folder."""

    def __init__(self, config: ImportJobConfig, run_dir: RunDir, tracker: JobTracker) -> None:
        self.config = config
        self.run_dir = run_dir
        self.tracker = tracker
        self._told = 0.0

    def run(self) -> None:
        """Import, check, and write the manifest last.

        Raises:
            UserError: with a sentence for the user; anything else is a bug.
        """
        self.tracker.stage("preparing", f"Importing {self.config.name}")
        folder = self.run_dir.artifact("dataset")
        # What a killed attempt left is not to be trusted; finished downloads are kept and gone on from.
        shutil.rmtree(folder, ignore_errors=True)
        self.tracker.stage("fetching", f"Opening {self.config.file_name or self.config.source}")
        summary = import_source(self.config, folder, downloads=self.run_dir.path / "downloads", progress=self._report)
        self._check(RowStore(folder), summary)
        self.tracker.artifact("dataset")
        self.tracker.complete({"rows": float(summary.rows)}, versions={})
        if self.config.delete_source:
            Path(self.config.source).unlink(missing_ok=True)

    def _check(self, store: RowStore, summary: DatasetSummary) -> None:
        usable, passed = 0, False
        if summary.recognition is None:
            self.tracker.warn("format_not_recognised", "The columns were not recognised. Say which column is what.")
        else:
            self.tracker.stage("checking", f"Checking {summary.rows:,} rows")
            report = check_integrity(
                store,
                summary.recognition.mapping,
                flags=store.folder / FLAGS_FILE,
                progress=self._report_check,
            )
            write_document(store.folder / REPORT_FILE, report)
            usable, passed = report.usable_rows, report.passed
            # Counted now, while nobody waits.
            scan_rows(store, summary.recognition.mapping)
        self.tracker.record(
            DatasetImported(
                rows=summary.rows, usable_rows=usable, unreadable_rows=summary.unreadable_rows, passed=passed
            )
        )

    def _report(self, progress: Progress) -> None:
        is_last = progress.bytes_done == progress.bytes_total
        if not (self._due() or is_last):
            return
        self.tracker.record(
            TransferProgressed(
                bytes_done=progress.bytes_done,
                bytes_total=progress.bytes_total,
                rows=progress.rows,
                message=progress.message,
            )
        )

    def _report_check(self, share: float, message: str) -> None:
        if self._due():
            start = STAGE_PROGRESS["checking"]
            self.tracker.stage("checking", message, progress=start + (1.0 - start) * min(1.0, share))

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._told < _REPORT_SECONDS:
            return False
        self._told = now
        return True
