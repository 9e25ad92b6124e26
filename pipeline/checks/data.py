"""Checks of the data set."""

from pipeline.checks.facts import Facts
from pipeline.checks.finding import Finding, Fix, error, info, warning
from pipeline.config import FineTuneJobConfig
from pipeline.data.inspection import Inspection
from pipeline.errors import DataProblem
from pipeline.method_config import METHOD_NAMES, format_problem, method_for_format

_ROWS_SHOWN = 5
_SURE = 0.8
TOLD_ELSEWHERE = ("unusable_rows", "unreadable_rows", "label_imbalance")
"""Findings of the integrity check of which the checks of rows and labels tell, with the settings of the run."""


def check_dataset_rows(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The data set can be read; rows that cannot be used are named by number."""
    data = facts.data
    if isinstance(data, DataProblem):
        field = data.field or "dataset.path"
        return [error("data_unusable", field, str(data))]
    if data is None:
        message = (
            f"The rows of {config.dataset.path} are fetched when the run starts and were never looked at. "
            "Import the data set first to see and check them."
        )
        return [warning("data_not_seen", "dataset.path", message)]
    if data.dropped_rows == 0:
        return []
    shown = "; ".join(f"row {item.row}: {item.reason}" for item in data.dropped[:_ROWS_SHOWN])
    more = f"; and {data.dropped_rows - _ROWS_SHOWN:,} more" if data.dropped_rows > _ROWS_SHOWN else ""
    message = f"{data.dropped_rows:,} of {data.rows:,} rows cannot be used and are left out ({shown}{more})."
    return [warning("rows_left_out", "dataset.path", message)]


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
        message = f"The data set does not fit the method: {problem}"
        return [error("format_not_trainable", "method.kind", message, *fixes)]
    if data.confidence < _SURE:
        message = f"The columns were recognised only with {data.confidence:.0%} confidence: {' '.join(data.reasons)}"
        return [warning("format_unsure", "dataset.mapping", message)]
    return []


def check_integrity_report(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """What the check of every row at the import found, as far as a run would suffer from it."""
    if facts.data is None or isinstance(facts.data, DataProblem):
        return []
    if facts.data.integrity is None:
        message = (
            "No check has looked for duplicates, for evaluation rows among the training rows, and for damaged text in "
            "these rows and columns. Import the data set on the Data page to have every row checked."
        )
        return [] if facts.data_ships else [info("rows_not_checked", "dataset.path", message)]
    return [
        Finding(
            code=finding.code,
            severity=finding.severity,
            field="dataset.path",
            message=f"{finding.message}{_named_rows(finding.rows)}",
        )
        for finding in facts.data.integrity
        if finding.severity != "info" and finding.code not in TOLD_ELSEWHERE
    ]


def _named_rows(rows: list[int]) -> str:
    if not rows:
        return ""
    return f" {'Row' if len(rows) == 1 else 'Rows'} {', '.join(f'{row:,}' for row in rows[:_ROWS_SHOWN])}."


def check_evaluation_split(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """Evaluation that is asked for has rows, and training keeps some."""
    if facts.train_rows == 0 or config.training.eval_strategy == "no" or facts.eval_rows > 0:
        return []
    field, fix = "dataset.eval_share", Fix(label="Hold out 5 %", patch={"dataset.eval_share": 0.05})
    evaluation = config.evaluation
    if evaluation.keep_best or evaluation.early_stopping is not None:
        wanted = "The best weights are to be kept" if evaluation.keep_best else "The run is to stop by its evaluations"
        return [error("nothing_to_judge_by", field, f"{wanted}, and no rows are held out. Hold out 5 %.", fix)]
    message = "No rows are held out, so nothing shows whether the model learns more than its rows. Hold out 5 %."
    return [warning("no_evaluation", field, message, fix)]


def check_evaluation_size(config: FineTuneJobConfig, facts: Facts) -> list[Finding]:
    """The held-out rows fill a batch: a value of fewer rows says little."""
    held, batch = facts.eval_rows, config.training.per_device_batch_size
    if config.training.eval_strategy == "no" or not 0 < held < batch or not isinstance(facts.data, Inspection):
        return []
    message = (
        f"{held} {'row is' if held == 1 else 'rows are'} held out, fewer than a batch of {batch}, so the evaluation "
        f"hangs on single rows. Hold out {batch} or more."
    )
    # Taken from the training rows, of which the most part has to stay.
    can_give = facts.data.eval_source == "drawn with the seed" and facts.train_rows + held >= 2 * batch
    fixes = (Fix(label=f"Hold out {batch} rows", patch={"dataset.eval_rows": batch}),) if can_give else ()
    return [warning("evaluation_smaller_than_batch", "dataset.eval_rows", message, *fixes)]
