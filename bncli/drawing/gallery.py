"""What a run shows of itself: a few pictures before and after, planes, and histograms.

All of it is gathered while the pictures pass by in the second pass; the pictures are made small at
once. A run of which nothing is to be drawn makes no gallery.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.moments import PixelStatistics
from bncli.batchnorm.tiling import Raster, fixed_slices
from bncli.batchnorm.transform import Transform
from bncli.drawing.histogram import Histogram
from bncli.drawing.thumbnails import (
    Range,
    Rows,
    cell_extremes,
    cell_means,
    signed_colours,
    to_picture,
)
from bncli.images.decode import Decoded
from bncli.images.layout import Shape, to_file_order
from bncli.travels import travels

Picture = NDArray[np.uint8]
"""(h, w, 1 or 3)."""

SHOWN = 8
_SATURATED = 99.0  # percentile: a pixel of hardly any variance must not make all others white


@dataclass(frozen=True, slots=True)
class Subject:
    """What a gallery must know of a run before its second pass.

    Attributes:
        names: of the pictures of the batch.
        shape: (w, h, c) of each.
        dtype: of each.
        transform: what the forward does.
        y_range: least and greatest y of the batch whose statistics are used.
        black_white: the y that become black and white; None where each picture has its own.
        alpha_last: whether the last channel is an alpha channel that is normalized too.
    """

    names: Sequence[str]
    shape: Shape
    dtype: np.dtype[Any]
    transform: Transform
    y_range: tuple[float, float]
    black_white: tuple[float, float] | None
    alpha_last: bool = False


@travels
@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one picture adds to the gallery.

    Attributes:
        position: in the batch.
        x, y: histograms of its values.
        before, after: small, (h, w, 1 or 3), or None where it is not one of those shown.
        gradient: extremes of the cells, (h, w), or None.
    """

    position: int
    x: Histogram
    y: Histogram
    before: Picture | None = None
    after: Picture | None = None
    gradient: Raster | None = None


@dataclass(frozen=True, slots=True)
class PlaneView:
    """One value for each pixel of the batch, drawn.

    Attributes:
        name: what it is.
        picture: (h, w, 1 or 3).
        shown: the values of the two ends of the colours.
        signed: whether the colours run from blue over white to red.
        largest: the largest absolute value there is, which may lie beyond the colours.
    """

    name: str
    picture: Picture
    shown: Range
    signed: bool = False
    largest: float = 0.0


class Gallery:
    """The pictures, planes and histograms of one run.

    Args:
        subject: the run.
        statistics: that are used; not needed after this.
    """

    def __init__(self, subject: Subject, statistics: PixelStatistics) -> None:
        unit = subject.transform.unit
        self.subject = subject
        self.x_shown = Range(0.0, 1.0) if unit > 1 else _input_range(statistics)
        top = (unit + 1) / unit if unit > 1 else self.x_shown.high
        self.x = Histogram(self.x_shown.low, top, subject.shape[2])
        self.y = Histogram(*subject.y_range, subject.shape[2])
        self.glimpses: dict[int, Glimpse] = {}
        mean = self._means(lambda tile: statistics.mean(tile) / unit)
        std = self._means(lambda tile: np.sqrt(statistics.variance(tile)) / unit)
        spread = Range(0.0, float(std.max()))
        self.planes = [
            PlaneView("mean", self._picture(mean, self.x_shown), self.x_shown),
            PlaneView("standard deviation", self._picture(std, spread), spread),
        ]

    @property
    def positions(self) -> list[int]:
        """Of the pictures that are shown: the first, the last, and some evenly between."""
        last = len(self.subject.names) - 1
        count = min(SHOWN, last + 1)
        return sorted({round(index * last / max(1, count - 1)) for index in range(count)})

    def look(self, position: int, picture: Decoded, gradient: Raster | None) -> Glimpse:
        """What a picture adds; changes nothing, so that any thread or process may ask.

        Args:
            position: in the batch.
            picture: as it was read.
            gradient: of its input, (pixels,), where there is a backward pass.
        """
        subject, x = self.subject, picture.values
        seen = Glimpse(position, self.x.empty(), self.y.empty())
        for tile in self._tiles():
            if subject.transform.unit > 1:
                seen.x.add_levels(x[tile])
            else:
                seen.x.add(x[tile].astype(np.float64))
            seen.y.add(subject.transform.part(tile).y(x[tile]))
        if position not in self.positions:
            return seen
        pixels = to_file_order(x, subject.shape)
        before = cell_means(lambda first, end: pixels[first:end], subject.shape)
        alpha = self._alpha(picture)
        slope = None
        if gradient is not None:
            values = to_file_order(gradient, subject.shape)
            slope = cell_extremes(lambda first, end: values[first:end], subject.shape)
        return Glimpse(
            position, seen.x, seen.y,
            before=self._picture(before / subject.transform.unit, self.x_shown, alpha),
            after=self._picture(self._after(x), Range(0, 1), alpha),
            gradient=slope,
        )  # fmt: skip

    def take(self, seen: Glimpse) -> None:
        """Take in what a picture adds; counts are whole, so the order does not matter."""
        self.x.join(seen.x)
        self.y.join(seen.y)
        if seen.before is not None:
            self.glimpses[seen.position] = seen

    def add_gradient(self, name: str, plane: Raster) -> None:
        """Take in grad_gamma or grad_beta, (pixels,)."""
        values = to_file_order(plane, self.subject.shape)
        cells = cell_extremes(lambda first, end: values[first:end], self.subject.shape)
        limit = _limit([cells])
        self.planes.append(
            PlaneView(
                name, signed_colours(cells, limit), Range(-limit, limit),
                signed=True, largest=float(np.abs(cells).max()),
            )
        )  # fmt: skip

    @property
    def pictures(self) -> list[Glimpse]:
        """Those shown, in their order."""
        return [self.glimpses[position] for position in sorted(self.glimpses)]

    @property
    def gradients(self) -> list[PlaneView]:
        """The gradients of the pictures shown, all in one range; none without a backward pass."""
        cells = [seen.gradient for seen in self.pictures if seen.gradient is not None]
        limit = _limit(cells)
        return [
            PlaneView(
                "grad_input", signed_colours(cell, limit), Range(-limit, limit),
                signed=True, largest=max(float(np.abs(other).max()) for other in cells),
            )
            for cell in cells
        ]  # fmt: skip

    def _tiles(self) -> list[slice]:
        return fixed_slices(math.prod(self.subject.shape), self.subject.shape[2])

    def _means(self, plane: Any) -> Raster:
        return cell_means(_rows(plane, self.subject.shape), self.subject.shape)

    def _after(self, x: Raster) -> Raster:
        """The cells of one picture normalized, as shares of black and white."""
        transform = self.subject.transform
        ends = self.subject.black_white
        if ends is None:
            each = (transform.part(tile).y(x[tile]) for tile in self._tiles())
            lows, highs = zip(*((float(y.min()), float(y.max())) for y in each), strict=True)
            ends = min(lows), max(highs)
        shown = Range(*ends)
        # Clipped before the mean is taken: a reduced picture is the one written, made smaller.
        return self._means(lambda tile: shown.share(transform.part(tile).y(x[tile])))

    def _alpha(self, picture: Decoded) -> Raster | None:
        if picture.alpha is None:
            return None
        white = np.iinfo(picture.alpha.dtype).max if picture.alpha.dtype.kind != "f" else 1.0
        width, height, _ = self.subject.shape
        plane = picture.alpha.reshape(height, width, 1)
        cells = cell_means(lambda first, end: plane[first:end], (width, height, 1)) / white
        return np.clip(cells, 0, 1)

    def _picture(self, cells: Raster, shown: Range, alpha: Raster | None = None) -> Picture:
        if self.subject.alpha_last:
            alpha, cells = shown.share(cells[..., -1:]), cells[..., :-1]
        return to_picture(cells, shown, alpha)


def _rows(plane: Any, shape: Shape) -> Rows:
    """Rows of what a function gives for a slice of the raster."""
    width, _, channels = shape
    line = width * channels
    return lambda first, end: plane(slice(first * line, end * line)).reshape(-1, width, channels)


def _input_range(statistics: PixelStatistics) -> Range:
    low, high = float(statistics.minimum.min()), float(statistics.maximum.max())
    return Range(0.0, 1.0) if low >= 0 and high <= 1 else Range(low, high)


def _limit(cells: Sequence[Raster]) -> float:
    sizes = np.concatenate([np.abs(cell).ravel() for cell in cells]) if cells else np.zeros(1)
    usual = float(np.percentile(sizes, _SATURATED))
    return usual or float(sizes.max())
