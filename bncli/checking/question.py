"""What a target is asked: the request, held against what can be asked, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bncli.errors import NonFiniteError, OptionError, ShapeError, SinglePictureError

Array = NDArray[Any]
AXES = 4
DTYPES = ("float64", "float32")

PROBE_SHAPE = (5, 3, 4, 2)
"""Batch, w, h, c: no two equal, and no count or ratio of counts equal to another that matters."""

SECOND_SHAPE = (7, 5, 2, 3)
"""Another such, where a count that happened to fit the first is found out."""

LEAST_BATCH = 3
"""With two pictures the gradient of the input is 0 but for eps, whatever the delta."""

_BASE = 0.25
_NULL = 1e-6
_SMALL_EPS = 1e-8
"""Layers of 1e-5 and more are common: 1e5 times that is above the variance of any picture."""


@dataclass(frozen=True, slots=True)
class Question:
    """One batch and what goes with it.

    Attributes:
        x: (batch, w, h, c).
        gamma, beta: (w, h, c).
        delta: (batch, w, h, c).
        eps: what the layer is taken to add to the variance.
    """

    x: Array
    gamma: Array
    beta: Array
    delta: Array
    eps: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the batch."""
        batch, width, height, channels = self.x.shape
        return batch, width, height, channels

    @property
    def variance(self) -> Array:
        """Per pixel, divided by batch, (w, h, c)."""
        x = self.x.astype(np.float64)
        centred = x - x[0]
        centred = centred - centred.mean(axis=0)
        variance: Array = (centred * centred).mean(axis=0)
        return variance

    @property
    def usual(self) -> Array:
        """(w, h, c): pixels of no tiny variance, where a slip in eps does not hide all else."""
        usual: Array = self.variance > 1e5 * min(self.eps, _SMALL_EPS)
        return usual

    @property
    def condition(self) -> Array:
        """How many times x_norm magnifies a relative error of x, per pixel."""
        size = np.abs(self.x).max(axis=0).astype(np.float64)
        condition: Array = size / np.sqrt(self.variance + self.eps)
        return condition

    def to(self, dtype: Any) -> Question:
        """With all arrays in *dtype*."""
        x, gamma, beta, delta = (
            array.astype(dtype) for array in (self.x, self.gamma, self.beta, self.delta)
        )
        return Question(x, gamma, beta, delta, self.eps)

    def without_parameters(self) -> Question:
        """With gamma 1 and beta 0, as of a layer that takes none."""
        ones = np.ones_like(self.gamma)
        return replace(self, gamma=ones, beta=np.zeros_like(ones))


def draw_parameters(shape: tuple[int, ...], seed: int) -> tuple[Array, Array]:
    """Gamma in +-[0.5, 1.5) and beta in [-1, 1), each (w, h, c)."""
    rng = np.random.default_rng((seed, 1))
    gamma = rng.uniform(0.5, 1.5, shape) * np.where(rng.random(shape) < 0.25, -1.0, 1.0)  # noqa: PLR2004 - a quarter
    return gamma, rng.uniform(-1, 1, shape)


def draw_delta(shape: tuple[int, ...], seed: int) -> Array:
    """Standard normal numbers: neither constant nor in line with x_norm."""
    return np.random.default_rng((seed, 2)).standard_normal(shape)


def probe(shape: tuple[int, int, int, int], seed: int, eps: float) -> Question:
    """A random batch in which some pixels have variance 0, eps and 100 eps.

    Args:
        shape: (batch, w, h, c).
        seed: of everything random.
        eps: what the layer adds to the variance.
    """
    batch = shape[0]
    pixels = int(np.prod(shape[1:]))
    rng = np.random.default_rng((seed, 0))
    x = rng.standard_normal((batch, pixels))
    x = _BASE + x * rng.uniform(0.2, 1.0, pixels)
    rows = rng.standard_normal((batch, pixels))
    rows -= rows.mean(axis=0)
    rows /= rows.std(axis=0) + (batch == 1)
    special = rng.permutation(pixels)[: min(4, pixels // 2)]
    # Around 0, so that float32 can hold so small a spread.
    for place, variance in zip(special, (0.0, eps, 100 * eps, None), strict=False):
        x[:, place] = _BASE if variance is None else rows[:, place] * np.sqrt(variance)
    gamma, beta = draw_parameters(shape[1:], seed)
    question = Question(x.reshape(shape), gamma, beta, draw_delta(shape, seed), eps)
    # Single precision can hold them all, so both precisions are asked the same question.
    return question.to(np.float32).to(np.float64)


def _null_share(question: Question) -> float:
    """How much of delta a correct backward does not annihilate, 0 to 1, at the best pixel.

    Every ``a + b * x_norm`` per pixel gives a gradient of 0.
    """
    x, delta = question.x.astype(np.float64), question.delta
    centred = x - x.mean(axis=0)
    size = (centred * centred).sum(axis=0)
    rest = delta - delta.mean(axis=0)
    rest = rest - centred * ((rest * centred).sum(axis=0) / np.where(size > 0, size, 1.0))
    norm = np.sqrt((delta.astype(np.float64) ** 2).sum(axis=0))
    share = np.sqrt((rest**2).sum(axis=0)) / np.where(norm > 0, norm, 1.0)
    return float(share.max(initial=0.0))


def vacuous(question: Question) -> list[str]:
    """Why the question cannot tell a right backward from a wrong one; empty if it can."""
    reasons = []
    if len(question.x) < LEAST_BATCH:
        reasons.append(
            f"the batch has {len(question.x)} pictures; below {LEAST_BATCH} the gradient of the "
            "input is 0 whatever the delta"
        )
    if _null_share(question) < _NULL:
        reasons.append(
            "delta is constant, or in line with x_norm, at every pixel: a correct gradient is 0, "
            "and so is many a wrong one"
        )
    if not question.gamma.any():
        reasons.append("gamma is 0 everywhere, so the gradient of the input is 0")
    return reasons


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
        if self.shape is None:
            return
        if len(self.shape) != AXES or any(length < 1 for length in self.shape):
            given = ",".join(map(str, self.shape))
            raise OptionError(f"--shape is {given}; give B,W,H,C, each at least 1")
        if self.shape[0] == 1:
            raise SinglePictureError(
                "--shape has one picture, so every output would be beta; give two"
            )


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
