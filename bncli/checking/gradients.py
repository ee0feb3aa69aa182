"""Where the gradients of a layer come back, and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncli.checking.protocol import LayerProtocol, is_named
from bncli.checking.question import Array

_GRAD_INPUT = ("grad_input", "dx", "grad_x", "input_gradient", "d_input", "dinput", "delta")
_GRAD_GAMMA = (
    "scales_updates", "scales_update", "scale_updates", "scale_update", "dgamma", "grad_gamma",
    "gamma_grad", "d_gamma", "gamma_gradient", "dscales", "dscale", "grad_scales", "scales_grad",
    "weights_update", "dweight", "grad_weight",
)  # fmt: skip
_GRAD_BETA = (
    "bias_updates", "bias_update", "dbeta", "grad_beta", "beta_grad", "d_beta", "beta_gradient",
    "dbias", "grad_bias", "bias_grad",
)  # fmt: skip
_ALL = 3


@dataclass(slots=True)
class Gradients:
    """What a backward gave: raw, as it came; None where it gives no such gradient."""

    grad_input: Any
    grad_gamma: Any = None
    grad_beta: Any = None


@dataclass(slots=True)
class Look:
    """What one backward left behind.

    Attributes:
        layer: the layer.
        returned: what it returned.
        before, after: the argument.
    """

    layer: Any
    returned: Any
    before: Array
    after: Array

    @property
    def parts(self) -> list[Any]:
        """The gradients in what was returned: of a tuple, list or dict, in their order."""
        if isinstance(self.returned, dict):
            return list(self.returned.values())
        if isinstance(self.returned, tuple | list):
            return list(self.returned)
        return [self.returned] if isinstance(self.returned, np.ndarray) else []

    def gradients(self, protocol: LayerProtocol) -> Gradients:
        """The three gradients, from where the protocol says they are."""
        parts = self.parts
        way, _, name = protocol.grad_input.partition(":")
        if way == "returned":
            grad_input = parts[0] if parts else self.returned
        elif way == "attribute":
            grad_input = getattr(self.layer, name, None)
        else:
            grad_input = self.after if way == "overwritten" else self.after - self.before
        return Gradients(
            grad_input,
            self._parameter(protocol.grad_gamma, parts[1:2]),
            self._parameter(protocol.grad_beta, parts[2:3]),
        )

    def _parameter(self, name: str, part: list[Any]) -> Any:
        if name == "returned":
            return part[0] if part else None
        return getattr(self.layer, name, None) if is_named(name) else None

    def parameter_names(self) -> dict[str, str]:
        """Where the gradients of gamma and beta are, as far as it can be seen."""
        names = {"grad_gamma": _GRAD_GAMMA, "grad_beta": _GRAD_BETA}
        if len(self.parts) >= _ALL:
            parts = zip(names, self.parts[1:_ALL], strict=True)
            return {name: "none" if part is None else "returned" for name, part in parts}
        return {
            name: next((n for n in known if getattr(self.layer, n, None) is not None), "none")
            for name, known in names.items()
        }


def way_back(looks: Sequence[Look], delta: str) -> str:
    """The way the gradient of the input comes back; empty if none is seen.

    Args:
        looks: three backwards: with a delta, with another, and with the first again.
        delta: ``argument``; or ``attribute``, and then the third has another argument.
    """
    weak = ""
    for way, values in _candidates(looks, delta):
        shapes = {getattr(value, "shape", None) for value in values}
        if shapes != {looks[0].after.shape}:
            if way == "returned" and values[0] is not None:
                weak = weak or way  # of a wrong shape or kind: that is for the check to say
            continue
        first, second, third = values
        if not _same(first, second) and _same(first, third):
            return way
        if way == "returned":
            weak = way
    first, _, third = (look.parts[0] if look.parts else None for look in looks)
    return weak if delta == "argument" or _same(first, third) else ""


def _candidates(looks: Sequence[Look], delta: str) -> Iterator[tuple[str, list[Any]]]:
    yield "returned", [look.parts[0] if look.parts else None for look in looks]
    if not any(_same(look.after, look.before) for look in looks):
        yield "overwritten", [look.after for look in looks]
        if delta == "attribute":
            yield "added", [look.after - look.before for look in looks]
    for name in _GRAD_INPUT:
        values = [getattr(look.layer, name, None) for look in looks]
        if all(isinstance(value, np.ndarray) for value in values):
            yield f"attribute:{name}", values


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fciub" or b.dtype.kind not in "fciub":
        return False
    # What was added into another number has lost a digit or two.
    scale = float(np.nanmax(np.abs(a), initial=0)) + 1.0
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-6 * scale, equal_nan=True))


def kind_of(value: Any) -> str:
    """What a thing is that should be an array of numbers."""
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
        return None, f"{name} is {kind_of(value)}; it must be an array of shape {shape}"
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return None, f"{name} holds {array.dtype}; it must hold real numbers"
    if array.shape != shape:
        return None, f"{name} has shape {array.shape}; it must be {shape}"
    return array, ""
