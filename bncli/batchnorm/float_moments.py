"""Sums over floating-point pictures: as accurate as two passes, and joined block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncli.batchnorm.tiling import Raster, tile_slices
from bncli.errors import NonFiniteError
from bncli.travels import travels

_ALL = slice(None)
_PLANES = ("pivot", "offset", "square_deviation", "minimum", "maximum")


class FloatMoments:
    """Mean and sum of squared deviations over a set of floating-point pictures.

    Blocks are taken in with two passes each and merged by the formula of Chan, Golub & LeVeque,
    "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).

    Args:
        pixels: how many values one picture has.
        dtype: of the pictures.

    Attributes:
        count: how many pictures were added.
        square_deviation: sum of (x - mean)**2 of every pixel, float64, (pixels,).
        minimum, maximum: of every pixel, float64, (pixels,).
    """

    def __init__(self, pixels: int, dtype: np.dtype[Any]) -> None:
        self.count = 0
        self.dtype = dtype
        self.square_deviation = np.zeros(pixels)
        self.minimum = np.full(pixels, np.inf)
        self.maximum = np.full(pixels, -np.inf)
        self._mean = np.zeros(pixels)

    def add(self, rows: Raster) -> None:
        """Take in pictures, (batch, pixels).

        Raises:
            NonFiniteError: their variance overflows.
        """
        with np.errstate(all="ignore"):
            for tile in tile_slices(rows.shape[1], len(rows) * 8):
                self._join_tile(FloatBlock.of(rows[:, tile]), tile)
        self._count(len(rows))

    def __add__(self, other: FloatMoments) -> FloatMoments:
        """The moments of the union; not exact, and the order of the two may show in the last bits.

        Raises:
            NonFiniteError: the variance overflows.
        """
        both = FloatMoments(len(self._mean), np.promote_types(self.dtype, other.dtype))
        both.minimum = np.minimum(self.minimum, other.minimum)
        both.maximum = np.maximum(self.maximum, other.maximum)
        count = self.count + other.count
        with np.errstate(all="ignore"):
            distance = other._mean - self._mean
            both._mean = self._mean + distance * (other.count / count)
            both.square_deviation = self.square_deviation + other.square_deviation
            distance *= distance
            both.square_deviation += distance * (self.count * other.count / count)
        both._count(count)
        return both

    def mean(self, tile: slice = _ALL) -> Raster:
        """Mean of every pixel, or of some, float64, (pixels,)."""
        return self._mean[tile].copy()

    def variance(self, tile: slice = _ALL) -> Raster:
        """Variance of every pixel, or of some, divided by the count, float64, (pixels,)."""
        return self.square_deviation[tile] / self.count

    def planes(self) -> dict[str, Raster]:
        """All there is but the count, by name, each (pixels,)."""
        return {
            "mean": self._mean,
            "square_deviation": self.square_deviation,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    def restore(self, count: int, planes: Mapping[str, Raster]) -> None:
        """Become the moments whose count and planes these are; neither checked nor copied."""
        self.count = count
        self._mean, self.square_deviation = planes["mean"], planes["square_deviation"]
        self.minimum, self.maximum = planes["minimum"], planes["maximum"]

    def join(self, part: FloatBlocks) -> None:
        """Take in blocks of pictures, in their order.

        Raises:
            NonFiniteError: their variance overflows.
        """
        for block in part.blocks:
            with np.errstate(all="ignore"):
                self._join_tile(block, _ALL)
            self._count(block.count)

    def _count(self, batch: int) -> None:
        if not np.isfinite(self.square_deviation).all():
            raise NonFiniteError("the values are too large: their variance overflows; rescale them")
        self.count += batch

    def _join_tile(self, block: FloatBlock, tile: slice) -> None:
        batch, seen = block.count, self.count
        self.minimum[tile] = np.minimum(self.minimum[tile], block.minimum)
        self.maximum[tile] = np.maximum(self.maximum[tile], block.maximum)
        # Equal pictures must stay equal to the last bit, so the mean moves by the distance of the
        # means, which is exactly 0 then.
        pivot, offset, deviation = block.pivot, block.offset, block.square_deviation
        distance = (pivot - self._mean[tile]) + offset if seen else pivot + offset
        self._mean[tile] += distance * (batch / (seen + batch))
        if seen:
            deviation = deviation + distance * distance * (seen * batch / (seen + batch))
        self.square_deviation[tile] += deviation


@travels
@dataclass(frozen=True, slots=True)
class FloatBlock:
    """One block of floating-point pictures, or some pixels of it.

    Attributes:
        count: how many pictures.
        pivot: the first picture, float64, (pixels,).
        offset: mean of every pixel less the pivot, (pixels,).
        square_deviation: sum of (x - mean)**2 of every pixel, (pixels,).
        minimum, maximum: of every pixel, (pixels,).
    """

    count: int
    pivot: Raster
    offset: Raster
    square_deviation: Raster
    minimum: Raster
    maximum: Raster

    @classmethod
    def of(cls, rows: Raster) -> FloatBlock:
        """The block of pictures, (batch, pixels)."""
        block = rows.astype(np.float64)
        minimum, maximum = block.min(axis=0), block.max(axis=0)
        pivot = block[0].copy()
        block -= pivot
        offset = np.add.reduce(block, axis=0) / len(block)
        block -= offset
        deviation = np.einsum("bp,bp->p", block, block)
        return cls(len(block), pivot, offset, deviation, minimum, maximum)

    def planes(self) -> dict[str, Raster]:
        """All there is but the count, by name."""
        return {name: getattr(self, name) for name in _PLANES}


@travels
@dataclass(slots=True)
class FloatBlocks:
    """Blocks of floating-point pictures that are joined to moments elsewhere.

    Attributes:
        blocks: in order.
    """

    blocks: list[FloatBlock] = field(default_factory=list)

    def add(self, rows: Raster) -> None:
        """Take in one block, (batch, pixels)."""
        with np.errstate(all="ignore"):  # the moments tell what overflows
            parts = [
                FloatBlock.of(rows[:, tile]) for tile in tile_slices(rows.shape[1], len(rows) * 8)
            ]
        whole = [np.concatenate([getattr(part, name) for part in parts]) for name in _PLANES]
        self.blocks.append(FloatBlock(len(rows), *whole))
