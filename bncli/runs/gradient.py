"""The gradient of the input, a picture at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.kernels import input_gradient
from bncli.batchnorm.transform import Planes
from bncli.images.layout import Shape, to_array
from bncli.runs.reading import DeltaRows
from bncli.storage.arrays import RowWriter

Raster = NDArray[Any]

_TILE = 1 << 14


@dataclass(frozen=True, slots=True)
class Gradient:
    """What the gradient of the input needs and where it goes.

    Attributes:
        delta: gives the delta of one picture.
        planes: of the batch.
        grad_gamma, grad_beta: (pixels,), sums over the batch.
        batch: number of pictures.
        out: (batch, w, h, c), receives the gradients, a picture at a time.
    """

    delta: DeltaRows
    planes: Planes
    grad_gamma: Raster
    grad_beta: Raster
    batch: int
    out: RowWriter

    def values(self, position: int, x: Raster) -> Raster:
        """The gradient of one picture, (pixels,)."""
        delta = self.delta(position)
        gradient = np.empty(len(x))
        with np.errstate(all="ignore"):  # the norms of the summary tell what overflows
            self._fill(gradient, delta, x)
        return gradient

    def write(self, position: int, x: Raster, shape: Shape) -> float:
        """Write the gradient of one picture; returns the sum of its squares."""
        gradient = self.values(position, x)
        self.out.write(position, to_array(gradient, shape))
        return square_sum(gradient)

    def _fill(self, gradient: Raster, delta: Raster, x: Raster) -> None:
        for start in range(0, len(x), _TILE):
            tile = slice(start, start + _TILE)
            part = self.planes.part(tile)
            scale = part.gamma * part.x_scale * part.unit
            slope = part.x_scale * self.grad_gamma[tile] / -self.batch
            constant = self.grad_beta[tile] / -self.batch
            centred = x[tile] - part.mean
            input_gradient(delta[tile], centred, slope, constant, scale, gradient[tile])


def square_sum(values: Raster) -> float:
    """Sum of squares; not by BLAS, whose last bits depend on how many threads it takes."""
    return float(np.einsum("p,p->", values, values))
