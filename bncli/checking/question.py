"""What a target is asked: the request, held against what can be asked, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bncli.errors import NonFiniteError, OptionError, ShapeError, SinglePictureError

Array = NDArray[Any]
AXES = 4
DTYPES = ("float64", "float32")
GRADIENTS = ("grad_input", "grad_gamma", "grad_beta")

PROBE_SHAPE = (5, 3, 4, 2)
"""Batch, w, h, c: no two equal, and no count or ratio of counts equal to another that matters."""

SECOND_SHAPE = (7, 5, 2, 3)
"""Another such, where a count that happened to fit the first is found out."""

PIXEL = (0,)
"""The axes over which batch normalization of each pixel reduces."""

LEAST_GROUP = 3
"""Of two values normalized together, the gradient is 0 but for eps, whatever the delta."""

_BASE = 0.25
_NULL = 1e-6
_SMALL_EPS = 1e-8
"""Layers of 1e-5 and more are common: 1e5 times that is above the variance of any picture."""


@dataclass(frozen=True, slots=True)
class Question:
    """One batch and what goes with it.

    Attributes:
        x: (batch, w, h, c).
        delta: (batch, w, h, c).
        parameters: role (``gamma``, ``beta`` or another name) -> values, in the layer's own shape.
        eps: what the layer is taken to add to the variance.
        axes: of *x*, over which the layer reduces: values that differ in other axes alone do not
            influence each other. Values that do are a group.
    """

    x: Array
    delta: Array
    parameters: Mapping[str, Array]
    eps: float
    axes: tuple[int, ...] = PIXEL

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the batch."""
        batch, width, height, channels = self.x.shape
        return batch, width, height, channels

    @property
    def group(self) -> int:
        """How many values a group has."""
        return math.prod(self.x.shape[axis] for axis in self.axes)

    @property
    def variance(self) -> Array:
        """Of each group, divided by its size; with axes of length 1 for those reduced.

        A value that is no group with others has none; 1 stands for its own size.
        """
        x = self.x.astype(np.float64)
        if not self.axes:
            return np.ones_like(x)
        first = x[tuple(slice(0, 1) if axis in self.axes else slice(None) for axis in range(AXES))]
        centred = x - first
        centred = centred - centred.mean(axis=self.axes, keepdims=True)
        variance: Array = (centred * centred).mean(axis=self.axes, keepdims=True)
        return variance

    @property
    def usual(self) -> Array:
        """Groups of no tiny variance, where a slip in eps does not hide all else; likewise."""
        usual: Array = self.variance > 1e5 * min(self.eps, _SMALL_EPS)
        return usual

    @property
    def condition(self) -> Array:
        """How many times x_norm magnifies a relative error of x, per group; likewise."""
        size = np.abs(self.x).max(axis=self.axes, keepdims=True).astype(np.float64)
        condition: Array = size / np.sqrt(self.variance + self.eps)
        return condition

    def to(self, dtype: Any) -> Question:
        """With all arrays in *dtype*."""
        parameters = {role: value.astype(dtype) for role, value in self.parameters.items()}
        return replace(
            self, x=self.x.astype(dtype), delta=self.delta.astype(dtype), parameters=parameters
        )


def draw_parameters(
    shapes: Mapping[str, tuple[int, ...]], seed: int, *, extreme: bool = False
) -> dict[str, Array]:
    """Random parameters: beta in [-1, 1), gamma and all others in +-[0.5, 1.5).

    Args:
        shapes: role -> shape.
        seed: of everything random.
        extreme: with some values 0, some 1,000 times larger, some 1,000 times smaller.
    """
    rng = np.random.default_rng((seed, 1))
    drawn: dict[str, Array] = {}
    for role in sorted(shapes, reverse=True):  # gamma before beta
        size = shapes[role]
        if role == "beta":
            drawn[role] = rng.uniform(-1, 1, size)
            continue
        drawn[role] = rng.uniform(0.5, 1.5, size) * np.where(rng.random(size) < 0.25, -1.0, 1.0)  # noqa: PLR2004 - a quarter
        if extreme:
            drawn[role] = drawn[role] * rng.choice((0.0, 1e3, 1e-3, 1.0), size)
    return drawn


def draw_delta(shape: tuple[int, ...], seed: int) -> Array:
    """Standard normal numbers: neither constant nor in line with x_norm."""
    return np.random.default_rng((seed, 2)).standard_normal(shape)


def draw_batch(
    shape: tuple[int, int, int, int], seed: int, eps: float,
    axes: tuple[int, ...] = PIXEL, variances: tuple[float, ...] = (0.0, 1.0, 100.0),
) -> Array:  # fmt: skip
    """A random batch in which some groups have a variance of 0, eps and 100 eps, one is all base.

    Args:
        shape: (batch, w, h, c).
        seed: of everything random.
        eps: what the layer adds to the variance.
        axes: over which it reduces.
        variances: in units of eps; at most half of the groups get one, the first first.
    """
    rng = np.random.default_rng((seed, 0))
    kept = [axis for axis in range(AXES) if axis not in axes]
    grouped = (math.prod(shape[a] for a in axes), math.prod(shape[a] for a in kept))
    size, groups = grouped
    x = _BASE + rng.standard_normal(grouped) * rng.uniform(0.2, 1.0, groups)
    rows = rng.standard_normal(grouped)
    rows -= rows.mean(axis=0)
    rows /= rows.std(axis=0) + (size == 1)
    special = rng.permutation(groups)[: groups // 2]
    # Around 0, so that float32 can hold so small a spread.
    for place, times in zip(special, variances, strict=False):
        x[:, place] = rows[:, place] * np.sqrt(times * eps) if times else _BASE
    order = (*axes, *kept)
    x = x.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    # Single precision can hold them all, so both precisions are asked the same question.
    return np.ascontiguousarray(x, np.float32).astype(np.float64)


def _null_share(question: Question) -> float:
    """How much of delta a correct backward does not annihilate, 0 to 1, at the best group.

    Every ``a + b * x_norm`` per group gives a gradient of 0.
    """
    axes = question.axes
    x, delta = question.x.astype(np.float64), question.delta.astype(np.float64)
    centred = x - x.mean(axis=axes, keepdims=True)
    size = (centred * centred).sum(axis=axes, keepdims=True)
    rest = delta - delta.mean(axis=axes, keepdims=True)
    along = (rest * centred).sum(axis=axes, keepdims=True)
    rest = rest - centred * (along / np.where(size > 0, size, 1.0))
    norm = np.sqrt((delta**2).sum(axis=axes))
    share = np.sqrt((rest**2).sum(axis=axes)) / np.where(norm > 0, norm, 1.0)
    return float(share.max(initial=0.0))


def vacuous(question: Question) -> list[str]:
    """Why the question cannot tell a right backward from a wrong one; empty if it can."""
    reasons = []
    if question.group < LEAST_GROUP:
        reasons.append(
            f"{question.group} values are normalized together; below {LEAST_GROUP} the gradient "
            "of the input is 0 whatever the delta"
        )
    # Where gamma differs inside a group, a constant delta is a good question.
    if question.axes in {PIXEL, (0, 1, 2)} and _null_share(question) < _NULL:
        reasons.append(
            "delta is constant, or in line with x_norm, in every group of values that are "
            "normalized together: a correct gradient is 0, and so is many a wrong one"
        )
    gamma = question.parameters.get("gamma")
    if gamma is not None and not gamma.any():
        reasons.append("gamma is 0 everywhere, so the gradient of the input is 0")
    return reasons


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a check, in plain facts; see :func:`gradcheck`.

    Raises:
        OptionError, SinglePictureError: there is no such thing to ask.
    """

    shape: tuple[int, ...] | None = None
    eps: float | None = None
    dtype: str = "float64"
    seed: int = 0
    tolerance: float | None = None
    protocol: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    layout: str = ""
    only: tuple[str, ...] = ()
    seeds: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise OptionError(f"--dtype is {self.dtype}; choose {', '.join(DTYPES)}")
        if self.eps is not None and not (math.isfinite(self.eps) and self.eps > 0):
            raise OptionError(f"--eps is {self.eps}; it must be a finite number above 0")
        if self.seed < 0:
            raise OptionError(f"--seed is {self.seed}; it must be at least 0")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise OptionError(f"--tolerance is {self.tolerance}; it must lie between 0 and 1")
        if self.seeds < 1:
            raise OptionError(f"--seeds is {self.seeds}; it must be at least 1")
        if self.limit is not None and self.limit < 2:  # noqa: PLR2004 - as every batch
            raise OptionError(f"--limit is {self.limit}; give two pictures at least")
        self.check_only([*GRADIENTS, *(one for one in self.only if one.startswith("grad_"))])
        if self.shape is not None:
            self._check_shape(self.shape)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != AXES or any(length < 1 for length in shape):
            given = ",".join(map(str, shape))
            raise OptionError(f"--shape is {given}; give B,W,H,C, each at least 1")
        if shape[0] == 1:
            raise SinglePictureError(
                "--shape has one picture, so every output would be beta; give two"
            )

    def check_only(self, there: Sequence[str]) -> None:
        """Raise OptionError where *only* names a gradient that is not *there*."""
        for name in self.only:
            if name not in there:
                choices = ", ".join(there)
                raise OptionError(f"--only {name}: there is no such gradient; choose {choices}")


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
    """How many forwards of this shape a check takes, where each pixel is normalized by itself."""
    batch, *rest = shape
    bits = max(0, (math.prod(rest) - 1).bit_length())
    return 2 * bits + batch + 7


def cost_in_bytes(shape: tuple[int, int, int, int]) -> int:
    """About how much memory a check takes beside the target's own: 13 arrays of the batch."""
    return 13 * 8 * math.prod(shape)
