"""The sums behind the gradients of gamma and beta, taken in one picture at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Raster = NDArray[Any]


class GradientSums:
    """Sums over the batch from which the gradients follow once mean and variance are known.

    ``sum delta * (x - mean)`` is ``sum delta * (x - pivot) - (mean - pivot) * sum delta`` for any
    pivot; with a picture of the batch as the pivot, no digits cancel that the pictures share.

    Args:
        pivot: the first picture, (pixels,), in the units of the source.
    """

    def __init__(self, pivot: Raster) -> None:
        self._pivot = pivot.astype(np.float64)
        self._delta_sum = np.zeros(len(pivot))
        self._product_sum = np.zeros(len(pivot))

    def add(self, x: Raster, delta: Raster) -> None:
        """Take in one picture and its delta, each (pixels,)."""
        with np.errstate(all="ignore"):  # the gradients tell what overflows
            distance = x - self._pivot
            distance *= delta
            self._product_sum += distance
            self._delta_sum += delta

    def gradients(self, mean: Raster, x_scale: Raster) -> tuple[Raster, Raster]:
        """grad_gamma and grad_beta, each (pixels,).

        Args:
            mean: of the batch, in the units of the source.
            x_scale: from source units less the mean to x_norm.
        """
        with np.errstate(all="ignore"):
            centred = self._product_sum - (mean - self._pivot) * self._delta_sum
            return centred * x_scale, self._delta_sum
