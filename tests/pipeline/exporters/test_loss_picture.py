"""The picture of a run's losses shows every line that there is, whatever the numbers are."""

import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.exporters.loss_picture import draw_curve
from pipeline.exporters.run_facts import Curve

BLUE, PALE, ORANGE, GREY = (47, 111, 219), (185, 208, 246), (217, 99, 30), (122, 130, 144)
LEGEND = 100
VALUES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


def below_legend(data: bytes) -> dict[tuple[int, ...], int]:
    """How many points of the drawing itself have each colour."""
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("PNG", (1600, 800))
    counted = image.crop((0, LEGEND, *image.size)).getcolors(1 << 24)
    assert counted is not None
    return {colour: count for count, colour in counted}


def test_both_lines_are_drawn() -> None:
    training = [(step, 2 / step) for step in range(1, 51)]
    colours = below_legend(draw_curve(Curve("loss", training, [(25, 0.5), (50, 0.2)])))
    assert colours[BLUE] > 1000 and colours[ORANGE] > 500
    assert PALE not in colours and GREY not in colours


def test_many_values_are_drawn_with_their_mean() -> None:
    training = [(step, 1 + math.sin(step)) for step in range(1, 2001)]
    colours = below_legend(draw_curve(Curve("loss", training, []), kept_step=1000))
    assert colours[PALE] > colours[BLUE] > 1000
    assert colours[GREY] > 100
    assert ORANGE not in colours


@pytest.mark.parametrize("values", [[0.0], [2.0], [-3.0, -3.0], [1e-5, 2e-5], [0.0, 0.0], [1e6, 1.0]])
def test_few_or_equal_values_are_drawn(values: list[float]) -> None:
    assert below_legend(draw_curve(Curve("reward", list(enumerate(values, 1)), [])))[BLUE] > 0


@settings(max_examples=30, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=12), st.integers(1, 1000))
def test_any_values_fit_on_the_picture(values: list[float], every: int) -> None:
    points = [(every * place, value) for place, value in enumerate(values, 1)]
    image = Image.open(io.BytesIO(draw_curve(Curve("loss", points, points))))
    drawn = image.crop((0, LEGEND, *image.size)).point(lambda value: value)
    edge = [drawn.getpixel((x, drawn.height - 20)) for x in range(20, 600)]
    assert set(edge) == {(255, 255, 255)}


def test_no_values_are_no_picture() -> None:
    with pytest.raises(ValueError, match="without points"):
        draw_curve(Curve("loss", [], []))
