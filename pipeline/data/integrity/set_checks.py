"""Findings on a data set as a whole: its size, its splits, its labels, its answers and its languages."""

from collections import Counter
from collections.abc import Mapping as Lookup

from pipeline.data.integrity.catalogue import Severity
from pipeline.data.integrity.flags import describe_count
from pipeline.data.integrity.report import UNDETERMINED, IntegrityFinding, Languages

FEW_ROWS = 50
FEW_EVALUATION_ROWS = 8
# One answer in so many of the rows leaves little else to learn.
SAME_ANSWER_SHARE = 0.9
SAME_ANSWER_LEAST_ROWS = 8
RARE_LABEL_SHARE = 0.1
SECOND_LANGUAGE_SHARE = 0.05


def check_size(usable: int, *, evaluation: Lookup[str, int]) -> list[IntegrityFinding]:
    """Too few rows to learn from, or to evaluate on; `evaluation` has the usable rows of each evaluation split."""
    if usable == 0:
        return [_finding("no_usable_rows", "error", "No row can be used. Choose other columns, or another file.")]
    found = []
    if usable < FEW_ROWS:
        message = f"Only {describe_count(usable, 0)} can be used. A model learns little from fewer than {FEW_ROWS}."
        found.append(_finding("few_rows", "warning", message))
    small = [f"{name} ({count})" for name, count in evaluation.items() if count < FEW_EVALUATION_ROWS]
    if small:
        message = (
            f"Evaluation splits with fewer than {FEW_EVALUATION_ROWS} usable rows: {', '.join(small)}. Their loss says "
            "little. Hold out rows of the training split instead."
        )
        found.append(_finding("small_evaluation_split", "warning", message))
    return found


def check_answers(commonest: int, rows: int) -> list[IntegrityFinding]:
    """One answer in all or nearly all rows; `commonest` is how many rows have the commonest one."""
    if rows < SAME_ANSWER_LEAST_ROWS or commonest < SAME_ANSWER_SHARE * rows:
        return []
    what = "Every answer is the same" if commonest == rows else f"One answer is in {describe_count(commonest, rows)}"
    message = f"{what}. The model will learn to say only that. See whether the answers' column is the right one."
    return [_finding("identical_answers", "warning", message)]


def check_labels(labels: Lookup[str, int]) -> list[IntegrityFinding]:
    """Good and bad answers out of balance; `labels` has the rows of each label."""
    total = sum(labels.values())
    if not total:
        return []
    good, bad = labels.get("good", 0), labels.get("bad", 0)
    if not good or not bad:
        message = f"Every answer is {'good' if good else 'bad'}. Learning from labels needs good and bad answers."
        return [_finding("label_imbalance", "error", message)]
    if min(good, bad) >= RARE_LABEL_SHARE * total:
        return []
    message = (
        f"{good:,} answers are good and {bad:,} are bad. Give the rarer label more weight, or drop some of the others."
    )
    return [_finding("label_imbalance", "warning", message)]


def check_languages(languages: Languages) -> list[IntegrityFinding]:
    """More than one language in the sample."""
    named = {name: share for name, share in languages.shares.items() if name != UNDETERMINED}
    often = Counter({name: share for name, share in named.items() if share >= SECOND_LANGUAGE_SHARE})
    if len(often) < 2:  # noqa: PLR2004 - one language is none too many
        return []
    listed = ", ".join(f"{name} {share:.0%}" for name, share in often.most_common(5))
    message = (
        f"The rows are in {len(often)} languages, by a sample of {languages.sampled_rows:,} rows: {listed}. That is "
        "right when the model should speak them all."
    )
    return [_finding("several_languages", "info", message)]


def _finding(code: str, severity: Severity, message: str) -> IntegrityFinding:
    return IntegrityFinding(code=code, severity=severity, message=message, count=0, share=0.0)
