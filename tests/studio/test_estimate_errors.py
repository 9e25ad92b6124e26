"""The summary of past predictions: a sentence that says how far they were off, and the table beside it."""

import re

import pytest

from pipeline.estimate_history import EstimateHistory, Outcome, Pair, history_of
from studio.ui.estimate_errors import error_summary_html


def history(memory: list[float], time: list[float], *, device: str = "NVIDIA L4") -> EstimateHistory:
    """Runs that were predicted at 100 and measured at these."""
    outcomes = [Outcome(Pair(100, 100, value), None) for value in memory]
    return history_of(device, [*outcomes, *(Outcome(None, Pair(100, 100, value)) for value in time)])


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_sentence_and_table_tell_the_errors() -> None:
    html = error_summary_html(history([103] * 11 + [110], [80] * 12))
    assert (
        "Of 12 runs on this machine the memory prediction was off by 3 % at the median (worst 9 %), "
        "the time by 25 % at the median (worst 25 %).<"
    ) in html
    assert cells(html)[1:] == [
        ["Memory", "12", "3 %", "9 %", "103 % to 106 % of it"],
        ["Time", "12", "25 %", "25 %", "80 % to 80 % of it"],
    ]


@pytest.mark.parametrize(
    ("memory", "time", "sentence"),
    [
        ([110], [], "In one run on this machine the memory prediction was off by 9 %. From 5 runs on, likely"),
        (
            [],
            [80, 80],
            "Of 2 runs on this machine the time prediction was off by 25 % at the median (worst 25 %). From",
        ),
        ([], [], "No run with a prediction has finished on this machine yet."),
    ],
)
def test_few_runs_are_told_as_what_they_are(memory: list[float], time: list[float], sentence: str) -> None:
    html = error_summary_html(history(memory, time))
    assert sentence in html
    assert ("<table" in html) == bool(memory or time)


def test_no_runs_name_the_ranges_that_are_assumed() -> None:
    html = error_summary_html(history([], []))
    assert "95 % to 110 % of the predicted memory and 70 % to 130 % of the predicted time" in html


def test_name_of_a_device_is_text() -> None:
    assert "<b>" not in error_summary_html(history([100], [], device="<b>GPU"))
