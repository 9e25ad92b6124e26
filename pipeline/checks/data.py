"""Checks of the data set."""

from pipeline.checks.facts import Facts, evaluation_rows
from pipeline.checks.finding import Finding, Fix
from pipeline.config import JobConfig
from pipeline.errors import DataProblem

_ROWS_SHOWN = 5


def check_dataset_rows(config: JobConfig, facts: Facts) -> list[Finding]:
    """The file can be read; rows that cannot be used are named by number."""
    findings = []
    for field, data in (("dataset.path", facts.data), ("dataset.eval_path", facts.eval_data)):
        if isinstance(data, DataProblem):
            findings.append(Finding(code="data_unusable", severity="error", field=field, message=str(data)))
        elif data is not None and data.dropped:
            shown = "; ".join(f"row {item.row}: {item.reason}" for item in data.dropped[:_ROWS_SHOWN])
            more = f"; and {len(data.dropped) - _ROWS_SHOWN} more" if len(data.dropped) > _ROWS_SHOWN else ""
            total = len(data.dropped) + len(data.examples)
            message = f"{len(data.dropped)} of {total} rows cannot be used and are left out ({shown}{more})."
            findings.append(Finding(code="rows_left_out", severity="warning", field=field, message=message))
    return findings


def check_evaluation_split(config: JobConfig, facts: Facts) -> list[Finding]:
    """Evaluation that is asked for has rows, and training keeps some."""
    if facts.train_rows == 0:
        return []
    held_out = evaluation_rows(config, facts)
    if config.training.eval_strategy != "no" and held_out == 0:
        message = "No rows are held out, so nothing shows whether the model learns more than its rows. Hold out 5 %."
        fix = Fix(label="Hold out 5 %", patch={"dataset.eval_share": 0.05})
        return [
            Finding(code="no_evaluation", severity="warning", field="dataset.eval_share", message=message, fixes=(fix,))
        ]
    return []
