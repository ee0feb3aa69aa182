"""Exact sums over pictures of signed or 32-bit integers, whose squares fill 64 bits each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from bncli.batchnorm.tiling import Raster, tile_slices
from bncli.errors import LimitError
from bncli.travels import travels

_ROWS_AT_ONCE = 256
_HALF = np.uint64(32)
_LOW = np.uint64((1 << 32) - 1)
_EXACT_FLOAT = 1 << 53
_MOST = 1 << 31
"""Pictures of which every sum fits."""

_ALL = slice(None)


@travels
class WideMoments:
    """Exact sums over a set of pictures of int8, int16, int32 or uint32.

    Args:
        pixels: how many values one picture has.
        dtype: of them.

    Attributes:
        count: how many pictures were added.
        total: sum of every pixel, int64, (pixels,).
        square_low, square_high: sum of squares of every pixel, ``high * 2**32 + low``, uint64,
            low below 2**32, (pixels,).
        minimum, maximum: of every pixel, of the pictures' dtype, (pixels,).

    Examples:
        >>> import numpy as np
        >>> a = np.array([[-3, 2**31 - 1], [5, -(2**31)]], np.int32)
        >>> moments = WideMoments.of(a[:1]) + WideMoments.of(a[1:])
        >>> print(moments.mean(), moments.variance())
        [ 1.  -0.5] [1.60000000e+01 4.61168602e+18]
        >>> moments == WideMoments.of(a)
        True
    """

    count: int
    total: Raster
    square_low: Raster
    square_high: Raster
    minimum: Raster
    maximum: Raster

    def __init__(self, pixels: int, dtype: np.dtype[Any]) -> None:
        ends = np.iinfo(dtype)
        self.count = 0
        self.total = np.zeros(pixels, np.int64)
        self.square_low = np.zeros(pixels, np.uint64)
        self.square_high = np.zeros(pixels, np.uint64)
        self.minimum = np.full(pixels, ends.max, dtype)
        self.maximum = np.full(pixels, ends.min, dtype)

    @classmethod
    def of(cls, rows: Raster) -> Self:
        """The moments of pictures, (batch, pixels)."""
        moments = cls(rows.shape[1], rows.dtype)
        moments.add(rows)
        return moments

    def add(self, rows: Raster) -> None:
        """Take in pictures of the moments' dtype, (batch, pixels).

        Raises:
            LimitError: there are too many pictures; nothing was added then.
        """
        self._make_room(self.count + len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            for tile in tile_slices(block.shape[1], len(block) * 32):
                self._add_tile(block[:, tile], tile)
        self.count += len(rows)

    def join(self, part: WideMoments) -> None:
        """Take in the pictures that are summed up in *part*.

        Raises:
            LimitError: there are too many pictures; nothing was added then.
        """
        self._make_room(self.count + part.count)
        self.count += part.count
        self.total += part.total
        self.square_low += part.square_low
        self.square_high += part.square_high
        self._carry(_ALL)
        np.minimum(self.minimum, part.minimum, out=self.minimum)
        np.maximum(self.maximum, part.maximum, out=self.maximum)

    def __add__(self, other: WideMoments) -> WideMoments:
        both = WideMoments(len(self.total), self.minimum.dtype)
        both.join(self)
        both.join(other)
        return both

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WideMoments):
            return NotImplemented
        mine, theirs = self.planes(), other.planes()
        return (
            self.count == other.count
            and self.minimum.dtype == other.minimum.dtype
            and all(np.array_equal(plane, theirs[name]) for name, plane in mine.items())
        )

    __hash__ = None  # type: ignore[assignment]  # it changes as pictures are added

    def mean(self, tile: slice = _ALL) -> Raster:
        """Mean of every pixel, or of some, float64, rounded once, (pixels,)."""
        total = self.total[tile]
        if max(int(total.max(initial=0)), -int(total.min(initial=0))) < _EXACT_FLOAT:
            return total / np.float64(self.count)
        return np.array([number / self.count for number in total.tolist()])

    def variance(self, tile: slice = _ALL) -> Raster:
        """Variance of every pixel, or of some, divided by the count, float64, (pixels,).

        It is ``(count * squares - total**2) / count**2`` with an exact integer above the line.
        """
        count, total = self.count, self.total[tile]
        about, rest = np.divmod(total, count)
        near = self.squares_about(about, rest, tile)
        # Right modulo 2**64, which is enough for all pixels whose numbers are near each other.
        numerator = near * np.uint64(count) - rest.astype(np.uint64) ** 2
        variance: Raster = numerator / np.float64(count) ** 2
        far = np.flatnonzero(self.are_far(tile))
        if len(far):
            planes = (total, self.square_low[tile], self.square_high[tile])
            sums = zip(*(plane[far].tolist() for plane in planes), strict=True)
            variance[far] = [
                (count * ((high << 32) + low) - once * once) / count**2 for once, low, high in sums
            ]
        return variance

    def are_far(self, tile: slice = _ALL) -> Raster:
        """Whether the numbers of a pixel are too far apart for sums in 64 bits."""
        span = self.maximum[tile].astype(np.int64) - self.minimum[tile]
        far: Raster = span.astype(np.uint64) * np.uint64(self.count) >= np.uint64(1 << 32)
        return far

    def squares_about(self, about: Raster, rest: Raster, tile: slice = _ALL) -> Raster:
        """Sum of ``(x - about)**2`` modulo 2**64, where the total is ``about * count + rest``."""
        squares = (self.square_high[tile] << _HALF) + self.square_low[tile]
        shift, count = about.astype(np.uint64), np.uint64(self.count)
        near: Raster = squares - shift * (shift * count + np.uint64(2) * rest.astype(np.uint64))
        return near

    def planes(self) -> dict[str, Raster]:
        """All there is but the count, by name, each (pixels,)."""
        return {
            "total": self.total,
            "square_low": self.square_low,
            "square_high": self.square_high,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    def restore(self, count: int, planes: Mapping[str, Raster]) -> None:
        """Become the moments whose count and planes these are, which are not checked.

        Raises:
            LimitError: there are too many pictures for exact sums.
        """
        self._make_room(count)
        self.count = count
        self.total = planes["total"]
        self.square_low = planes["square_low"].astype(np.uint64, copy=False)
        self.square_high = planes["square_high"].astype(np.uint64, copy=False)
        self.minimum, self.maximum = planes["minimum"], planes["maximum"]

    def _make_room(self, count: int) -> None:
        if count >= _MOST:
            raise LimitError(
                f"{count} pictures of {self.minimum.dtype} are too many for exact sums; "
                f"at most {_MOST - 1} fit"
            )

    def _add_tile(self, block: Raster, tile: slice) -> None:
        wide = block.astype(np.int64)
        self.total[tile] += wide.sum(axis=0)
        squares = np.abs(wide).view(np.uint64)
        squares *= squares
        self.square_low[tile] += (squares & _LOW).sum(axis=0)
        self.square_high[tile] += (squares >> _HALF).sum(axis=0)
        self._carry(tile)
        self.minimum[tile] = np.minimum(self.minimum[tile], block.min(axis=0))
        self.maximum[tile] = np.maximum(self.maximum[tile], block.max(axis=0))

    def _carry(self, tile: slice) -> None:
        self.square_high[tile] += self.square_low[tile] >> _HALF
        self.square_low[tile] &= _LOW
