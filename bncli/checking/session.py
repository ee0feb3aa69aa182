"""One layer, made, run forward and backward, with all that differs between layers evened out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bncli.checking.makers import Maker, Wanted
from bncli.checking.protocol import (
    EPS_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    LayerProtocol,
    is_named,
)
from bncli.checking.target import Caller, TargetFailure

Array = NDArray[Any]
AXES = 4


@dataclass(slots=True)
class Gradients:
    """What a backward gave: raw, as it came; None where it gives no such gradient."""

    grad_input: Any
    grad_gamma: Any = None
    grad_beta: Any = None


class Session(Protocol):
    """A layer in use."""

    @property
    def layer(self) -> Any:
        """The user's object."""

    def forward(self, x: Array) -> Array:
        """Output of a batch (batch, w, h, c)."""

    def backward(self, delta: Array) -> Gradients:
        """The gradients for a delta (batch, w, h, c)."""


class Target:
    """A layer of known protocol.

    Args:
        maker: makes it.
        protocol: how to talk to it.
        call: runs its code.
        eps: to make it with; None is its own.
    """

    def __init__(
        self, maker: Maker, protocol: LayerProtocol, call: Caller, eps: float | None
    ) -> None:
        self.maker, self.protocol, self.call, self.eps = maker, protocol, call, eps

    @property
    def name(self) -> str:
        """What the target is called."""
        return self.maker.name

    def open(self, gamma: Array, beta: Array, batch: int) -> LayerSession:
        """Make a layer for batches of *batch* pictures; gamma and beta are (w, h, c)."""
        shape: tuple[int, ...] = (batch, *gamma.shape)
        if self.protocol.layout == "flat":
            gamma, beta = gamma.reshape(-1), beta.reshape(-1)
            shape = (batch, gamma.size)
        wanted = Wanted(gamma.copy(), beta.copy(), self.eps, shape)
        return LayerSession(self.maker.make(wanted), self.protocol, self.call)


class LayerSession:
    """A layer in use."""

    def __init__(self, layer: Any, protocol: LayerProtocol, call: Caller) -> None:
        self.layer, self._protocol, self._call = layer, protocol, call
        self._shape: tuple[int, ...] = ()

    @property
    def own_eps(self) -> float | None:
        """The eps that the layer says it uses."""
        for name in EPS_NAMES:
            value = getattr(self.layer, name, None)
            if isinstance(value, float | int | np.floating) and value > 0:
                return float(value)
        return None

    def forward(self, x: Array, *, copied: bool = True) -> Array:
        """Output of a batch (batch, w, h, c), of its shape.

        Args:
            x: the batch.
            copied: hand over a copy, so that the layer may do with it what it likes.

        Raises:
            TargetFailure: the forward failed, or gave no array of that shape.
        """
        self._shape = x.shape
        given = self._laid_out(x.copy() if copied else x)
        result = self._call("forward", self.layer.forward, given)
        output = self._output_of(result)
        if output.size != x.size or output.shape != given.shape:
            raise TargetFailure(
                f"forward gave an output of shape {output.shape}; it must be {given.shape}"
            )
        # A copy: the layer may write its next output into the same array.
        return np.array(np.asarray(output)).reshape(x.shape)

    def backward(self, delta: Array) -> Gradients:
        """The gradients for a delta (batch, w, h, c), not yet judged.

        Raises:
            TargetFailure: the backward failed.
        """
        given = self._laid_out(delta.copy())
        sent, receiver = given, np.zeros_like(given)
        protocol = self._protocol
        if protocol.delta == "attribute":
            self.layer.delta = given
        argument = receiver if protocol.delta == "attribute" else sent
        before = argument.copy()
        returned = self.run_backward(argument)
        parts = as_parts(returned)
        return Gradients(
            self._back(self._pick(returned, parts, argument, before)),
            self._back(self._parameter(protocol.grad_gamma, parts, 1)),
            self._back(self._parameter(protocol.grad_beta, parts, 2)),
        )

    def run_backward(self, argument: Any) -> Any:
        """Call the backward with *argument* where it takes one."""
        function = self.layer.backward
        return self._call("backward", function, *_arguments(function, argument, self._x()))

    def _x(self) -> Any:
        return next((getattr(self.layer, n) for n in INPUT_NAMES if hasattr(self.layer, n)), None)

    def _laid_out(self, array: Array) -> Array:
        return array.reshape(len(array), -1) if self._protocol.layout == "flat" else array

    def _back(self, value: Any) -> Any:
        """A gradient in image layout, if it is an array of fitting size."""
        if not isinstance(value, np.ndarray) or self._protocol.layout != "flat":
            return value
        if value.size == np.prod(self._shape) and value.shape[0] == self._shape[0]:
            return value.reshape(self._shape)
        if value.size == np.prod(self._shape[1:]):
            return value.reshape(self._shape[1:])
        return value

    def _output_of(self, result: Any) -> Array:
        if isinstance(result, tuple) and result:
            result = result[0]
        if not isinstance(result, np.ndarray):
            result = next(
                (
                    getattr(self.layer, name)
                    for name in OUTPUT_NAMES
                    if isinstance(getattr(self.layer, name, None), np.ndarray)
                ),
                result,
            )
        if not isinstance(result, np.ndarray) or result.dtype.kind not in "fciub":
            raise TargetFailure(f"forward gave {_kind(result)}, not an array of numbers")
        return result

    def _pick(self, returned: Any, parts: list[Any], argument: Array, before: Array) -> Any:
        way, _, name = self._protocol.grad_input.partition(":")
        if way == "returned":
            return parts[0] if parts else returned
        if way == "overwritten":
            return argument
        if way == "added":
            return argument - before
        return getattr(self.layer, name, None)

    def _parameter(self, name: str, parts: list[Any], position: int) -> Any:
        if name == "returned":
            return parts[position] if len(parts) > position else None
        return getattr(self.layer, name, None) if is_named(name) else None


def as_parts(returned: Any) -> list[Any]:
    """The gradients in what a backward returned: of a tuple, list or dict, in their order."""
    if isinstance(returned, dict):
        return list(returned.values())
    if isinstance(returned, tuple | list):
        return list(returned)
    return [returned] if isinstance(returned, np.ndarray) else []


def _arguments(function: Any, delta: Any, x: Any) -> list[Any]:
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [delta]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and not positional:
        return [delta]
    needed = [p for p in positional if p.default is p.empty] or positional[:1]
    return [x if p.name in INPUT_NAMES and len(needed) > 1 else delta for p in needed]


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}"


def numbers_or_reason(value: Any, shape: tuple[int, ...], name: str) -> tuple[Array | None, str]:
    """A gradient as an array of *shape*; or None and what is wrong with it."""
    if value is None:
        return None, f"{name} is None; it must be an array of shape {shape}"
    if not isinstance(value, np.ndarray | np.generic):
        return None, f"{name} is {_kind(value)}; it must be an array of shape {shape}"
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return None, f"{name} holds {array.dtype}; it must hold real numbers"
    if array.shape != shape:
        return None, f"{name} has shape {array.shape}; it must be {shape}"
    return array, ""


def all_numbers(arrays: Iterable[Any]) -> bool:
    """Whether all are arrays of real or complex numbers."""
    return all(isinstance(a, np.ndarray) and a.dtype.kind in "fciub" for a in arrays)
