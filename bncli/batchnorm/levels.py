"""How the numbers y become pixel values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.errors import NonFiniteError, OptionError
from bncli.number import parse_number

_TILE = 1 << 15


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


def rescaled(y: NDArray[Any], low: float, high: float, white: int) -> NDArray[Any]:
    """*y* as a fraction of the range times *white*; all 0 where the range is empty."""
    if high <= low:
        return np.zeros(np.shape(y))
    fraction: NDArray[Any] = (y - low) / (high - low)
    return fraction * white


def to_levels(
    x: NDArray[Any], slope: NDArray[Any], intercept: NDArray[Any], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """``x * slope + intercept``, rounded to the nearest pixel value and clipped.

    Args:
        x, slope, intercept: (pixels,).
        dtype: uint8 or uint16.

    Returns:
        The pixel values, (pixels,), and which of them were clipped, or None for none.
    """
    white = np.iinfo(dtype).max
    out = np.empty(x.shape, dtype)
    work = np.empty(min(_TILE, len(x)))  # one for all tiles: fresh memory costs more than the sums
    clipped: NDArray[Any] | None = None
    for start in range(0, len(x), _TILE):
        tile = slice(start, start + _TILE)
        with np.errstate(all="ignore"):  # NaN is looked for below
            level = np.multiply(x[tile], slope[tile], out=work[: len(x[tile])])
            np.add(level, intercept[tile], out=level)
            np.rint(level, out=level)
        low, high = level.min(), level.max()
        if not (low >= 0 and high <= white):
            if np.isnan(low):
                raise NonFiniteError("the range of --scale is too narrow for this y; widen it")
            if clipped is None:
                clipped = np.zeros(len(x), bool)
            clipped[tile] = (level < 0) | (level > white)
            np.clip(level, 0, white, out=level)
        # Whole numbers within the range: the cast cannot change them.
        np.copyto(out[tile], level, casting="unsafe")
    return out, clipped
