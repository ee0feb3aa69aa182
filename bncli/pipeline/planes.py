"""From moments to what is done to every pixel, and to the numbers people read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.moments import PixelMoments
from bncli.images.layout import Shape
from bncli.images.levels import Scale, rescaled

Raster = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Planes:
    """What the forward does to each pixel, float64 rasters, (pixels,).

    Attributes:
        mean: in the units of the source.
        variance, inv_std: in value scale (squared, and its inverse).
        x_scale: from source units less the mean to x_norm: inv_std / unit.
        gamma, beta: scale and shift.
        dead: which pixels have variance exactly 0.
    """

    mean: Raster
    variance: Raster
    inv_std: Raster
    x_scale: Raster
    gamma: Raster
    beta: Raster
    dead: Raster

    @classmethod
    def of(
        cls, moments: PixelMoments, unit: float, eps: float, gamma: Raster, beta: Raster
    ) -> Planes:
        """The planes of a batch with these moments, whose value scale divides by *unit*."""
        variance = moments.variance() / unit**2
        inv_std = 1 / np.sqrt(variance + eps)
        return cls(
            mean=moments.mean(),
            variance=variance,
            inv_std=inv_std,
            x_scale=inv_std / unit,
            gamma=gamma,
            beta=beta,
            dead=variance == 0,
        )

    def x_norm(self, x: Raster) -> Raster:
        """One picture, or one value for each pixel, normalized."""
        centred: Raster = x - self.mean
        return centred * self.x_scale

    def y(self, x: Raster) -> Raster:
        """``gamma * x_norm + beta`` of one picture; exactly beta where a pixel is dead."""
        return self.x_norm(x) * self.gamma + self.beta


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


def channels_of(planes: Planes, moments: PixelMoments, unit: float, shape: Shape) -> list[Channel]:
    """What the summary says of each channel."""
    means = (planes.mean / unit).reshape(-1, shape[2])
    variances = planes.variance.reshape(-1, shape[2])
    low, high = (plane.reshape(-1, shape[2]) for plane in y_range(planes, moments))
    spread = variances.mean(axis=0) + means.var(axis=0)
    return [
        Channel(
            mean=float(means[:, k].mean()),
            std=float(np.sqrt(spread[k])),
            low=float(low[:, k].min()),
            high=float(high[:, k].max()),
        )
        for k in range(shape[2])
    ]


def y_range(planes: Planes, moments: PixelMoments) -> tuple[Raster, Raster]:
    """The least and greatest y of every pixel: y is affine in x, so they lie at the ends of x."""
    ends = planes.y(moments.minimum), planes.y(moments.maximum)
    return np.minimum(*ends), np.maximum(*ends)


def black_and_white(scale: Scale, planes: Planes, channels: list[Channel]) -> tuple[float, float]:
    """The y that become black and white, for every scale but ``image``."""
    if scale.kind == "minmax":
        return min(c.low for c in channels), max(c.high for c in channels)
    if scale.kind == "sigma":
        variance = (planes.gamma * planes.inv_std) ** 2 * planes.variance
        spread = float(np.sqrt(variance.mean() + planes.beta.var()))
        centre = float(planes.beta.mean())
        return centre - scale.width * spread, centre + scale.width * spread
    return scale.low, scale.high


def level_planes(planes: Planes, low: float, high: float, white: int) -> tuple[Raster, Raster]:
    """Slope and intercept of each pixel, from source units straight to pixel values."""
    if high <= low:
        return np.zeros_like(planes.mean), np.zeros_like(planes.mean)
    slope = planes.x_scale * planes.gamma * (white / (high - low))
    slope[planes.dead] = 0
    return slope, rescaled(planes.beta, low, high, white) - planes.mean * slope
