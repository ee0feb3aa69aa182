"""From one picture to its pixel values, wherever it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.images.levels import rescaled, to_levels
from bncli.pipeline.planes import Planes

Raster = NDArray[Any]

Levels = Callable[[Raster], tuple[Raster, Raster | None]]
"""From one picture to its pixel values, and which were clipped, or None for none."""


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
