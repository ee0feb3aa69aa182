"""Back from y to pixel values, and by how much they can be off."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bncli.batchnorm.levels import Levels
from bncli.batchnorm.moments import PixelStatistics
from bncli.batchnorm.tiling import Raster, fixed_slices
from bncli.batchnorm.transform import Transform, survey
from bncli.travels import travels

_ROUNDING = 2.0**-49
"""More than the roundings of float64 on the way there and back add up to, relative."""

_SMALLEST = 2.0**-149
"""Of float32: what is nearer to 0 is stored as this or as 0."""


@dataclass(frozen=True, slots=True)
class FloatNumbers:
    """y stored as floating-point numbers.

    Attributes:
        precision: the relative distance of neighbouring numbers as they were stored.
    """

    precision: float

    def decode(self, stored: Raster) -> tuple[Raster, Raster]:
        """What y they stand for, (pixels,), and by how much each can be off: half a distance."""
        y = stored.astype(np.float64)
        return y, np.abs(y) * (self.precision / 2) + _SMALLEST


@travels
@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one picture, or of several.

    Attributes:
        largest_error: by which a value can be off, in the units of the source.
        inexact: values that can be off.
        foreign: values that no pixel value can have become.
        saturated: values that were black or white, and so may have been clipped.
    """

    largest_error: float = 0.0
    inexact: int = 0
    foreign: int = 0
    saturated: int = 0

    def __add__(self, other: Restored) -> Restored:
        return Restored(
            max(self.largest_error, other.largest_error),
            self.inexact + other.inexact,
            self.foreign + other.foreign,
            self.saturated + other.saturated,
        )


@dataclass(frozen=True, slots=True)
class Inverse:
    """From y back to pixel values.

    ``x = mean + (y - beta) / (gamma * x_scale)``, so an error of y becomes one of x that is
    ``1 / (gamma * x_scale)`` times as large: for a pixel of 16 bits whose gamma is small beside its
    beta, even that of float32 can pass half a value. It is worked out for each value.

    Attributes:
        transform: of the statistics.
        spread: of each pixel, by how far a value of the fit lies from the mean at most, (pixels,).
        dtype: of the source.
        written: dtype that the values are rounded to when they are written.
        reading: what the numbers of the files mean.
        clipping: whether black and white may be clipped values.
    """

    transform: Transform
    spread: Raster
    dtype: np.dtype[Any]
    written: np.dtype[Any]
    reading: Levels | FloatNumbers
    clipping: bool

    @classmethod
    def of(
        cls, statistics: PixelStatistics, gamma: Raster, beta: Raster, unit: float, eps: float,
        channels: int, dtype: np.dtype[Any], written: np.dtype[Any],
        reading: Levels | FloatNumbers, executor: Executor, *, clipping: bool,
    ) -> Self:  # fmt: skip
        """The inverse of what these statistics do.

        Args:
            statistics: that the pictures were normalized with.
            gamma, beta: scale and shift, (pixels,).
            unit: what value scale divides by.
            eps: added to the variance.
            channels: of a picture.
            dtype: of the source.
            written: dtype that the values are rounded to when they are written.
            reading: what the numbers of the files mean.
            executor: where tiles are computed.
            clipping: whether black and white may be clipped values.
        """
        transform = Transform.blank(gamma, beta, unit)
        survey(statistics, transform, eps, channels, executor)
        mean = transform.mean
        spread = np.maximum(statistics.maximum - mean, mean - statistics.minimum)
        return cls(transform, spread, dtype, written, reading, clipping)

    def restore(self, stored: Raster) -> tuple[Raster, Restored]:
        """The pixel values of one picture.

        Args:
            stored: the numbers of its file, (pixels,).
        """
        out, told = np.empty(len(stored), self.dtype), Restored()
        for tile in fixed_slices(len(stored)):
            with np.errstate(all="ignore"):  # a slope of 0 is dealt with
                x, error = self._values(stored[tile], tile)
            out[tile], part = self._rounded(x, error, self._saturated(stored[tile]))
            told += part
        return out, told

    def _saturated(self, stored: Raster) -> Raster:
        if not self.clipping:
            return np.zeros(len(stored), bool)
        ends: Raster = (stored == 0) | (stored == np.iinfo(stored.dtype).max)
        return ends

    def _values(self, stored: Raster, tile: slice) -> tuple[Raster, Raster]:
        """X before it is rounded, and by how much it can be off."""
        y, error = self.reading.decode(stored)
        part = self.transform.part(tile)
        slope = part.gamma * part.x_scale
        x = (y - part.beta) / slope + part.mean
        error += _ROUNDING * (np.abs(y) + np.abs(part.beta))
        error /= np.abs(slope)
        error += _ROUNDING * (np.abs(x) + np.abs(part.mean))
        lost = ~np.isfinite(x) | ~np.isfinite(error)  # gamma is 0, or as good as that
        x[lost], error[lost] = part.mean[lost], self.spread[tile][lost]
        # In every picture of the fit a dead pixel had its mean; here too if that can be.
        dead = part.dead & (np.abs(x - part.mean) <= error)
        x[dead], error[dead] = part.mean[dead], 0
        return x, error

    def _rounded(self, x: Raster, error: Raster, saturated: Raster) -> tuple[Raster, Restored]:
        if self.dtype.kind == "f":
            # Half the distance of neighbours in the dtype that is written comes on top.
            coarser = max(np.finfo(self.dtype).eps, np.finfo(self.written).eps)
            error = error + np.abs(x) * (coarser / 2)
            inexact = int(np.count_nonzero(error))
            return x.astype(self.dtype), Restored(float(error.max()), inexact)
        ends = np.iinfo(self.dtype)
        whole = np.clip(np.rint(x), ends.min, ends.max)
        foreign = (np.abs(x - whole) > error) & ~saturated
        wrong = np.floor(error + 0.5)
        if self.written.kind == "f":  # which does not hold every integer
            wrong += np.abs(whole.astype(self.written) - whole)
        return whole.astype(self.dtype), Restored(
            largest_error=float(min(wrong.max(), ends.max - ends.min)),
            inexact=int(np.count_nonzero(wrong)),
            foreign=int(np.count_nonzero(foreign)),
            saturated=int(np.count_nonzero(saturated)),
        )
