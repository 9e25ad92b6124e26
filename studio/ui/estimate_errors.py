"""How far predictions were off in past runs, for the page where the next one is shown."""

from html import escape

from pipeline.estimate_history import ENOUGH_RUNS, MEMORY_RANGE, TIME_RANGE, Errors, EstimateHistory


def error_summary_html(history: EstimateHistory) -> str:
    """A sentence, and a table of the errors of memory and time where there are any."""
    known = [(name, errors) for name, errors in (("Memory", history.memory), ("Time", history.time)) if errors]
    text = f'<p class="lap-meta">{escape(_sentence(history))}</p>'
    if not known:
        return text
    heads = "".join(
        f'<th scope="col"{"" if head == "Prediction" else " class=lap-num"}>{head}</th>'
        for head in ("Prediction", "Runs", "Typical error", "Largest error", "Nine of ten runs took")
    )
    rows = "".join(_row(name, errors) for name, errors in known)
    return (
        f'{text}<table class="lap-table"><caption>Past runs on {escape(history.device)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _sentence(history: EstimateHistory) -> str:
    runs = max((errors.runs for errors in (history.memory, history.time) if errors), default=0)
    if runs == 0:
        return (
            "No run with a prediction has finished on this machine yet. Until some have, a run is expected to take "
            f"{_range(MEMORY_RANGE)} of the predicted memory and {_range(TIME_RANGE)} of the predicted time."
        )
    begin = "In one run" if runs == 1 else f"Of {runs:,} runs"
    match history.memory, history.time:
        case Errors() as memory, Errors() as time:
            words = f"the memory prediction was off by {_off(memory)}, the time by {_off(time)}"
        case Errors() as memory, None:
            words = f"the memory prediction was off by {_off(memory)}"
        case _, time:
            words = f"the time prediction was off by {_off(time)}"
    told = f"{begin} on this machine {words}."
    return told if runs >= ENOUGH_RUNS else f"{told} From {ENOUGH_RUNS} runs on, likely ranges follow past runs."


def _off(errors: Errors) -> str:
    if errors.runs == 1:
        return _percent(errors.worst)
    return f"{_percent(errors.typical)} at the median (worst {_percent(errors.worst)})"


def _row(name: str, errors: Errors) -> str:
    cells = (
        ("Runs", f"{errors.runs:,}"),
        ("Typical error", _percent(errors.typical)),
        ("Largest error", _percent(errors.worst)),
        ("Nine of ten runs took", f"{_range((errors.low_ratio, errors.high_ratio))} of it"),
    )
    shown = "".join(f'<td data-label="{label}" class="lap-num">{value}</td>' for label, value in cells)
    return f'<tr><th scope="row" class="lap-table__main">{name}</th>{shown}</tr>'


def _range(shares: tuple[float, float]) -> str:
    low, high = shares
    return f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
