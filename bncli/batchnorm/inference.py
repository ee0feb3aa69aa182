"""Statistics for inference: other means and variances than those of the whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from bncli.batchnorm.moments import PixelMoments, Raster, moments_for
from bncli.errors import SinglePictureError

_ALL = slice(None)


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
