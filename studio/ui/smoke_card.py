"""What the pages show of the trial of a run: how far it is, what it measured, and what it found."""

from html import escape

from pipeline.smoke_report import SmokeProgress, SmokeReport
from studio.ui.html import callout, finding_list, key_values, readable_size


def progress_card(progress: SmokeProgress) -> str:
    """How far a trial is."""
    percent = round(100 * progress.share)
    known = f" value={percent}" if percent else ""
    bar = f'<progress class="lap-progress" max="100"{known}>{percent} %</progress>'
    return f'<div class="lap-card" role="status">{bar}<p class="lap-meta">{escape(progress.message)}</p></div>'


def report_card(report: SmokeReport) -> str:
    """What a trial measured and found; errors come first."""
    order = ("error", "warning", "info")
    found = sorted(report.findings, key=lambda finding: order.index(finding.severity))
    head = callout("ok", "The longest batch went through", _told(report)) if report.loss is not None else ""
    return (head if report.passed else "") + (finding_list(found) if found else "") + key_values(_measured(report))


def _told(report: SmokeReport) -> str:
    skipped = any(finding.code == "smoke_save_skipped" for finding in report.findings)
    saved = "" if skipped else " What it learned was saved and read again."
    return f"The model was loaded and learned from the longest rows once.{saved}"


def _measured(report: SmokeReport) -> list[tuple[str, str]]:
    shown = []
    if report.rows is not None and report.longest_tokens is not None:
        shown.append(("Rows", f"{report.rows:,}, of up to {report.longest_tokens:,} tokens"))
    if report.peak_memory is not None:
        shown.append(("Memory at its peak", readable_size(report.peak_memory)))
    if report.step_seconds is not None:
        shown.append(("First step", _seconds(report.step_seconds)))
    if report.loss is not None:
        shown.append(("Loss", f"{report.loss:.4f}"))
    shown.append(("Whole trial", _seconds(report.seconds)))
    return shown


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.0f} s"
