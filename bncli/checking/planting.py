"""Layers with a backward to choose: what the self-test plants its bugs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.question import Array


@dataclass(frozen=True, slots=True)
class Parts:
    """What a backward has at hand."""

    delta: Array
    x: Array
    x_norm: Array
    inv_std: Array
    gamma: Array
    beta: Array
    variance: Array
    eps: float
    axes: tuple[int, ...]

    @property
    def batch(self) -> int:
        """Pictures."""
        return len(self.x)

    @property
    def pixels(self) -> int:
        """Pixels of a picture."""
        return int(np.prod(self.x.shape[1:]))

    @property
    def count(self) -> int:
        """Values that are normalized together."""
        return int(np.prod([self.x.shape[axis] for axis in self.axes]))

    def mean(self, values: Array) -> Array:
        """Over the values that are normalized together."""
        mean: Array = values.mean(axis=self.axes, keepdims=True)
        return mean

    def terms(self, a: float = 1, b: float = 1, c: float = 1, p: int = 1, q: int = 1) -> Array:
        """The three terms with these coefficients and powers."""
        scaled = self.gamma**p * self.delta
        along = self.x_norm * self.mean(scaled * self.x_norm)
        # Python's numbers leave the precision of the arrays as it is.
        result: Array = self.inv_std**q * (
            float(a) * scaled - float(b) * self.mean(scaled) - float(c) * along
        )
        return result

    def shared(self, values: Array) -> Array:
        """A sum over all that share one gamma or beta."""
        absent = values.ndim - self.gamma.ndim
        summed: Array = values.sum(axis=tuple(range(absent)))
        return summed

    def with_inv_std(self, inv_std: Array) -> Parts:
        """With another inv_std everywhere."""
        x_norm = (self.x - self.mean(self.x)) * inv_std
        return replace(self, x_norm=x_norm, inv_std=inv_std)


Rule = Callable[[Parts], Array]


class PlantedLayer:
    """Batch normalization of each pixel, with a backward and parameter gradients to choose.

    Args:
        gamma, beta: (w, h, c).
        eps: added to the variance.
    """

    input_rule: Rule = staticmethod(Parts.terms)
    gamma_rule: Rule = staticmethod(lambda p: p.shared(p.delta * p.x_norm))
    beta_rule: Rule = staticmethod(lambda p: p.shared(p.delta))
    axes: tuple[int, ...] = (0,)
    ddof = 0
    outside = False
    bare = False
    own = 0
    """Which of the shapes of the layout gamma and beta have: (w, h, c), or (c,)."""

    def __init__(self, gamma: Array, beta: Array, eps: float = 1e-8) -> None:
        self.gamma, self.beta, self.eps = gamma, beta, eps
        self._x: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None

    def _parts(self, delta: Array) -> Parts:
        x, axes = self._x, self.axes
        variance = x.var(axis=axes, ddof=self.ddof, keepdims=True)
        if self.bare:
            with np.errstate(divide="ignore", invalid="ignore"):
                inv_std = 1 / np.sqrt(variance)
        elif self.outside:
            inv_std = 1 / (np.sqrt(variance) + self.eps)
        else:
            inv_std = 1 / np.sqrt(variance + self.eps)
        x_norm = (x - x.mean(axis=axes, keepdims=True)) * inv_std
        return Parts(delta, x, x_norm, inv_std, self.gamma, self.beta, variance, self.eps, axes)

    def forward(self, x: Array) -> Array:
        """The output."""
        self._x = x
        output: Array = self.gamma * self._parts(x).x_norm + self.beta
        return output

    def backward(self, delta: Array) -> Array:
        """The gradient of the input."""
        parts = self._parts(delta)
        self.dgamma = type(self).gamma_rule(parts)
        self.dbeta = type(self).beta_rule(parts)
        return type(self).input_rule(parts)


class Channels(PlantedLayer):
    """Batch normalization of each channel: gamma and beta are (c,)."""

    axes = (0, 1, 2)
    own = 1


class Pictures(PlantedLayer):
    """Layer normalization: each picture over all its pixels, with gamma and beta for each."""

    axes = (1, 2, 3)


class Instances(PlantedLayer):
    """Instance normalization: gamma and beta are (c,)."""

    axes = (1, 2)
    own = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted bug.

    Attributes:
        name: of the planted layer.
        expected: the name of the diagnosis; empty where the layer is right.
        layer: the class.
        quantity: which gradient is wrong.
        shape: (batch, w, h, c) of the batch on which it is wrong; None is any.
    """

    name: str
    expected: str
    layer: type
    quantity: str = "grad_input"
    shape: tuple[int, int, int, int] | None = None


def planted(name: str, kind: type = PlantedLayer, **rules: Any) -> type:
    """A layer class with these rules instead of the right ones."""
    held = {key: staticmethod(rule) if callable(rule) else rule for key, rule in rules.items()}
    return type(name.replace(" ", "_").replace("-", "_"), (kind,), held)
