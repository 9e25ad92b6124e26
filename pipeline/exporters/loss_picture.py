"""Draws how the loss of a run fell as a picture: training and held-out rows by optimiser step."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pipeline.exporters.run_facts import Curve, Points

# Shown at half of this, it is sharp on fine screens too.
SIZE = (1600, 800)
_LEFT, _TOP, _RIGHT, _BOTTOM = 130, 100, 50, 110
_PAPER, _FRAME, _GRID, _INK, _QUIET = "#ffffff", "#d0d4da", "#e7e9ed", "#1f2430", "#5c6370"
_TRAINING, _PALE, _HELD_OUT, _MARK = "#2f6fdb", "#b9d0f6", "#d9631e", "#7a8290"
_TEXT_SIZE, _TITLE_SIZE = 26, 30
# More points than these are drawn as their mean, over the points themselves in a pale colour.
_POINTS = 150
_TICKS = 5


@dataclass(frozen=True)
class _Scale:
    """Where a value lies on the picture, and the values that are written at its axis."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_curve(curve: Curve, *, kept_step: int | None = None) -> bytes:
    """The curve as a PNG; a dashed line at `kept_step`, where the weights of another step than the last were kept.

    Raises:
        ValueError: there are no points.
    """
    points = [*curve.training, *curve.held_out]
    if not points:
        raise ValueError("a curve without points cannot be drawn")
    image = Image.new("RGB", SIZE, _PAPER)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, SIZE[0] - 1, SIZE[1] - 1), radius=16, outline=_FRAME, width=2)
    across = _scale([step for step, _ in points] + [0], _LEFT, SIZE[0] - _RIGHT, whole=True)
    upward = _scale([value for _, value in points], SIZE[1] - _BOTTOM, _TOP)
    _draw_axes(draw, across, upward, curve.name.capitalize())
    if kept_step is not None:
        _draw_mark(draw, across.place(kept_step))
    _draw_lines(draw, curve, across, upward, is_marked=kept_step is not None)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _scale(values: Sequence[float], start: float, end: float, *, whole: bool = False) -> _Scale:
    """Round numbers at an axis that takes in all values; from zero where they come near it."""
    low, high = min(values), max(values)
    if 0 < low < 0.4 * high or 0 < low == high:
        low = 0.0
    step = _round_step((high - low) / _TICKS if high > low else max(abs(high), 1.0) / _TICKS)
    step = max(1.0, step) if whole else step
    first = math.floor(low / step + 1e-9) * step
    # An axis of steps ends at the last one, an axis of values at a round number above the highest.
    last = high if whole and high > low else max(math.ceil(high / step - 1e-9) * step, first + step)
    count = int((last - first) / step + 1e-9)
    return _Scale(first, last, start, end, [first + place * step for place in range(count + 1)])


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))


def _draw_axes(draw: ImageDraw.ImageDraw, across: _Scale, upward: _Scale, title: str) -> None:
    font = ImageFont.load_default(_TEXT_SIZE)
    for tick in upward.ticks:
        height = upward.place(tick)
        draw.line((_LEFT, height, SIZE[0] - _RIGHT, height), fill=_GRID, width=2)
        draw.text((_LEFT - 16, height), _number(tick, upward), fill=_QUIET, font=font, anchor="rm")
    for tick in across.ticks:
        place = across.place(tick)
        draw.line((place, upward.start, place, upward.start + 10), fill=_QUIET, width=2)
        draw.text((place, upward.start + 18), _number(tick, across), fill=_QUIET, font=font, anchor="ma")
    draw.line((_LEFT, upward.start, SIZE[0] - _RIGHT, upward.start), fill=_QUIET, width=2)
    draw.text(((_LEFT + SIZE[0] - _RIGHT) / 2, SIZE[1] - 24), "Optimiser step", fill=_QUIET, font=font, anchor="md")
    draw.text((_LEFT, 36), title, fill=_INK, font=ImageFont.load_default(_TITLE_SIZE), anchor="la")


def _number(tick: float, scale: _Scale) -> str:
    step = scale.ticks[1] - scale.ticks[0] if len(scale.ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += not math.isclose(step * 10**digits, round(step * 10**digits))
    return f"{tick:,.{digits}f}"


def _draw_mark(draw: ImageDraw.ImageDraw, place: float) -> None:
    for top in range(_TOP, SIZE[1] - _BOTTOM, 20):
        draw.line((place, top, place, top + 10), fill=_MARK, width=3)


def _draw_lines(draw: ImageDraw.ImageDraw, curve: Curve, across: _Scale, upward: _Scale, *, is_marked: bool) -> None:
    def placed(points: Points) -> list[tuple[float, float]]:
        return [(across.place(step), upward.place(value)) for step, value in points]

    window = math.ceil(len(curve.training) / _POINTS)
    legend = [(f"training, mean of {window} values" if window > 1 else "training", _TRAINING)]
    if window > 1:
        draw.line(placed(curve.training), fill=_PALE, width=2, joint="curve")
    _line(draw, placed(_means(curve.training, window)), _TRAINING)
    if curve.held_out:
        legend = [*(legend if curve.training else []), ("held out", _HELD_OUT)]
        _line(draw, placed(curve.held_out), _HELD_OUT)
        for x, y in placed(curve.held_out) if len(curve.held_out) <= _POINTS else []:
            draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=_HELD_OUT, outline=_PAPER, width=2)
    _draw_legend(draw, [*legend, *([("weights of this step", _MARK)] if is_marked else [])])


def _line(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str) -> None:
    if len(points) == 1:
        x, y = points[0]
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    else:
        draw.line(points, fill=colour, width=5, joint="curve")


def _means(points: Points, window: int) -> list[tuple[int, float]]:
    """The mean of each point and those before it, `window` of them at most."""
    values = [value for _, value in points]
    starts = (max(0, place - window + 1) for place in range(len(points)))
    return [
        (step, sum(values[start : place + 1]) / (place + 1 - start))
        for place, ((step, _), start) in enumerate(zip(points, starts, strict=True))
    ]


def _draw_legend(draw: ImageDraw.ImageDraw, entries: Sequence[tuple[str, str]]) -> None:
    font = ImageFont.load_default(_TEXT_SIZE)
    right = float(SIZE[0] - _RIGHT)
    for label, colour in reversed(entries):
        draw.text((right, 50), label, fill=_INK, font=font, anchor="rm")
        right -= draw.textlength(label, font=font) + 14
        draw.line((right - 44, 50, right, 50), fill=colour, width=6)
        right -= 44 + 40
