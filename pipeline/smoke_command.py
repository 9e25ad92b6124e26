"""`python -m pipeline smoke`: tries the longest batch of a run before it is started, and says what it takes."""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp

from pipeline.config import FineTuneJobConfig
from pipeline.progress_bar import ProgressBar
from pipeline.smoke import try_longest_batch
from pipeline.smoke_report import SmokeReport

EXIT_FAILED = 1
_SEVERITY = {"error": "✗", "warning": "!", "info": "·"}


def smoke(config: FineTuneJobConfig, *, as_json: bool) -> int:
    """Write what was measured and found; return the status: 0 where a run may start, else 1."""
    with ProgressBar() as bar:
        report = try_longest_batch(config, _folder(), listener=bar.show)
    sys.stdout.write(report.model_dump_json(indent=2) + "\n" if as_json else _text(report))
    return 0 if report.passed else EXIT_FAILED


def _folder() -> Path:
    """A new folder on the disk that runs are written to, where that can be written."""
    home = Path(os.environ.get("LAPIDARY_HOME", "~/.lapidary")).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(mkdtemp(prefix="smoke-", dir=home))
    except OSError:
        # The trial itself then tells why nothing can be written there.
        return home / "smoke"


def _text(report: SmokeReport) -> str:
    measured = {
        "longest row": "" if report.longest_tokens is None else f"{report.longest_tokens:,} tokens",
        "rows in the step": "" if report.rows is None else f"{report.rows:,}",
        "loss": "" if report.loss is None else f"{report.loss:.4f}",
        "step": "" if report.step_seconds is None else f"{report.step_seconds:.2f} s",
        "peak memory": "" if report.peak_memory is None else f"{report.peak_memory / 1e9:,.2f} GB",
        "whole trial": f"{report.seconds:.1f} s",
    }
    lines = [f"  {name:<18}{value}" for name, value in measured.items() if value]
    lines.append("  findings" + ("          none" if not report.findings else ""))
    for finding in report.findings:
        lines.append(f"    {_SEVERITY[finding.severity]} {finding.code}: {finding.message}")
        for fix in finding.fixes:
            patch = " ".join(f"--{field} {_value(value)}" for field, value in fix.patch.items())
            lines.append(f"        {fix.label}: {patch}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
