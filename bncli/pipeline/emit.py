"""The second pass: every picture normalized and written, its gradient with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.kernels import input_gradient
from bncli.engines.work import Engine, in_order
from bncli.images.decode import Decoded
from bncli.images.encode import png_bytes, tiff_bytes
from bncli.images.layout import Shape, to_array
from bncli.pipeline.collect import DeltaRows
from bncli.pipeline.pixel_levels import Levels
from bncli.pipeline.places import Place, reread
from bncli.pipeline.planes import Planes
from bncli.storage.arrays import narrowed
from bncli.storage.rows import RowWriter
from bncli.storage.run_folder import RunFolder

if TYPE_CHECKING:  # what draws is not even loaded where nothing is drawn
    from bncli.pipeline.gallery import Gallery, Glimpse

Raster = NDArray[Any]

_TILE = 1 << 14
_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written of one picture.

    Attributes:
        clipped: values that were clipped, for each channel.
        grad_square_sum: sum of the squares of its gradient.
        digest: SHA-256 of the file, until the run knows of it.
        glimpse: what it adds to what is drawn, until it is added.
    """

    clipped: tuple[int, ...]
    grad_square_sum: float = 0.0
    digest: str | None = None
    glimpse: Glimpse | None = None


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


Write = Callable[[str, bytes, tuple[int, ...] | None], str]
"""Writes a picture of the run whole, with its clipped values; returns the SHA-256 of its bytes."""


Emitter = Callable[[Place, Decoded], Emitted]
"""Writes the picture at a place of the batch."""


@dataclass(frozen=True, slots=True)
class PngEmitter:
    """Writes each picture as a PNG file.

    Attributes:
        write: writes a file.
        shape: (w, h, c).
        levels: gives the pixel values.
    """

    write: Write
    shape: Shape
    levels: Levels

    def __call__(self, place: Place, picture: Decoded) -> Emitted:
        """Write one picture."""
        values, mask = self.levels(picture.values)
        content = png_bytes(values, picture.alpha, self.shape, picture.icc)
        clipped = _by_channel(mask, self.shape[2])
        return Emitted(clipped, digest=self.write(place.output, content, clipped))


@dataclass(frozen=True, slots=True)
class TiffEmitter:
    """Writes each picture as a float32 TIFF file.

    Attributes:
        write: writes a file.
        shape: (w, h, c).
        planes: of the batch.
    """

    write: Write
    shape: Shape
    planes: Planes

    def __call__(self, place: Place, picture: Decoded) -> Emitted:
        """Write one picture."""
        y = narrowed(self.planes.y(picture.values), np.dtype(np.float32))
        content = tiff_bytes(y, picture.alpha, self.shape)
        clipped = (0,) * self.shape[2]
        return Emitted(clipped, digest=self.write(place.output, content, clipped))


@dataclass(frozen=True, slots=True)
class ArrayEmitter:
    """Writes each picture into one array, (batch, w, h, c).

    Attributes:
        out: the array.
        shape: (w, h, c).
        planes: of the batch.
    """

    out: RowWriter
    shape: Shape
    planes: Planes

    def __call__(self, place: Place, picture: Decoded) -> Emitted:
        """Write one picture."""
        self.out.write(place.position, to_array(self.planes.y(picture.values), self.shape))
        return Emitted((0,) * self.shape[2])


@dataclass(frozen=True, slots=True)
class Emitting:
    """Reads a picture again, and writes what is wanted of it.

    Attributes:
        emitter: writes the picture.
        gradient: writes its gradient, or None.
        shape: (w, h, c).
        gallery: looks at it where something is to be drawn, or None.
    """

    emitter: Emitter
    gradient: Gradient | None
    shape: Shape
    gallery: Gallery | None = None

    def __call__(self, place: Place) -> Emitted:
        """Write one picture."""
        picture = reread(place)
        whole = place.clipped
        emitted = self.emitter(place, picture) if whole is None else Emitted(whole)
        if self.gradient is not None:
            squares = self.gradient.write(place.position, picture.values, self.shape)
            emitted = replace(emitted, grad_square_sum=squares)
        if self.gallery is not None:
            seen = self.gallery.glimpse(place.position, picture, self.gradient)
            emitted = replace(emitted, glimpse=seen)
        return emitted


def kept_pictures(
    run: RunFolder, names: Sequence[str], channels: int, engine: Engine
) -> dict[int, tuple[int, ...]]:
    """Place -> clipped values, of the pictures that an earlier run has left whole.

    Args:
        run: the folder, in its with block.
        names: of the files of all pictures.
        channels: of each.
        engine: on whose threads the files are read.
    """
    known = [position for position, name in enumerate(names) if run.knows(name)]

    def look(position: int) -> tuple[int, ...] | None:
        return _kept_picture(run, names[position], channels)

    found = in_order(engine.threads, look, known, _LOOKED_AT)
    pairs = zip(known, found, strict=True)
    return {position: clipped for position, clipped in pairs if clipped is not None}


def _kept_picture(run: RunFolder, name: str, channels: int) -> tuple[int, ...] | None:
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
