"""What is asked of a check, held against what can be asked; and what it will cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bncli.checking.probe import Array
from bncli.checking.session import AXES
from bncli.errors import NonFiniteError, OptionError, ShapeError, SinglePictureError

DTYPES = ("float64", "float32")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a check, in plain facts; see :func:`gradcheck`."""

    shape: tuple[int, ...] | None = None
    eps: float | None = None
    dtype: str = "float64"
    seed: int = 0
    tolerance: float | None = None
    protocol: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise OptionError(f"--dtype is {self.dtype}; choose {', '.join(DTYPES)}")
        if self.eps is not None and not (math.isfinite(self.eps) and self.eps > 0):
            raise OptionError(f"--eps is {self.eps}; it must be a finite number above 0")
        if self.seed < 0:
            raise OptionError(f"--seed is {self.seed}; it must be at least 0")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise OptionError(f"--tolerance is {self.tolerance}; it must lie between 0 and 1")
        if self.shape is not None:
            check_shape(self.shape)


def check_shape(shape: Sequence[int]) -> None:
    """Raise OptionError or SinglePictureError unless this is a (batch, w, h, c) of a batch."""
    if len(shape) != AXES or any(length < 1 for length in shape):
        raise OptionError(f"--shape is {','.join(map(str, shape))}; give B,W,H,C, each at least 1")
    if shape[0] == 1:
        raise SinglePictureError("--shape has one picture, so every output would be beta; give two")


def checked_batch(given: ArrayLike, name: str, shape: tuple[int, ...] | None) -> Array:
    """A batch as float64, (batch, w, h, c).

    Raises:
        ShapeError, SinglePictureError, NonFiniteError: it is none.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} holds {array.dtype}; it must be an array of real numbers")
    if array.ndim != AXES or array.size == 0:
        raise ShapeError(f"{name} has shape {array.shape}; it must be (batch, w, h, c)")
    if shape is not None and array.shape != tuple(shape):
        raise ShapeError(f"{name} has shape {array.shape}; it must be {tuple(shape)}")
    if len(array) == 1:
        raise SinglePictureError(f"{name} has one picture, so every output would be beta; give two")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{name} holds NaN or infinity; replace them")
    return array.astype(np.float64)


def cost_in_forwards(shape: tuple[int, int, int, int]) -> int:
    """How many forwards of this shape a check takes, where pixels do not influence each other."""
    batch, *rest = shape
    bits = max(0, (math.prod(rest) - 1).bit_length())
    return 2 * bits + batch + 7


def cost_in_bytes(shape: tuple[int, int, int, int]) -> int:
    """About how much memory a check takes beside the target's own: 13 arrays of the batch."""
    return 13 * 8 * math.prod(shape)
