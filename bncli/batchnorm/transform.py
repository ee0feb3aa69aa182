"""From statistics to what is done to every pixel, and to the numbers people read.

Everything is computed tile by tile: the whole planes that are kept are few, since for large
pictures they are most of the memory. Tiles are of one size on every machine and are joined in
order, so the numbers do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncli.batchnorm.moments import PixelStatistics
from bncli.batchnorm.tiling import Raster, fixed_slices


@dataclass(frozen=True, slots=True)
class Transform:
    """What the forward does to each pixel, float64 rasters, (pixels,).

    Attributes:
        mean: in the units of the source.
        x_scale: from source units less the mean to x_norm: inv_std / unit.
        gamma, beta: scale and shift.
        dead: which pixels have variance exactly 0, bool.
        unit: what value scale divides by.
    """

    mean: Raster
    x_scale: Raster
    gamma: Raster
    beta: Raster
    dead: Raster
    unit: float

    @classmethod
    def blank(cls, gamma: Raster, beta: Raster, unit: float) -> Transform:
        """A transform whose mean, x_scale and dead are still to be filled in by :func:`survey`."""
        pixels = len(gamma)
        return cls(np.empty(pixels), np.empty(pixels), gamma, beta, np.empty(pixels, bool), unit)

    def x_norm(self, x: Raster) -> Raster:
        """One picture, or one value for each pixel, normalized."""
        centred: Raster = x - self.mean
        centred *= self.x_scale
        return centred

    def y(self, x: Raster) -> Raster:
        """``gamma * x_norm + beta`` of one picture; exactly beta where a pixel is dead."""
        y = self.x_norm(x)
        y *= self.gamma
        y += self.beta
        return y

    def part(self, tile: slice | Raster) -> Transform:
        """The same of some pixels."""
        return Transform(
            mean=self.mean[tile],
            x_scale=self.x_scale[tile],
            gamma=self.gamma[tile],
            beta=self.beta[tile],
            dead=self.dead[tile],
            unit=self.unit,
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel over all pixels and pictures.

    Attributes:
        mean, std: of the input in value scale, std divided by the count.
        low, high: range of y.
    """

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a whole batch.

    Attributes:
        channels: one for each.
        dead: how many pixels have variance exactly 0.
        y_mean, y_std: of y over all pixels and pictures.
    """

    channels: list[Channel]
    dead: int
    y_mean: float
    y_std: float


def survey(
    statistics: PixelStatistics, transform: Transform, eps: float, channels: int, executor: Executor
) -> Survey:
    """Fill in the transform of a batch, and find what is to be known of it.

    Args:
        statistics: of the batch, or what is to be used in their place.
        transform: gamma, beta and unit are read; mean, x_scale and dead are written.
        eps: added to the variance.
        channels: of a picture.
        executor: where tiles are computed.
    """

    def look(tile: slice) -> _Part:
        with np.errstate(all="ignore"):  # what overflows is found by the caller
            return _survey_tile(statistics, transform, eps, tile, channels)

    parts = list(executor.map(look, fixed_slices(len(transform.mean), channels)))
    x = _joined([part.x_mean for part in parts])
    beta = _joined([part.beta for part in parts])
    pixels = len(transform.mean)
    variance = sum(part.variance for part in parts) / (pixels / channels)
    std = np.sqrt(variance + x.deviation / x.count)
    low = np.min([part.low for part in parts], axis=0)
    high = np.max([part.high for part in parts], axis=0)
    y_variance = sum(part.y_variance for part in parts) / pixels
    return Survey(
        channels=[
            Channel(*map(float, numbers)) for numbers in zip(x.mean, std, low, high, strict=True)
        ],
        dead=sum(part.dead for part in parts),
        y_mean=float(beta.mean[0]),
        y_std=float(np.sqrt(y_variance + beta.deviation[0] / beta.count)),
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """Count, mean and sum of squared deviations, of several channels at once."""

    count: int
    mean: Raster
    deviation: Raster

    @classmethod
    def of(cls, plane: Raster, channels: int) -> _Spread:
        mean = _by_channel(np.mean, plane, channels)
        squares = [np.square(plane[k::channels] - mean[k]).sum() for k in range(channels)]
        return cls(len(plane) // channels, mean, np.array(squares))


@dataclass(frozen=True, slots=True)
class _Part:
    """What the survey finds in one tile; sums are over its pixels, for each channel."""

    x_mean: _Spread
    beta: _Spread
    variance: Raster
    low: Raster
    high: Raster
    y_variance: float
    dead: int


def _survey_tile(
    statistics: PixelStatistics, transform: Transform, eps: float, tile: slice, channels: int
) -> _Part:
    variance = statistics.variance(tile) / transform.unit**2
    inv_std = 1 / np.sqrt(variance + eps)
    transform.mean[tile] = mean = statistics.mean(tile)
    transform.x_scale[tile] = inv_std / transform.unit
    transform.dead[tile] = dead = variance == 0
    part = transform.part(tile)
    # y is affine in x, so its range lies at the ends of x.
    ends = part.y(statistics.minimum[tile]), part.y(statistics.maximum[tile])
    return _Part(
        x_mean=_Spread.of(mean / transform.unit, channels),
        beta=_Spread.of(part.beta, 1),
        variance=_by_channel(np.sum, variance, channels),
        low=_by_channel(np.min, np.minimum(*ends), channels),
        high=_by_channel(np.max, np.maximum(*ends), channels),
        y_variance=float(np.sum((part.gamma * inv_std) ** 2 * variance)),
        dead=int(np.count_nonzero(dead)),
    )


def _by_channel(reduce: Callable[[Raster], Any], plane: Raster, channels: int) -> Raster:
    """One number for each channel; a stride is ten times as fast as a short axis."""
    return np.array([reduce(plane[k::channels]) for k in range(channels)])


def _joined(spreads: list[_Spread]) -> _Spread:
    """The spread of the union, by the formula of Chan, Golub & LeVeque (1979)."""
    whole = spreads[0]
    for part in spreads[1:]:
        count = whole.count + part.count
        distance = part.mean - whole.mean
        whole = _Spread(
            count,
            whole.mean + distance * (part.count / count),
            whole.deviation + part.deviation + distance**2 * (whole.count * part.count / count),
        )
    return whole
