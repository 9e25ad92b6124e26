"""The box of the trial on the page: what it shows before, while and after a run is tried."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.components import Component

from studio.service import Studio
from studio.ui.smoke_box import SmokeBox
from tests.documents import demo_document
from tests.services import open_studio

OWNER = "ana"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with open_studio(tmp_path / "studio") as studio:
        yield studio


@pytest.fixture
def box() -> SmokeBox:
    return SmokeBox(gr.Button(), gr.HTML(), gr.Button(), gr.Timer())


def is_at_rest(box: SmokeBox, shown: dict[Component, Any]) -> bool:
    return shown[box.button]["interactive"] and not shown[box.cancel]["visible"] and not shown[box.timer].active


@pytest.mark.slow
def test_box_goes_from_the_button_to_the_report(studio: Studio, box: SmokeBox) -> None:
    document = demo_document(per_device_batch_size=4)
    assert box.show(studio, document, owner=OWNER)[box.result] == ""
    shown = box.begin(studio, document, owner=OWNER)
    assert set(shown) == set(box.outputs)
    assert "<progress" in shown[box.result] and shown[box.cancel]["visible"] and shown[box.timer].active
    assert not shown[box.button]["interactive"]
    deadline = time.monotonic() + 60
    while "<progress" in shown[box.result]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        # The page may be loaded anew meanwhile.
        shown = box.show(studio, document, owner=OWNER)
    assert is_at_rest(box, shown) and "The longest batch went through" in shown[box.result]
    assert box.watch(studio, owner=OWNER)[box.result] == shown[box.result]
    assert box.show(studio, demo_document(per_device_batch_size=2), owner=OWNER)[box.result] == ""


def test_box_tells_that_nothing_was_tried_after_a_cancel(studio: Studio, box: SmokeBox) -> None:
    box.begin(studio, demo_document(), owner=OWNER)
    assert "Not now" in box.begin(studio, demo_document(), owner="ben")[box.result]
    studio.trials.cancel(owner=OWNER)
    trial = studio.trials.latest(owner=OWNER)
    assert trial is not None and trial.done.wait(timeout=20)
    shown = box.watch(studio, owner=OWNER)
    assert is_at_rest(box, shown) and "Nothing was tried" in shown[box.result]


def test_box_repeats_what_forbids_a_run(studio: Studio, box: SmokeBox) -> None:
    assert "Please correct this first" in box.begin(studio, {}, owner=OWNER)[box.result]
    document = {**demo_document(), "model": {"base_model": "/nowhere/at/all"}}
    assert "model_not_found" in box.begin(studio, document, owner=OWNER)[box.result]
    assert studio.trials.latest(owner=OWNER) is None
