"""What the layer demands of its arguments, each with its own error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bncli.batchnorm.kernels import Numbers
from bncli.errors import NonFiniteError, OptionError, ShapeError, SinglePictureError

AXES = 4
"""Of a batch: (batch, w, h, c)."""

_KINDS = "fiubc"


def check_settings(eps: float, threads: int | None) -> None:
    """Raise OptionError unless eps is a finite number above 0 and threads at least 1."""
    if not (isinstance(eps, int | float) and math.isfinite(eps) and eps > 0):
        raise OptionError(f"eps is {eps}; it must be a finite number above 0")
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}; it must be at least 1, or None")


def check_update_options(momentum: float, decay: float, lr: float, lr_decay: float) -> None:
    """Raise OptionError unless the four numbers of an update are in their ranges."""
    named = {"momentum": momentum, "decay": decay, "lr": lr, "lr_decay": lr_decay}
    for name, value in named.items():
        if not math.isfinite(value) or value < 0:
            raise OptionError(f"{name} is {value}; it must be a finite number of at least 0")


def as_numbers(given: ArrayLike, name: str) -> Numbers:
    """The array itself; ShapeError if it holds no numbers."""
    array: Numbers = np.asarray(given)
    if array.dtype.kind not in _KINDS:
        raise ShapeError(f"{name} holds {array.dtype}; it must be an array of numbers")
    return array


def as_batch(inpt: ArrayLike) -> Numbers:
    """The input itself; ShapeError or SinglePictureError if it is no (batch, w, h, c)."""
    given = as_numbers(inpt, "the input")
    if given.ndim != AXES or 0 in given.shape:
        raise ShapeError(
            f"the input has shape {given.shape}; it must be (batch, w, h, c), none of them 0"
        )
    if len(given) == 1:
        raise SinglePictureError(
            "the batch has one picture, so every output would be beta; give two or more"
        )
    return given


def as_parameter(given: ArrayLike | None, name: str) -> Numbers | None:
    """A copy of scales or bias; ShapeError or NonFiniteError if it is no (w, h, c) of numbers."""
    if given is None:
        return None
    array = as_numbers(given, name)
    if array.ndim != AXES - 1:
        raise ShapeError(f"{name} has shape {array.shape}; it must be (w, h, c)")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"{name} holds NaN or infinity; replace them")
    return np.array(array, array.dtype if array.dtype.kind in "fc" else np.float64, order="C")


class LayerParameter:
    """Scales or bias of a layer: whatever is assigned is checked and copied, as at its making."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: object, owner: type | None = None) -> Numbers | None:
        """The array, or None, which stands for ones or zeros."""
        return None if layer is None else vars(layer).get(self._name)

    def __set__(self, layer: object, given: ArrayLike | None) -> None:
        """Take a copy; ShapeError or NonFiniteError if it is no (w, h, c) of finite numbers."""
        vars(layer)[self._name] = as_parameter(given, self._name)


def as_dtype(array: Numbers, dtype: np.dtype[Any], name: str) -> Numbers:
    """The array in another precision; NonFiniteError if a number is too large for it."""
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError as error:
        raise NonFiniteError(f"{name} is too large for {dtype}; rescale it") from error


def check_same_shape(
    name: str, shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> None:
    """Raise ShapeError, naming both, unless the shapes are equal."""
    if shape != other_shape:
        raise ShapeError(f"{name} {shape}, but {other} is {other_shape}; they must be equal")


def raise_non_finite(array: Numbers, name: str, otherwise: str) -> None:
    """Raise NonFiniteError with count and first place, or with what went wrong *otherwise*."""
    bad = ~np.isfinite(array)
    if not bad.any():
        raise NonFiniteError(f"{name} is finite, but {otherwise}; rescale it")
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    raise NonFiniteError(
        f"{name} holds NaN or infinity in {int(bad.sum())} places, the first at {first}; "
        "replace them"
    )


def check_receiver(receiver: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise ShapeError or OptionError unless *receiver* is None or can take the gradient."""
    if receiver is None:
        return
    if not isinstance(receiver, np.ndarray):
        raise OptionError("delta must be a numpy array, which backward overwrites")
    check_same_shape("delta", receiver.shape, "the output", shape)
    if not receiver.flags.writeable:
        raise OptionError("delta is read-only; backward overwrites it (copy=True leaves it alone)")
    if not np.can_cast(dtype, receiver.dtype, "same_kind"):
        raise OptionError(f"delta holds {receiver.dtype}, which cannot hold a {dtype} gradient")
