"""The three gradients of a batch that is too large to be held, a picture at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bncli.batchnorm.kernels import input_gradient
from bncli.batchnorm.tiling import Raster, fixed_slices
from bncli.batchnorm.transform import Transform


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


@dataclass(frozen=True, slots=True)
class InputGradient:
    """From the delta of a picture to the gradient of its input.

    Attributes:
        transform: of the batch.
        grad_gamma, grad_beta: (pixels,), sums over the batch.
        batch: number of pictures.
    """

    transform: Transform
    grad_gamma: Raster
    grad_beta: Raster
    batch: int

    def of(self, delta: Raster, x: Raster) -> Raster:
        """The gradient of one picture, float64, (pixels,).

        Args:
            delta: of the picture, (pixels,).
            x: the picture, (pixels,).
        """
        gradient = np.empty(len(x))
        with np.errstate(all="ignore"):  # the norms tell what overflows
            for tile in fixed_slices(len(x)):
                part = self.transform.part(tile)
                scale = part.gamma * part.x_scale * part.unit
                slope = part.x_scale * self.grad_gamma[tile] / -self.batch
                constant = self.grad_beta[tile] / -self.batch
                centred = x[tile] - part.mean
                input_gradient(delta[tile], centred, slope, constant, scale, gradient[tile])
        return gradient


def square_sum(values: Raster) -> float:
    """Sum of squares; not by BLAS, whose last bits depend on how many threads it takes."""
    return float(np.einsum("p,p->", values, values))
