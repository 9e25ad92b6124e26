"""Events: whole lines only, in order, from any offset."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.events import StepLogged, TrackerLinked, WarningRaised, append_event, read_events

messages = st.lists(st.text(max_size=40), max_size=20)


@given(messages, st.integers(min_value=1, max_value=5))
def test_reading_in_pieces_gives_every_event_once(texts: list[str], every: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        seen, offset = [], 0
        for number, text in enumerate(texts):
            append_event(path, WarningRaised(code="x", message=text))
            if number % every == 0:
                events, offset = read_events(path, offset)
                seen += events
        events, offset = read_events(path, offset)
        seen += events
        assert [event.message for event in seen if isinstance(event, WarningRaised)] == texts
        assert read_events(path, offset) == ([], offset)


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event = StepLogged(step=1, total_steps=2, epoch=0.5, metrics={"loss": 1.5})
    line = event.model_dump_json() + "\n"
    path.write_text(line + line[:20], encoding="utf-8")
    events, offset = read_events(path)
    assert (events, offset) == ([event], len(line))
    path.write_text(line + line, encoding="utf-8")
    assert read_events(path, offset) == ([event], 2 * len(line))


def test_missing_file_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl", 7) == ([], 7)


def test_event_of_an_unknown_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"type": "job_exploded", "time": 1}\n', encoding="utf-8")
    with pytest.raises(ValidationError, match="job_exploded"):
        read_events(path)


def test_value_that_is_no_number_does_not_break_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    metrics = {"loss": 1.5, "grad_norm": math.inf, "rewards/chosen": math.nan}
    append_event(path, StepLogged(step=1, total_steps=2, epoch=0.5, metrics=metrics))
    ((event,), _) = read_events(path)
    assert isinstance(event, StepLogged)
    assert event.metrics == {"loss": 1.5}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//example.org", 'https://example.org/"><script>', ""])
def test_link_of_a_tracker_is_a_web_address(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        TrackerLinked(tracker="wandb", url=url)
