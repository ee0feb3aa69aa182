"""Statistics that are used: of the batch, unbiased, running, or from numbers somebody has saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bncli.batchnorm.moments import Moments, PixelMoments, moments_for
from bncli.batchnorm.tiling import Raster, tile_slices
from bncli.batchnorm.wide_moments import WideMoments
from bncli.errors import ArrayError, SinglePictureError

_ALL = slice(None)
_NEAR = 2.0**-48
_ROUNDING = 1e-9
"""Relative; what floating-point sums may be off by is far less."""


class UnbiasedMoments:
    """Moments whose variance is divided by the count less 1.

    It is the ``Var[x] = m / (m - 1) * E[variance]`` of Ioffe & Szegedy (2015), algorithm 2, for one
    batch of all pictures: an unbiased estimate of the variance of the population.

    Args:
        moments: of at least two pictures.
    """

    def __init__(self, moments: PixelMoments) -> None:
        if moments.count == 1:
            raise SinglePictureError("one picture has no unbiased variance; --ddof 1 takes two")
        self.count = moments.count
        self.minimum = moments.minimum
        self.maximum = moments.maximum
        self._moments = moments

    def mean(self, tile: slice = _ALL) -> Raster:
        """Mean of every pixel, or of some, float64, (pixels,)."""
        return self._moments.mean(tile)

    def variance(self, tile: slice = _ALL) -> Raster:
        """Variance of every pixel, or of some, divided by the count less 1, float64, (pixels,)."""
        return self._moments.variance(tile) * (self.count / (self.count - 1))


class RunningView:
    """Running statistics with the face of moments.

    Args:
        moments: of all the pictures; they know minimum and maximum.
        mean, variance: running, in value scale, (pixels,).
        unit: the value that value scale calls 1.
    """

    def __init__(self, moments: PixelMoments, mean: Raster, variance: Raster, unit: float) -> None:
        self.count = moments.count
        self.minimum = moments.minimum
        self.maximum = moments.maximum
        self._mean = mean
        self._variance = variance
        self._unit = unit

    def mean(self, tile: slice = _ALL) -> Raster:
        """Running mean of every pixel, or of some, in the pictures' units, float64, (pixels,)."""
        return self._mean[tile] * self._unit

    def variance(self, tile: slice = _ALL) -> Raster:
        """Running variance of every pixel, or of some, likewise squared, float64, (pixels,)."""
        return self._variance[tile] * self._unit**2


class RunningStatistics:
    """Running mean and variance, as the training mode of PyTorch's BatchNorm keeps them.

    Every *batch_size* pictures move ``running = (1 - momentum) * running + momentum * of_batch``,
    where the variance of a batch is divided by its size less 1; before the first batch the mean is
    0 and the variance 1. The last batch may be smaller, as with PyTorch's DataLoader.

    Args:
        pixels, dtype: of a picture.
        unit: the value that value scale calls 1.
        momentum: share of the newest batch, in (0, 1]; None for the plain average over the batches.
        batch_size: at least 2.

    Attributes:
        mean, variance: running, in value scale, float64, (pixels,).
    """

    def __init__(
        self, pixels: int, dtype: DTypeLike, unit: float, momentum: float | None, batch_size: int
    ) -> None:
        self.mean = np.zeros(pixels)
        self.variance = np.ones(pixels)
        self._dtype = dtype
        self._unit = unit
        self._momentum = momentum
        self._size = batch_size
        self._batch = moments_for(pixels, dtype)
        self._batches = 0

    def add(self, rows: Raster) -> None:
        """Take in pictures, (any number, pixels), in the order of training."""
        while len(rows):
            room = self._size - self._batch.count
            self._batch.add(rows[:room])
            rows = rows[room:]
            if self._batch.count == self._size:
                self._step()

    def finish(self) -> None:
        """Take the last batch, if pictures are left for it.

        Raises:
            SinglePictureError: it has one picture, and so no unbiased variance.
        """
        check_batches(self._batch.count, self._size)
        if self._batch.count:
            self._step()

    def _step(self) -> None:
        count = self._batch.count
        self._batches += 1
        share = 1 / self._batches if self._momentum is None else self._momentum
        mean = self._batch.mean() / self._unit
        variance = self._batch.variance() * (count / (count - 1)) / self._unit**2
        self.mean = (1 - share) * self.mean + share * mean
        self.variance = (1 - share) * self.variance + share * variance
        self._batch = moments_for(len(self.mean), self._dtype)


def check_batches(count: int, batch_size: int) -> None:
    """Raise SinglePictureError if *count* pictures leave one alone in the last batch."""
    if count % batch_size == 1:
        raise SinglePictureError(
            f"--batch-size {batch_size} leaves one picture for the last batch, which has no "
            "unbiased variance; choose another"
        )


def restored_moments(count: int, dtype: DTypeLike, planes: Mapping[str, Raster]) -> PixelMoments:
    """The moments whose count and planes these are.

    Args:
        count: of the pictures, at least 1.
        dtype: of the pictures.
        planes: as ``PixelMoments.planes`` gives them, each (pixels,), integers of any width; taken
            over, not copied, where they fit.

    Raises:
        ArrayError: no set of pictures has such moments; the message names the plane.
        LimitError: there are too many pictures for exact sums.
    """
    moments = moments_for(len(planes["minimum"]), dtype)
    if isinstance(moments, WideMoments):
        return _restored_wide(moments, count, planes)
    check = _check_integers if isinstance(moments, Moments) else _check_floats
    for tile in tile_slices(len(planes["minimum"]), 64):
        check(count, {name: plane[tile] for name, plane in planes.items()}, tile.start)
    moments.restore(count, planes)
    return moments


def _check_integers(count: int, planes: Mapping[str, Raster], start: int) -> None:
    """Exactly, in 64 bits: count is below 2**31 for 16-bit pictures, 2**47 for 8-bit ones."""
    number = np.uint64(count)
    total, squares = (planes[name].astype(np.uint64) for name in ("total", "square_total"))
    low, high = (planes[name].astype(np.uint64) for name in ("minimum", "maximum"))
    _demand(low <= high, "minimum", "above the maximum", start)
    # Both ends occur, so the sum lies between all others at one end and all others at the other.
    _demand(total >= low * (number - 1) + high, "total", "below what the minimum allows", start)
    _demand(total <= high * (number - 1) + low, "total", "above what the maximum allows", start)
    # squares >= total**2 / count, with the square written out around total = mean * count + rest.
    mean, rest = total // number, total % number
    floor = mean * mean * number + np.uint64(2) * mean * rest
    floor += (rest * rest + (number - 1)) // number
    _demand(squares >= floor, "square_total", "below what the total allows", start)
    # The sum of (x - minimum) * (maximum - x) is not negative (Bhatia & Davis 2000).
    ceiling = (low + high) * total - number * low * high
    _demand(squares <= ceiling, "square_total", "above what minimum and maximum allow", start)
    even = (squares ^ total) & np.uint64(1) == 0
    _demand(even, "square_total", "odd where the total is even, or even where it is odd", start)


def _restored_wide(
    moments: WideMoments, count: int, planes: Mapping[str, Raster]
) -> WideMoments:  # fmt: skip
    """The moments of these planes, found possible: exactly, in 64 bits where that is enough."""
    moments.restore(count, planes)
    for tile in tile_slices(len(moments.total), 64):
        total, start = moments.total[tile], tile.start
        low, high = (p[tile].astype(np.int64) for p in (moments.minimum, moments.maximum))
        _demand(low <= high, "minimum", "above the maximum", start)
        _demand(total >= low * (count - 1) + high, "total", "below what minimum allows", start)
        _demand(total <= high * (count - 1) + low, "total", "above what maximum allows", start)
        squares = moments.square_low[tile], moments.square_high[tile]
        _demand(squares[0] < np.uint64(1 << 32), "square_low", "of more than 32 bits", start)
        about, rest = np.divmod(total, count)
        below, above = about - low, high - about
        near = moments.squares_about(about, rest, tile)
        far = moments.are_far(tile)
        # Modulo 2**64 it is exact, and in floating point near enough to tell multiples of that.
        whole = near + about * (about.astype(np.float64) * count + 2.0 * rest)
        told = squares[1] * 2.0**32 + squares[0]
        sound = np.abs(told - whole) <= _NEAR * (told + about.astype(np.float64) ** 2 * count) + 1
        most = (above - below) * rest + below * above * count
        sound &= (most >= 0) & (near <= most.astype(np.uint64))
        sound &= near * np.uint64(count) >= rest.astype(np.uint64) ** 2
        for place in np.flatnonzero(far):
            once, ends = int(total[place]), (int(low[place]), int(high[place]))
            twice = (int(squares[1][place]) << 32) + int(squares[0][place])
            ceiling = sum(ends) * once - count * ends[0] * ends[1]
            sound[place] = once * once <= count * twice and twice <= ceiling
        _demand(sound, "square_low", "not what total, minimum and maximum allow", start)
        even = (squares[0] ^ total.astype(np.uint64)) & np.uint64(1) == 0
        _demand(even, "square_low", "odd where the total is even, or even where it is odd", start)
    return moments


def _check_floats(count: int, planes: Mapping[str, Raster], start: int) -> None:
    mean, deviation = planes["mean"], planes["square_deviation"]
    low, high = planes["minimum"], planes["maximum"]
    _demand(low <= high, "minimum", "above the maximum", start)
    with np.errstate(all="ignore"):
        slack = _ROUNDING * np.maximum(np.abs(low), np.abs(high))
        within = (mean >= low - slack) & (mean <= high + slack)
        _demand(within, "mean", "outside of minimum and maximum", start)
        _demand(deviation >= 0, "square_deviation", "negative", start)
        width = (high - low) / 2 + slack
        possible = deviation / count <= width * width
        _demand(possible, "square_deviation", "above what minimum and maximum allow", start)
        alone = (low == high) | (count > 1)
        _demand(alone, "minimum", "below the maximum of a single picture", start)


def _demand(possible: Any, name: str, fault: str, start: int) -> None:
    if not possible.all():
        place = start + int(np.argmin(possible))
        raise ArrayError(
            f"its {name} is {fault} at pixel {place}: no pictures have such statistics; "
            "it is damaged or not bncli's"
        )
