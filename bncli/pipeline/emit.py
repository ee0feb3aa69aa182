"""The second pass: every picture normalized and written, its gradient with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from bncli.storage.arrays import narrowed
from bncli.storage.rows import RowWriter
from bncli.storage.run_folder import RunFolder

Raster = NDArray[Any]

_TILE = 1 << 14


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written of one picture.

    Attributes:
        clipped: values that were clipped, for each channel.
        grad_square_sum: sum of the squares of its gradient.
    """

    clipped: tuple[int, ...]
    grad_square_sum: float = 0.0


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


Levels = Callable[[Raster], tuple[Raster, Raster | None]]
"""From one picture to its pixel values, and which were clipped, or None for none."""


def batch_levels(slope: Raster, intercept: Raster, dtype: np.dtype[Any]) -> Levels:
    """Pixel values of one range for the whole batch."""
    return lambda x: to_levels(x, slope, intercept, dtype)


def revived_levels(
    levels: Levels, planes: Planes, low: float, high: float, dtype: np.dtype[Any]
) -> Levels:
    """The same for pictures whose dead pixels may have other values than in the statistics.

    Args:
        levels: right for every pixel but those.
        planes: of the statistics.
        low, high: the y that are black and white.
        dtype: of the pixel values.
    """
    dead = np.flatnonzero(planes.dead)
    usual, white = planes.mean[dead], int(np.iinfo(dtype).max)

    def revived(x: Raster) -> tuple[Raster, Raster | None]:
        values, clipped = levels(x)
        places = dead[x[dead] != usual]
        if len(places):
            with np.errstate(all="ignore"):
                y = planes.part(places).y(x[places])
                raw = np.rint(rescaled(y, low, high, white))
            clipped = np.zeros(len(x), bool) if clipped is None else clipped
            clipped[places] = (raw < 0) | (raw > white)
            values[places] = np.clip(raw, 0, white)
        return values, clipped

    return revived if len(dead) else levels


def picture_levels(planes: Planes, dtype: np.dtype[Any]) -> Levels:
    """Pixel values of a range for each picture: its own least and greatest y."""

    def levels(x: Raster) -> tuple[Raster, None]:
        y = planes.y(x)
        white = int(np.iinfo(dtype).max)
        return np.rint(rescaled(y, y.min(), y.max(), white)).astype(dtype), None

    return levels


Emitter = Callable[[int, Decoded], tuple[int, ...]]
"""Writes the picture at a place of the batch; gives the clipped values of each channel."""


def png_emitter(run: RunFolder, names: list[str], shape: Shape, levels: Levels) -> Emitter:
    """Write each picture as a PNG file."""

    def emit(position: int, picture: Decoded) -> tuple[int, ...]:
        values, mask = levels(picture.values)
        content = png_bytes(values, picture.alpha, shape, picture.icc)
        clipped = _by_channel(mask, shape[2])
        run.write(names[position], content, clipped)
        return clipped

    return emit


def tiff_emitter(run: RunFolder, names: list[str], shape: Shape, planes: Planes) -> Emitter:
    """Write each picture as a float32 TIFF file."""

    def emit(position: int, picture: Decoded) -> tuple[int, ...]:
        y = narrowed(planes.y(picture.values), np.dtype(np.float32))
        content = tiff_bytes(y, picture.alpha, shape)
        clipped = (0,) * shape[2]
        run.write(names[position], content, clipped)
        return clipped

    return emit


def array_emitter(out: RowWriter, shape: Shape, planes: Planes) -> Emitter:
    """Write each picture into one array, (batch, w, h, c)."""

    def emit(position: int, picture: Decoded) -> tuple[int, ...]:
        out.write(position, to_array(planes.y(picture.values), shape))
        return (0,) * shape[2]

    return emit


def kept_picture(run: RunFolder, name: str, channels: int) -> tuple[int, ...] | None:
    """What an emitter would give for a picture that an earlier run has left whole, or None."""
    entry = run.kept(name)
    clipped = entry.facts if entry is not None else None
    if isinstance(clipped, list) and [type(n) for n in clipped] == [int] * channels:
        return tuple(clipped)
    return None


def square_sum(values: Raster) -> float:
    """Sum of squares; not by BLAS, whose last bits depend on how many threads it takes."""
    return float(np.einsum("p,p->", values, values))


def _by_channel(clipped: Raster | None, channels: int) -> tuple[int, ...]:
    if clipped is None:
        return (0,) * channels
    return tuple(int(n) for n in np.count_nonzero(clipped.reshape(-1, channels), axis=0))
