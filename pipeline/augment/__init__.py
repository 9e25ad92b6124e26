"""Augmentation that is honest: further training rows from rows or documents, each waiting to be accepted.

Only training rows are given to it; a method shows some rows before and after first (`preview`), says what it will
cost (`estimate_cost`), counts what it made and what it refused (`augment`, `augment_into`), and nothing enters a data
set before it was accepted (`ReviewFolder`).
"""

from pipeline.augment.before_after import preview
from pipeline.augment.cost import CostEstimate, estimate_cost
from pipeline.augment.outcome import BeforeAfter, GeneratedRow, MadeFrom, Outcome, Refused
from pipeline.augment.review import ReviewCounts, ReviewFolder
from pipeline.augment.rows import row_key, row_of
from pipeline.augment.run import augment, augment_into

__all__ = [
    "BeforeAfter",
    "CostEstimate",
    "GeneratedRow",
    "MadeFrom",
    "Outcome",
    "Refused",
    "ReviewCounts",
    "ReviewFolder",
    "augment",
    "augment_into",
    "estimate_cost",
    "preview",
    "row_key",
    "row_of",
]
