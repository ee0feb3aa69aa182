"""The second pass: every picture normalized and written, its gradient with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.kernels import input_gradient
from bncli.images.decode import Decoded
from bncli.images.encode import png_bytes, tiff_bytes
from bncli.images.layout import Shape, to_array
from bncli.images.levels import rescaled, to_levels
from bncli.pipeline.collect import DeltaRows
from bncli.pipeline.planes import Planes
from bncli.storage.run_folder import RunFolder

Raster = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written of one picture.

    Attributes:
        digest: SHA-256 of the file, or None where the picture is part of an array.
        clipped: values that were clipped, for each channel.
        grad_square_sum: sum of the squares of its gradient.
    """

    digest: str | None
    clipped: tuple[int, ...]
    grad_square_sum: float = 0.0

    def with_gradient(self, square_sum: float) -> Emitted:
        """The same, with the gradient written too."""
        return replace(self, grad_square_sum=square_sum)


@dataclass(frozen=True, slots=True)
class Gradient:
    """What the gradient of the input needs and where it goes.

    Attributes:
        delta: gives the delta of one picture.
        grad_gamma, grad_beta: (pixels,), sums over the batch.
        batch: number of pictures.
        out: (batch, w, h, c), receives the gradients.
    """

    delta: DeltaRows
    grad_gamma: Raster
    grad_beta: Raster
    batch: int
    out: NDArray[Any]

    def write(self, position: int, x: Raster, planes: Planes, shape: Shape) -> float:
        """Write the gradient of one picture; returns the sum of its squares."""
        x_norm = planes.x_norm(x)
        gradient = np.empty_like(x_norm)
        input_gradient(
            self.delta(position), x_norm, planes.gamma * planes.inv_std,
            self.grad_gamma, self.grad_beta, self.batch, gradient,
        )  # fmt: skip
        self.out[position] = to_array(gradient, shape)
        return float(gradient @ gradient)


@dataclass(frozen=True, slots=True)
class Levels:
    """How y becomes pixel values.

    Attributes:
        dtype: uint8 or uint16.
        slope, intercept: from source units to pixel values, (pixels,); None where each picture has
            a range of its own.
    """

    dtype: np.dtype[Any]
    slope: Raster | None = None
    intercept: Raster | None = None

    def of(self, x: Raster, planes: Planes) -> tuple[Raster, Raster | None]:
        """Pixel values of one picture, and which were clipped, or None for none."""
        if self.slope is not None and self.intercept is not None:
            return to_levels(x, self.slope, self.intercept, self.dtype)
        y = planes.y(x)
        white = np.iinfo(self.dtype).max
        return np.rint(rescaled(y, y.min(), y.max(), white)).astype(self.dtype), None


Emitter = Callable[[int, Decoded], Emitted]
"""Writes the picture at a place of the batch."""


def png_emitter(
    run: RunFolder, names: list[str], shape: Shape, planes: Planes, levels: Levels
) -> Emitter:
    """Write each picture as a PNG file."""

    def emit(position: int, picture: Decoded) -> Emitted:
        values, clipped = levels.of(picture.values, planes)
        content = png_bytes(values, picture.alpha, shape, picture.icc)
        return Emitted(run.write(names[position], content), _by_channel(clipped, shape[2]))

    return emit


def tiff_emitter(run: RunFolder, names: list[str], shape: Shape, planes: Planes) -> Emitter:
    """Write each picture as a float32 TIFF file."""

    def emit(position: int, picture: Decoded) -> Emitted:
        content = tiff_bytes(planes.y(picture.values), picture.alpha, shape)
        return Emitted(run.write(names[position], content), (0,) * shape[2])

    return emit


def array_emitter(out: NDArray[Any], shape: Shape, planes: Planes) -> Emitter:
    """Write each picture into one array, (batch, w, h, c)."""

    def emit(position: int, picture: Decoded) -> Emitted:
        out[position] = to_array(planes.y(picture.values), shape)
        return Emitted(None, (0,) * shape[2])

    return emit


def _by_channel(clipped: Raster | None, channels: int) -> tuple[int, ...]:
    if clipped is None:
        return (0,) * channels
    return tuple(int(n) for n in np.count_nonzero(clipped.reshape(-1, channels), axis=0))
