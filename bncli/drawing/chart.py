"""Histograms as the numbers of an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 34
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One channel: its name, and the path of its steps."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A histogram, ready to be drawn in a space of WIDTH by HEIGHT.

    Attributes:
        name: of the values.
        lines: one for each channel.
        across, up: marks on the axes: values, and shares of all values in one bin.
        left, right, top, bottom: edges of the space between the axes.
    """

    name: str
    lines: Sequence[Line]
    across: Sequence[Tick]
    up: Sequence[Tick]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def chart(
    name: str, low: float, high: float, counts: Sequence[Sequence[int]], names: Sequence[str]
) -> Chart:
    """The chart of a histogram.

    Args:
        name: of the values.
        low, high: the range of the bins.
        counts: of each channel, in bins of one width.
        names: of the channels.
    """
    shares = [[count / max(1, sum(series)) for count in series] for series in counts]
    most = max(max(series) for series in shares) or 1.0
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    bottom = HEIGHT - _BOTTOM

    def path(series: Sequence[float]) -> str:
        step = width / len(series)
        words = [f"M{_LEFT} {bottom}"]
        for index, share in enumerate(series):
            words.append(f"V{bottom - share / most * height:.1f}H{_LEFT + (index + 1) * step:.1f}")
        return "".join(words) + f"V{bottom}"

    spread = high - low
    across = [
        Tick(round(_LEFT + (value - low) / spread * width, 1), label)
        for value, label in nice_marks(low, high)
        if spread > 0
    ]
    up = [
        Tick(round(bottom - value / most * height, 1), f"{value * 100:g}%")
        for value, _ in nice_marks(0, most)
    ]
    lines = [Line(channel, path(series)) for channel, series in zip(names, shares, strict=True)]
    return Chart(name, lines, across, up)


def nice_marks(low: float, high: float) -> list[tuple[float, str]]:
    """About five round numbers from *low* to *high*, and how they are written."""
    if not 0 < high - low < math.inf:
        return []
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(index * step, f"{index * step:.6g}") for index in range(first, last + 1)]
