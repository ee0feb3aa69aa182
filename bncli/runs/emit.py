"""The second pass: every picture normalized and written, its gradient with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.levels import rescaled, to_levels
from bncli.batchnorm.transform import Planes
from bncli.engines.work import Engine, in_order
from bncli.images.decode import Decoded
from bncli.images.encode import png_bytes, tiff_bytes
from bncli.images.layout import Shape, to_array
from bncli.runs.gradient import Gradient
from bncli.runs.places import Place, reread
from bncli.storage.arrays import RowWriter, narrowed
from bncli.storage.output import RunFolder

if TYPE_CHECKING:
    from bncli.drawing.gallery import Gallery, Glimpse

Raster = NDArray[Any]

_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written of one picture.

    Attributes:
        clipped: values that were clipped, for each channel.
        grad_square_sum: sum of the squares of its gradient.
        digest: SHA-256 of the file, where one was written by another process.
        glimpse: what it adds to the gallery, where something is to be drawn.
    """

    clipped: tuple[int, ...]
    grad_square_sum: float = 0.0
    digest: str | None = None
    glimpse: Glimpse | None = None


Levels = Callable[[Raster], tuple[Raster, Raster | None]]
"""From one picture to its pixel values, and which were clipped, or None for none."""

Write = Callable[[str, bytes, tuple[int, ...] | None], str]
"""Writes a picture of the run whole, with its clipped values; returns the SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True)
class BatchLevels:
    """Pixel values of one range for the whole batch.

    Attributes:
        slope, intercept: from source units straight to pixel values, (pixels,).
        dtype: of the pixel values.
    """

    slope: Raster
    intercept: Raster
    dtype: np.dtype[Any]

    def __call__(self, x: Raster) -> tuple[Raster, Raster | None]:
        """The pixel values of one picture."""
        return to_levels(x, self.slope, self.intercept, self.dtype)


@dataclass(frozen=True, slots=True)
class RevivedLevels:
    """The same for pictures whose dead pixels may have other values than in the statistics.

    Attributes:
        levels: right for every pixel but those.
        dead: which pixels.
        planes: of the statistics, of those pixels alone.
        low, high: the y that are black and white.
        dtype: of the pixel values.
    """

    levels: Levels
    dead: Raster
    planes: Planes
    low: float
    high: float
    dtype: np.dtype[Any]

    def __call__(self, x: Raster) -> tuple[Raster, Raster | None]:
        """The pixel values of one picture."""
        values, clipped = self.levels(x)
        changed = x[self.dead] != self.planes.mean
        if changed.any():
            places, white = self.dead[changed], int(np.iinfo(self.dtype).max)
            with np.errstate(all="ignore"):
                y = self.planes.part(changed).y(x[places])
                raw = np.rint(rescaled(y, self.low, self.high, white))
            clipped = np.zeros(len(x), bool) if clipped is None else clipped
            clipped[places] = (raw < 0) | (raw > white)
            values[places] = np.clip(raw, 0, white)
        return values, clipped


@dataclass(frozen=True, slots=True)
class PictureLevels:
    """Pixel values of a range for each picture: its own least and greatest y.

    Attributes:
        planes: of the batch.
        dtype: of the pixel values.
    """

    planes: Planes
    dtype: np.dtype[Any]

    def __call__(self, x: Raster) -> tuple[Raster, None]:
        """The pixel values of one picture."""
        y = self.planes.y(x)
        white = int(np.iinfo(self.dtype).max)
        return np.rint(rescaled(y, y.min(), y.max(), white)).astype(self.dtype), None


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
        gallery: looks at each picture, where something is to be drawn.
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
            glimpse = self.gallery.glimpse(place.position, picture, self.gradient)
            emitted = replace(emitted, glimpse=glimpse)
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


def _by_channel(clipped: Raster | None, channels: int) -> tuple[int, ...]:
    if clipped is None:
        return (0,) * channels
    return tuple(int(n) for n in np.count_nonzero(clipped.reshape(-1, channels), axis=0))
