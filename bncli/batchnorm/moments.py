"""Per-pixel sums of a set of pictures, which can be added up.

Three kinds with one face: :class:`Moments` for unsigned integers of 8 and 16 bits, and
:class:`WideMoments` for the other integers, are exact, so that any split of the pictures adds up to
the same bits in any order; :class:`FloatMoments` is as accurate as two passes over the
data, and gives the same bits for the same pictures added in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from bncli.batchnorm.float_moments import FloatBlocks, FloatMoments
from bncli.batchnorm.tiling import Raster, tile_slices
from bncli.batchnorm.wide_moments import WideMoments
from bncli.errors import LimitError
from bncli.travels import travels

_ROWS_AT_ONCE = 256
"""So many squares of 8-bit or sums of 16-bit values stay below 2**32."""

_EXACT_FLOAT = 1 << 53
_NARROW_TOTAL = 1 << 32
_SAFE_TOTAL = 1 << 63
_ALL = slice(None)


class PixelStatistics(Protocol):
    """What is known of a set of pictures, whatever they hold."""

    count: int
    minimum: Raster
    maximum: Raster

    def mean(self, tile: slice = _ALL) -> Raster:
        """Mean of every pixel, or of some, float64, (pixels,)."""

    def variance(self, tile: slice = _ALL) -> Raster:
        """Variance of every pixel, or of some, float64, (pixels,)."""


class PixelMoments(PixelStatistics, Protocol):
    """Statistics that pictures can be added to; the variance is divided by the count."""

    def add(self, rows: Raster) -> None:
        """Take in pictures, (batch, pixels)."""

    def join(self, part: Any) -> None:
        """Take in what :func:`part_for` summed up."""

    def planes(self) -> dict[str, Raster]:
        """All there is but the count, by name, each (pixels,)."""

    def restore(self, count: int, planes: Mapping[str, Raster]) -> None:
        """Become the moments whose count and planes these are, which are not checked."""


def moments_for(pixels: int, dtype: DTypeLike) -> PixelMoments:
    """The kind of moments that fits pictures of this dtype: exact for integers of 8 to 32 bits."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return FloatMoments(pixels, kind)
    narrow = kind in (np.uint8, np.uint16)
    return Moments(pixels, kind) if narrow else WideMoments(pixels, kind)


def part_for(pixels: int, dtype: DTypeLike) -> PixelMoments | FloatBlocks:
    """Sums of some pictures, to be joined to moments of others of this dtype elsewhere.

    Parts of integers may be joined in any order. Those of floating-point pictures give the same
    bits as the pictures themselves if they are of the same blocks, joined in the same order.
    """
    return FloatBlocks() if np.dtype(dtype).kind == "f" else moments_for(pixels, dtype)


@travels
class Moments:
    """Exact sums over a set of 8 or 16-bit pictures.

    Args:
        pixels: how many values one picture has.
        dtype: uint8 or uint16.

    Attributes:
        count: how many pictures were added.
        total, square_total: sum and sum of squares of every pixel, uint32 as long as they must fit,
            then uint64, (pixels,).
        minimum, maximum: of every pixel, of the pictures' dtype, (pixels,).

    Examples:
        >>> import numpy as np
        >>> a = np.array([[0, 10], [2, 10], [250, 10]], np.uint8)
        >>> moments = Moments.of(a[:1]) + Moments.of(a[1:])
        >>> print(moments.mean(), moments.variance())
        [84. 10.] [13778.66666667     0.        ]
        >>> moments == Moments.of(a)
        True
    """

    count: int
    total: Raster
    square_total: Raster
    minimum: Raster
    maximum: Raster

    def __init__(self, pixels: int, dtype: np.dtype[Any]) -> None:
        self.count = 0
        self.total = np.zeros(pixels, np.uint32)
        self.square_total = np.zeros(pixels, np.uint32)
        self.minimum = np.full(pixels, np.iinfo(dtype).max, dtype)
        self.maximum = np.zeros(pixels, dtype)

    @classmethod
    def of(cls, rows: Raster) -> Self:
        """The moments of pictures, (batch, pixels)."""
        moments = cls(rows.shape[1], rows.dtype)
        moments.add(rows)
        return moments

    @property
    def dtype(self) -> np.dtype[Any]:
        """The pictures' dtype."""
        dtype: np.dtype[Any] = self.minimum.dtype
        return dtype

    def add(self, rows: Raster) -> None:
        """Take in pictures of the moments' dtype, (batch, pixels).

        Raises:
            LimitError: a sum could pass 2**63; nothing was added then.
        """
        self._make_room(self.count + len(rows))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            for tile in tile_slices(block.shape[1], len(block) * 4 * block.itemsize):
                self._add_tile(block[:, tile], tile)
        self.count += len(rows)

    def join(self, part: Moments) -> None:
        """Take in the pictures that are summed up in *part*.

        Raises:
            LimitError: a sum could pass 2**63; nothing was added then.
        """
        self._make_room(self.count + part.count)
        self.count += part.count
        self.total += part.total
        self.square_total += part.square_total
        np.minimum(self.minimum, part.minimum, out=self.minimum)
        np.maximum(self.maximum, part.maximum, out=self.maximum)

    def __add__(self, other: Moments) -> Moments:
        both = Moments(len(self.total), self.dtype)
        both.join(self)
        both.join(other)
        return both

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Moments):
            return NotImplemented
        return (
            self.count == other.count
            and self.dtype == other.dtype
            and all(
                np.array_equal(plane, other.planes()[name]) for name, plane in self.planes().items()
            )
        )

    __hash__ = None  # type: ignore[assignment]  # it changes as pictures are added

    def mean(self, tile: slice = _ALL) -> Raster:
        """Mean of every pixel, or of some, float64, rounded once, (pixels,)."""
        return self.total[tile] / np.float64(self.count)

    def variance(self, tile: slice = _ALL) -> Raster:
        """Variance of every pixel, or of some, divided by the count, float64, (pixels,).

        It is ``(count * square_total - total**2) / count**2`` with an exact integer above the line.
        """
        count, largest = self.count, int(np.iinfo(self.dtype).max)
        if (count * largest) ** 2 < _EXACT_FLOAT:
            # All numbers on the way are integers that float64 holds, and it is the faster.
            scaled = self.square_total[tile].astype(np.float64)
            scaled *= count
            total = self.total[tile].astype(np.float64)
            total *= total
            scaled -= total
            scaled /= np.float64(count) ** 2
            return scaled
        squares, total = self.square_total[tile], self.total[tile].astype(np.uint64)
        # The product may wrap around; the difference is right modulo 2**64, and that is enough as
        # long as the variance, at most (range / 2)**2, times count**2 stays below 2**64.
        if count**2 * (largest**2 // 4 + 1) < 1 << 64:
            return (squares * np.uint64(count) - total * total) / np.float64(count) ** 2
        pairs = zip(squares.tolist(), total.tolist(), strict=True)
        return np.array([(count * square - once * once) / count**2 for square, once in pairs])

    def planes(self) -> dict[str, Raster]:
        """All there is but the count, by name, each (pixels,)."""
        return {
            "total": self.total,
            "square_total": self.square_total,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    def restore(self, count: int, planes: Mapping[str, Raster]) -> None:
        """Become the moments whose count and planes these are, which are not checked.

        Args:
            count: of the pictures.
            planes: as :meth:`planes` gives them, of any width; taken over where they fit.

        Raises:
            LimitError: there are too many pictures for exact sums.
        """
        self._make_room(count)
        self.count = count
        self.total = planes["total"].astype(self.total.dtype)
        self.square_total = planes["square_total"].astype(self.square_total.dtype)
        self.minimum, self.maximum = planes["minimum"], planes["maximum"]

    def _make_room(self, count: int) -> None:
        """Widen the sums if those of *count* pictures may not fit."""
        largest = int(np.iinfo(self.dtype).max)
        if count * largest**2 >= _SAFE_TOTAL:
            raise LimitError(
                f"{count} pictures of {self.dtype} are too many for exact sums; "
                f"at most {_SAFE_TOTAL // largest**2 - 1} fit"
            )
        if count * largest >= _NARROW_TOTAL:
            self.total = self.total.astype(np.uint64, copy=False)
        if count * largest**2 >= _NARROW_TOTAL:
            self.square_total = self.square_total.astype(np.uint64, copy=False)

    def _add_tile(self, block: Raster, tile: slice) -> None:
        wide = block.astype(np.uint16 if block.dtype == np.uint8 else np.uint32)
        self.total[tile] += np.add.reduce(wide, axis=0, dtype=np.uint32)
        np.multiply(wide, wide, out=wide)
        # A row of 16-bit squares fills 32 bits, so only 8-bit ones are added up in 32.
        narrow = np.uint32 if block.dtype == np.uint8 else np.uint64
        self.square_total[tile] += np.add.reduce(wide, axis=0, dtype=narrow)
        self.minimum[tile] = np.minimum(self.minimum[tile], block.min(axis=0))
        self.maximum[tile] = np.maximum(self.maximum[tile], block.max(axis=0))
