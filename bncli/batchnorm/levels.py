"""How the numbers y become pixel values, and what pixel values say of y."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncli.batchnorm.tiling import Raster, fixed_slices
from bncli.batchnorm.transform import Survey, Transform
from bncli.errors import NonFiniteError, OptionError
from bncli.text import parse_number

_ROUNDING = 1e-9
"""Of a level: a number so near to the middle of two may have been rounded either way."""

ToLevels = Callable[[Raster], tuple[Raster, Raster | None]]
"""From one picture to its pixel values, and which of them were clipped, or None for none."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Which y become black and white.

    Attributes:
        kind: ``minmax`` (of the whole batch), ``image`` (of each picture), ``sigma`` (mean of y
            over the batch plus and minus *width* standard deviations), or ``range``.
        width: of ``sigma``.
        low, high: of ``range``.
    """

    kind: str
    width: float = 0.0
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read ``minmax``, ``image``, ``sigma:K``, ``LO:HI`` or ``none`` (which is 0:1).

        Raises:
            OptionError: it is none of these.
        """
        if text in {"minmax", "image"}:
            return cls(text)
        if text == "none":
            return cls("range")
        first, colon, second = text.partition(":")
        parsed = [parse_number(part) for part in (first, second)[first == "sigma" :]]
        numbers = [number for number in parsed if number is not None]
        if colon and len(numbers) == len(parsed) and all(map(math.isfinite, numbers)):
            if first == "sigma" and numbers[0] > 0:
                return cls("sigma", width=numbers[0])
            if first != "sigma" and 0 < numbers[1] - numbers[0] < math.inf:
                return cls("range", low=numbers[0], high=numbers[1])
        raise OptionError(
            f"--scale {text}: choose minmax, image, sigma:K with K > 0, LO:HI with LO < HI, or none"
        )


def black_and_white(scale: Scale, found: Survey) -> tuple[float, float]:
    """The y that become black and white, for every scale but ``image``."""
    if scale.kind == "minmax":
        return min(c.low for c in found.channels), max(c.high for c in found.channels)
    if scale.kind == "sigma":
        spread = scale.width * found.y_std
        return found.y_mean - spread, found.y_mean + spread
    return scale.low, scale.high


@dataclass(frozen=True, slots=True)
class Levels:
    """y as pixel values of one range, there and back.

    Attributes:
        low, high: the y that become black and white; in an empty range all is black.
        dtype: of the pixel values, uint8 or uint16.

    Examples:
        >>> levels = Levels(-1.0, 1.0, np.dtype(np.uint8))
        >>> values, clipped = levels.encode(np.array([-1.0, 0.5, 7.0]))
        >>> print(values, clipped)
        [  0 191 255] [False False  True]
        >>> y, error = levels.decode(values)
        >>> print(y.round(3), error.round(3))
        [-1.     0.498  1.   ] [0.004 0.004 0.004]
    """

    low: float
    high: float
    dtype: np.dtype[Any]

    @property
    def white(self) -> int:
        """The largest pixel value."""
        return int(np.iinfo(self.dtype).max)

    def encode(self, y: Raster) -> tuple[Raster, Raster | None]:
        """The pixel values of y, (pixels,), and which of them were clipped, or None for none.

        Raises:
            NonFiniteError: the range is too narrow or too wide for this y.
        """

        def fill(tile: slice, levels: Raster) -> None:
            self._fractions(y[tile], levels)

        return _rounded(fill, len(y), self.dtype)

    def decode(self, stored: Raster) -> tuple[Raster, Raster]:
        """What y they stand for, (pixels,), and by how much each can be off: half a level."""
        step = (self.high - self.low) / self.white
        y = self.low + stored * step
        return y, np.full(len(y), (0.5 + _ROUNDING) * step)

    def straight(
        self, transform: Transform, executor: Executor, *, revived: bool = False
    ) -> ToLevels:
        """What goes from source units to pixel values in one step.

        Args:
            transform: of the batch, surveyed; not needed after this.
            executor: where tiles are computed.
            revived: whether pixels that are dead in the statistics may have other values in the
                pictures.
        """
        slope, intercept = np.zeros_like(transform.mean), np.zeros_like(transform.mean)

        @np.errstate(all="ignore")  # levels that overflow are found where they are used
        def fill(tile: slice) -> None:
            part = transform.part(tile)
            steep = part.x_scale * part.gamma * (self.white / (self.high - self.low))
            steep[part.dead] = 0  # so that y is exactly beta, rounded once
            slope[tile] = steep
            self._fractions(part.beta, intercept[tile])
            intercept[tile] -= part.mean * steep

        if self.high > self.low:
            for _ in executor.map(fill, fixed_slices(len(slope))):
                pass
        straight = _Straight(slope, intercept, self.dtype)
        dead = np.flatnonzero(transform.dead)
        if not revived or not len(dead):
            return straight
        return _Revived(straight, dead, transform.part(dead), self)

    def _fractions(self, y: Raster, out: Raster) -> None:
        """Write y as fractions of the range times white."""
        if self.high <= self.low:
            out[:] = 0
            return
        np.subtract(y, self.low, out=out)
        np.divide(out, self.high - self.low, out=out)
        np.multiply(out, self.white, out=out)


def own_levels(transform: Transform, dtype: np.dtype[Any]) -> ToLevels:
    """What gives each picture a range of its own: its least and greatest y.

    Args:
        transform: of the batch, surveyed.
        dtype: of the pixel values, uint8 or uint16.
    """
    return _Own(transform, dtype)


@dataclass(frozen=True, slots=True)
class _Straight:
    """``x * slope + intercept``, each (pixels,), rounded to the nearest level and clipped."""

    slope: Raster
    intercept: Raster
    dtype: np.dtype[Any]

    def __call__(self, x: Raster) -> tuple[Raster, Raster | None]:
        def fill(tile: slice, levels: Raster) -> None:
            np.multiply(x[tile], self.slope[tile], out=levels)
            np.add(levels, self.intercept[tile], out=levels)

        return _rounded(fill, len(x), self.dtype)


@dataclass(frozen=True, slots=True)
class _Revived:
    """The same for pictures whose dead pixels may have other values than in the statistics.

    Attributes:
        straight: right for every pixel but those.
        dead: which pixels.
        transform: of those pixels alone.
        levels: there for them.
    """

    straight: _Straight
    dead: Raster
    transform: Transform
    levels: Levels

    def __call__(self, x: Raster) -> tuple[Raster, Raster | None]:
        values, clipped = self.straight(x)
        changed = x[self.dead] != self.transform.mean
        if changed.any():
            places = self.dead[changed]
            with np.errstate(all="ignore"):  # NaN is looked for by encode
                y = self.transform.part(changed).y(x[places])
            values[places], outside = self.levels.encode(y)
            if clipped is None and outside is not None:
                clipped = np.zeros(len(x), bool)
            if clipped is not None:
                clipped[places] = False if outside is None else outside
        return values, clipped


@dataclass(frozen=True, slots=True)
class _Own:
    transform: Transform
    dtype: np.dtype[Any]

    def __call__(self, x: Raster) -> tuple[Raster, Raster | None]:
        y = self.transform.y(x)
        return Levels(y.min(), y.max(), self.dtype).encode(y)


def _rounded(
    fill: Callable[[slice, Raster], None], pixels: int, dtype: np.dtype[Any]
) -> tuple[Raster, Raster | None]:
    """Levels, tile by tile, rounded to the nearest pixel value and clipped.

    Args:
        fill: writes the levels of a tile into an array.
        pixels: how many there are.
        dtype: uint8 or uint16.

    Returns:
        The pixel values, (pixels,), and which of them were clipped, or None for none.
    """
    white = np.iinfo(dtype).max
    out = np.empty(pixels, dtype)
    tiles = fixed_slices(pixels, 2)
    work = np.empty(tiles[0].stop)  # one for all tiles: fresh memory costs more than the sums
    clipped: Raster | None = None
    for tile in tiles:
        level = work[: tile.stop - tile.start]
        with np.errstate(all="ignore"):  # NaN is looked for below
            fill(tile, level)
            np.rint(level, out=level)
        low, high = level.min(), level.max()
        if not (low >= 0 and high <= white):
            if np.isnan(low):
                raise NonFiniteError("the range of --scale is too narrow for this y; widen it")
            if clipped is None:
                clipped = np.zeros(pixels, bool)
            clipped[tile] = (level < 0) | (level > white)
            np.clip(level, 0, white, out=level)
        # Whole numbers within the range: the cast cannot change them.
        np.copyto(out[tile], level, casting="unsafe")
    return out, clipped
