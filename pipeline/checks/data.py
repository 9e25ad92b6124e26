"""Checks of the data set."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix
from pipeline.config import FineTuneJobConfig
from pipeline.errors import DataProblem
from pipeline.method_config import METHOD_NAMES, format_problem, method_for_format

_ROWS_SHOWN = 5
_SURE = 0.8


def check_dataset_rows(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The data set can be read; rows that cannot be used are named by number."""
    data = facts.data
    if isinstance(data, DataProblem):
        field = data.field or "dataset.path"
        return [Finding(code="data_unusable", severity="error", field=field, message=str(data))]
    if data is None:
        message = (
            f"The rows of {config.dataset.path} are fetched when the run starts and were never looked at. "
            "Import the data set first to see and check them."
        )
        return [Finding(code="data_not_seen", severity="warning", field="dataset.path", message=message)]
    if data.dropped_rows == 0:
        return []
    shown = "; ".join(f"row {item.row}: {item.reason}" for item in data.dropped[:_ROWS_SHOWN])
    more = f"; and {data.dropped_rows - _ROWS_SHOWN:,} more" if data.dropped_rows > _ROWS_SHOWN else ""
    message = f"{data.dropped_rows:,} of {data.rows:,} rows cannot be used and are left out ({shown}{more})."
    return [Finding(code="rows_left_out", severity="warning", field="dataset.path", message=message)]


def check_dataset_format(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The rows are of a format that the method learns from, and were recognised for sure."""
    data = facts.data
    if data is None or isinstance(data, DataProblem):
        return []
    problem = format_problem(config.method.kind, data.format)
    if problem is not None:
        kind = method_for_format(config.method.kind, data.format)
        # GRPO needs rewards that nobody can guess.
        fixes = () if kind == "grpo" else (Fix(label=f"Train {METHOD_NAMES[kind]}", patch={"method.kind": kind}),)
        return [
            Finding(
                code="format_not_trainable",
                severity="error",
                field="method.kind",
                message=f"The data set does not fit the method: {problem}",
                fixes=fixes,
            )
        ]
    if data.confidence < _SURE:
        message = f"The columns were recognised only with {data.confidence:.0%} confidence: {' '.join(data.reasons)}"
        return [Finding(code="format_unsure", severity="warning", field="dataset.mapping", message=message)]
    return []


def check_integrity_report(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """What the check of every row at the import found, as far as a run would suffer from it."""
    if facts.data is None or isinstance(facts.data, DataProblem) or facts.data.integrity is None:
        return []
    return [
        Finding(
            code=finding.code,
            severity=finding.severity,
            field="dataset.path",
            message=f"{finding.message}{_named_rows(finding.rows)}",
        )
        for finding in facts.data.integrity
        # Rows that are left out are told of by the check of the rows.
        if finding.severity != "info" and finding.code not in ("unusable_rows", "unreadable_rows")
    ]


def _named_rows(rows: list[int]) -> str:
    if not rows:
        return ""
    return f" {'Row' if len(rows) == 1 else 'Rows'} {', '.join(f'{row:,}' for row in rows[:_ROWS_SHOWN])}."


def check_evaluation_split(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Evaluation that is asked for has rows, and training keeps some."""
    if facts.train_rows == 0:
        return []
    if config.training.eval_strategy != "no" and facts.eval_rows == 0:
        message = "No rows are held out, so nothing shows whether the model learns more than its rows. Hold out 5 %."
        fix = Fix(label="Hold out 5 %", patch={"dataset.eval_share": 0.05})
        return [
            Finding(code="no_evaluation", severity="warning", field="dataset.eval_share", message=message, fixes=(fix,))
        ]
    return []
