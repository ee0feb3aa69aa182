"""Moments from numbers that somebody has saved: taken only if pictures can have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bncli.batchnorm.float_moments import FloatMoments
from bncli.batchnorm.moments import Moments, PixelMoments, Raster, moments_for
from bncli.batchnorm.tiling import tile_slices
from bncli.errors import ArrayError

_ROUNDING = 1e-9
"""Relative; what floating-point sums may be off by is far less."""


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
    check = _check_integers if isinstance(moments, Moments) else _check_floats
    for tile in tile_slices(len(planes["minimum"]), 64):
        check(count, {name: plane[tile] for name, plane in planes.items()}, tile.start)
    if isinstance(moments, Moments):
        moments._make_room(count)  # noqa: SLF001 - a second way to make one
        moments.total = planes["total"].astype(moments.total.dtype)
        moments.square_total = planes["square_total"].astype(moments.square_total.dtype)
    elif isinstance(moments, FloatMoments):
        moments._mean = planes["mean"]  # noqa: SLF001 - likewise
        moments.square_deviation = planes["square_deviation"]
    moments.count = count
    moments.minimum, moments.maximum = planes["minimum"], planes["maximum"]
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
