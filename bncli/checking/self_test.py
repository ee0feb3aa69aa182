"""The self-test: the checker put to layers with planted bugs, and to right ones.

The layers are written by hand, not made from the table of mistakes: they are what it is tested on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.examine import gradcheck
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

    @property
    def batch(self) -> int:
        """Pictures."""
        return len(self.x)

    @property
    def pixels(self) -> int:
        """Pixels of a picture."""
        return int(np.prod(self.x.shape[1:]))

    def terms(self, a: float = 1, b: float = 1, c: float = 1, p: int = 1, q: int = 1) -> Array:
        """The three terms with these coefficients and powers."""
        mean = self.delta.mean(axis=0)
        along = self.x_norm * (self.delta * self.x_norm).mean(axis=0)
        factor = self.gamma**p * self.inv_std**q
        # Python's numbers leave the precision of the arrays as it is.
        result: Array = factor * (float(a) * self.delta - float(b) * mean - float(c) * along)
        return result

    def with_inv_std(self, inv_std: Array) -> Parts:
        """With another inv_std everywhere."""
        x_norm = (self.x - self.x.mean(axis=0)) * inv_std
        return replace(self, x_norm=x_norm, inv_std=inv_std)


Backward = Callable[[Parts], Array]


class PlantedLayer:
    """Batch normalization of each pixel, with a backward and parameter gradients to choose.

    Args:
        gamma, beta: (w, h, c).
        eps: added to the variance.
    """

    input_rule: Backward = staticmethod(Parts.terms)
    gamma_rule: Backward = staticmethod(lambda parts: (parts.delta * parts.x_norm).sum(axis=0))
    beta_rule: Backward = staticmethod(lambda parts: parts.delta.sum(axis=0))
    ddof = 0
    outside = False

    def __init__(self, gamma: Array, beta: Array, eps: float = 1e-8) -> None:
        self.gamma, self.beta, self.eps = gamma, beta, eps
        self._x: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None

    def _parts(self, delta: Array) -> Parts:
        x = self._x
        variance = x.var(axis=0, ddof=self.ddof)
        if self.outside:
            inv_std = 1 / (np.sqrt(variance) + self.eps)
        else:
            inv_std = 1 / np.sqrt(variance + self.eps)
        x_norm = (x - x.mean(axis=0)) * inv_std
        return Parts(delta, x, x_norm, inv_std, self.gamma, self.beta, variance, self.eps)

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


def planted(name: str, **rules: Any) -> type:
    """A layer class with these rules instead of the right ones."""
    held = {key: staticmethod(rule) if callable(rule) else rule for key, rule in rules.items()}
    return type(name.replace("-", "_"), (PlantedLayer,), held)


def _input(name: str, expected: str, rule: Backward, **more: Any) -> Fault:
    return Fault(name, expected, planted(name, input_rule=rule), **more)


def _gamma(name: str, expected: str, rule: Backward) -> Fault:
    return Fault(name, expected, planted(name, gamma_rule=rule), "grad_gamma")


def _beta(name: str, expected: str, rule: Backward) -> Fault:
    return Fault(name, expected, planted(name, beta_rule=rule), "grad_beta")


def _with(parts: Parts, mean_factor: Any, variance_factor: Any) -> Array:
    mean = parts.delta.mean(axis=0) * mean_factor
    along = parts.x_norm * (parts.delta * parts.x_norm).mean(axis=0) * variance_factor
    result: Array = parts.gamma * parts.inv_std * (parts.delta - mean - along)
    return result


def _along(parts: Parts, outer: Array, inner: Array) -> Array:
    along = outer * (parts.delta * inner).mean(axis=0)
    result: Array = parts.gamma * parts.inv_std * (parts.delta - parts.delta.mean(axis=0) - along)
    return result


def _over(parts: Parts, axes: tuple[int, ...]) -> Array:
    mean = parts.delta.mean(axis=axes, keepdims=True)
    along = parts.x_norm * (parts.delta * parts.x_norm).mean(axis=axes, keepdims=True)
    result: Array = parts.gamma * parts.inv_std * (parts.delta - mean - along)
    return result


def _one_pixel(parts: Parts) -> Array:
    gradient = parts.terms()
    gradient[:, -1, -1, 0] *= -1
    return gradient


def _random(parts: Parts) -> Array:
    rng = np.random.default_rng(5)
    return rng.standard_normal(parts.delta.shape).astype(parts.delta.dtype)


def _with_eps(parts: Parts, eps: float) -> Array:
    return parts.with_inv_std(1 / np.sqrt(parts.variance + eps)).terms()


class _Outside(PlantedLayer):
    outside = True

    def __init__(self, gamma: Array, beta: Array, eps: float = 1e-3) -> None:
        # Large enough to show in single precision.
        super().__init__(gamma, beta, eps)


STUDIED = (
    _input("no mean term", "missing-mean-term", lambda p: p.terms(b=0)),
    _input("no variance term", "missing-variance-term", lambda p: p.terms(c=0)),
    _input("inference mode", "inference-gradient", lambda p: p.terms(b=0, c=0)),
    _input("published formula", "pixels-for-batch-and-mean-divided-twice",
           lambda p: p.terms(b=1 / p.pixels, c=p.batch / p.pixels)),
    _input("pixels for batch", "pixels-for-batch",
           lambda p: p.terms(b=p.batch / p.pixels, c=p.batch / p.pixels)),
    _input("divided by all", "divided-by-all", lambda p: p.terms(b=1 / p.pixels, c=1 / p.pixels)),
    _input("sum for mean", "sum-for-mean", lambda p: p.terms(b=p.batch, c=p.batch)),
    _input("ddof in backward", "ddof-in-backward", lambda p: p.terms(c=p.batch / (p.batch - 1))),
    _input("sign of all", "sign-flipped", lambda p: p.terms(-1, -1, -1)),
    _input("sign of mean term", "mean-sign-flipped", lambda p: p.terms(b=-1)),
    _input("sign of variance term", "variance-sign-flipped", lambda p: p.terms(c=-1)),
    _input("variance term doubled", "variance-term-doubled", lambda p: p.terms(c=2)),
    _input("variance term halved", "variance-term-halved", lambda p: p.terms(c=0.5)),
    _input("no gamma", "missing-gamma", lambda p: p.terms(p=0)),
    _input("gamma twice", "gamma-squared", lambda p: p.terms(p=2)),
    _input("no inv_std", "missing-inv-std", lambda p: p.terms(q=0)),
    _input("inv_std twice", "inv-std-squared", lambda p: p.terms(q=2)),
    _input("divided by batch", "divided-by-batch",
           lambda p: p.terms(1 / p.batch, 1 / p.batch, 1 / p.batch)),
    _input("eps outside the root", "eps-outside-root",
           lambda p: p.with_inv_std(1 / (np.sqrt(p.variance) + p.eps)).terms()),
    _input("another eps", "eps-mismatch", lambda p: _with_eps(p, 1e3 * p.eps)),
)  # fmt: skip
"""The bugs that were studied in layers people use."""

OTHERS = (
    _input("missing -1/2", "missing-minus-half", lambda p: p.terms(c=-2)),
    _input("added to itself", "doubled", lambda p: p.terms(2, 2, 2)),
    _input("both signs", "both-signs-flipped", lambda p: p.terms(b=-1, c=-1)),
    _input("no delta term", "missing-direct-term", lambda p: p.terms(a=0)),
    _input("gamma late", "variance-term-gamma", lambda p: _with(p, 1, 1 / p.gamma)),
    _input("inv_std squared for cubed", "variance-term-inv-std",
           lambda p: _with(p, 1, 1 / p.inv_std)),
    _input("x for x_norm", "x-for-x-norm", lambda p: _along(p, p.x, p.x)),
    _input("mean over a channel", "averaged-over-pixels", lambda p: _over(p, (0, 1, 2))),
    _input("pictures reversed", "batch-reversed", lambda p: p.terms()[::-1].copy()),
    _input("magnitude of gamma", "gamma-magnitude", lambda p: np.sign(p.gamma) * p.terms()),
    _input("width for batch", "mean-times-B/w-variance-times-B/w",
           lambda p: p.terms(b=p.batch / p.x.shape[1], c=p.batch / p.x.shape[1])),
    _input("delta handed on", "delta-itself", lambda p: p.delta),
    _input("one pixel flipped", "local", _one_pixel),
    _input("nothing", "zero", lambda p: np.zeros_like(p.delta)),
    _input("random numbers", "unrecognised", _random),
    _gamma("gamma gradient averaged", "x-norm-times-1/B",
           lambda p: (p.delta * p.x_norm).mean(axis=0)),
    _gamma("gamma gradient of x", "x", lambda p: (p.delta * p.x).sum(axis=0)),
    _beta("beta gradient averaged", "delta-times-1/B", lambda p: p.delta.mean(axis=0)),
    _beta("beta gradient with gamma", "with-gamma", lambda p: (p.delta * p.gamma).sum(axis=0)),
    _input("times batch", "times-batch", lambda p: p.terms(p.batch, p.batch, p.batch)),
    _input("inv_std three times", "inv-std-cubed", lambda p: p.terms(q=3)),
    _input("centred for x_norm", "variance-term-inv-std", lambda p: _with(p, 1, p.inv_std**-2)),
    _input("inv_std to the fourth", "variance-term-inv-std", lambda p: _with(p, 1, p.inv_std)),
    _input("gamma late for the mean", "mean-term-gamma", lambda p: _with(p, 1 / p.gamma, 1)),
    _input("gamma late for both", "correction-terms-gamma",
           lambda p: _with(p, 1 / p.gamma, 1 / p.gamma)),
    _input("inv_std late for the mean", "mean-term-inv-std", lambda p: _with(p, 1 / p.inv_std, 1)),
    _input("times x", "x-for-x-norm", lambda p: _along(p, p.x, p.x_norm)),
    _input("sum with x", "x-for-x-norm", lambda p: _along(p, p.x_norm, p.x)),
    _input("delta of ones", "ignores-delta",
           lambda p: replace(p, delta=np.ones_like(p.delta)).terms()),
    _input("beta for gamma", "beta-for-gamma", lambda p: replace(p, gamma=p.beta).terms()),
    _input("pictures shifted", "batch-shifted", lambda p: np.roll(p.terms(), 1, axis=0)),
    _input("channels reversed", "channels-reversed", lambda p: p.terms()[..., ::-1].copy()),
    _input("mean over a picture", "averaged-over-pictures", lambda p: _over(p, (1, 2, 3))),
    _input("mean over all", "averaged-over-everything", lambda p: _over(p, (0, 1, 2, 3))),
    _input("no eps", "no-eps", lambda p: _with_eps(p, 0.0)),
    _input("NaN everywhere", "not-finite", lambda p: p.terms() * np.nan),
    _input("whole numbers", "whole-numbers", lambda p: np.rint(p.terms()).astype(int)),
    _input("four pictures", "depends-on-the-batch",
           lambda p: p.terms(c=p.batch != 4), shape=(4, 3, 4, 2)),  # noqa: PLR2004 - see shape
    _input("an axis lost", "not-a-gradient", lambda p: p.terms().sum(axis=3)),
    Fault("ddof in forward", "ddof-missing-in-backward", planted("unbiased_forward", ddof=1)),
    Fault("ddof in forward alone", "ddof-in-forward",
          planted("recomputed", ddof=1, input_rule=lambda p: p.with_inv_std(
              1 / np.sqrt(p.variance * ((p.batch - 1) / p.batch) + p.eps)).terms())),
    Fault("eps outside the root of forward", "eps-outside-root", _Outside),
    _gamma("gamma gradient for beta's", "swapped", lambda p: p.delta.sum(axis=0)),
    _gamma("gamma gradient of x - mean", "centred",
           lambda p: (p.delta * p.x_norm / p.inv_std).sum(axis=0)),
    _gamma("gamma gradient of the output", "output",
           lambda p: (p.delta * (p.gamma * p.x_norm + p.beta)).sum(axis=0)),
    _gamma("gamma gradient with gamma", "with-gamma",
           lambda p: (p.delta * p.gamma * p.x_norm).sum(axis=0)),
    _gamma("no gamma gradient", "zero", lambda p: np.zeros_like(p.gamma)),
    _beta("beta gradient for gamma's", "swapped", lambda p: (p.delta * p.x_norm).sum(axis=0)),
    _beta("beta gradient with inv_std", "with-inv-std",
          lambda p: (p.delta * p.inv_std).sum(axis=0)),
    _beta("no beta gradient", "zero", lambda p: np.zeros_like(p.beta)),
)  # fmt: skip
"""Bugs beside them: each mistake of the table at least once."""

RIGHT = (
    Fault("right", "", PlantedLayer),
    Fault("right, ddof=1 in both", "",
          planted("unbiased", ddof=1, input_rule=lambda p: p.terms(c=p.batch / (p.batch - 1)))),
)  # fmt: skip
"""Layers with nothing wrong in their backward."""


@dataclass(frozen=True, slots=True)
class Trialled:
    """What the checker said to one layer.

    Attributes:
        name: of the planted bug.
        expected: the name it must give; empty for a right layer.
        named: the name it gave; empty where it passed the layer.
        ok: whether it was right.
        dtype: the precision.
    """

    name: str
    expected: str
    named: str
    ok: bool
    dtype: str


def run_battery(
    seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> list[Trialled]:
    """Check every planted layer in both precisions.

    Args:
        seed: of the probes.
        progress: is told how many layers are done.
    """
    layers = (*RIGHT, *STUDIED, *OTHERS)
    results = []
    for dtype in ("float64", "float32"):
        for fault in layers:
            results.append(_try(fault, dtype, seed))
            if progress is not None:
                progress("self-test", len(results), 2 * len(layers))
    return results


def _try(fault: Fault, dtype: str, seed: int) -> Trialled:
    report = gradcheck(fault.layer, shape=fault.shape, dtype=dtype, seed=seed)
    named = "" if report.diagnosis is None else report.diagnosis.name
    others = [
        name
        for name, quantity in report.quantities.items()
        if quantity is not None and not quantity.passed and name != fault.quantity
    ]
    ok = named == fault.expected and not others and report.passed == (not fault.expected)
    return Trialled(fault.name, fault.expected, named, ok, dtype)
