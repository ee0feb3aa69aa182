"""The gradient of the input as three terms: put together, and taken apart into counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bncli.checking.forward import ForwardModel
from bncli.checking.gradients import Gradients
from bncli.checking.question import Array, Question

Shape = tuple[int, int, int, int]
_POWERS = tuple((p, q) for p in (1, 0, 2) for q in (1, 0, 2, 3))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The gradients of a layer at one question, with all that a formula could have used.

    Attributes:
        question: the batch, gamma and delta.
        model: of the layer's forward.
        given: the gradient of the input, (batch, w, h, c).
        gradients: all three, as they came.
    """

    question: Question
    model: ForwardModel
    given: Array
    gradients: Gradients

    @property
    def inv_std(self) -> Array:
        """Of the layer's own forward, (w, h, c)."""
        return self.model.inv_std(self.question)

    @property
    def x_norm(self) -> Array:
        """Of the layer's own forward."""
        x = self.question.x
        normalized: Array = (x - x.mean(axis=0)) * self.inv_std
        return normalized

    @property
    def ones(self) -> Array:
        """As many as there are values in the batch."""
        return np.ones_like(self.question.x)

    def backward(
        self, *, delta: Array | None = None, gamma: Array | None = None,
        inv_std: Array | None = None, along: tuple[Array, Array] | None = None,
        mean: Array | float = 1.0, variance: Array | float = 1.0, axes: tuple[int, ...] = (0,),
    ) -> Array:  # fmt: skip
        """The right gradient of the input for that forward, with something in it exchanged.

        Args:
            delta, gamma, inv_std: other than they are.
            along: the two factors of the variance term that are x_norm.
            mean, variance: what these terms are multiplied by.
            axes: over which their means are taken.
        """
        question, model = self.question, self.model
        delta = question.delta if delta is None else delta
        gamma = question.gamma if gamma is None else gamma
        outer, inner = (self.x_norm, self.x_norm) if along is None else along
        product = outer * (delta * inner).mean(axis=axes, keepdims=True)
        product = product * model.unbiased(len(question.x)) * variance
        if model.eps_outside_root and inv_std is None:
            # The derivative of the root has no eps in it; x_norm, which stands for it, has.
            root = np.sqrt(model.variance(question))
            product = product / np.where(root > 0, root * self.inv_std, 1.0)
        inv_std = self.inv_std if inv_std is None else inv_std
        middle = delta - delta.mean(axis=axes, keepdims=True) * mean - product
        gradient: Array = gamma * inv_std * middle
        return gradient


@dataclass(frozen=True, slots=True)
class Fit:
    """The three terms fitted to a gradient."""

    coefficients: tuple[float, float, float]
    powers: tuple[int, int]
    residual: float


def best_fit(evidence: Evidence) -> Fit:
    """The powers and coefficients of least residual, over the usual pixels."""
    question = evidence.question
    usual = question.usual
    delta, x_norm = question.delta[:, usual], evidence.x_norm[:, usual]
    gamma, inv_std = question.gamma[usual], evidence.inv_std[usual]
    given = evidence.given[:, usual]
    weight = 1 / np.maximum(np.sqrt((given**2).mean(axis=0)), 1e-300)
    along = (delta * x_norm).mean(axis=0) * evidence.model.unbiased(len(delta))
    terms = (delta, -np.broadcast_to(delta.mean(axis=0), delta.shape), -x_norm * along)
    target = (given * weight).ravel()
    best: Fit | None = None
    for p, q in _POWERS:
        factor = gamma**p * inv_std**q * weight
        columns = np.stack([(term * factor).ravel() for term in terms], axis=1)
        solution = np.linalg.lstsq(columns, target, rcond=None)[0]
        residual = float(np.linalg.norm(columns @ solution - target))
        residual /= max(float(np.linalg.norm(target)), 1e-300)
        # Where gamma or inv_std make no difference, the plain powers are meant.
        if best is None or residual < 0.5 * best.residual:
            a, b, c = (float(number) for number in solution)
            best = Fit((a, b, c), (p, q), residual)
    assert best is not None  # noqa: S101 - there are powers
    return best


def count_values(shape: Shape) -> dict[str, float]:
    """Every count that a formula may have used by mistake, simplest first."""
    batch, width, height, channels = shape
    sizes = {
        "B": batch,
        "P": width * height * channels,
        "(w*h)": width * height,
        "(w*c)": width * channels,
        "(h*c)": height * channels,
        "w": width,
        "h": height,
        "c": channels,
        "(B*P)": batch * width * height * channels,
        "(B*w*h)": batch * width * height,
        "(B*c)": batch * channels,
        "(B-1)": batch - 1,
    }
    values = {"1": 1.0, "0": 0.0, "2": 2.0, "1/2": 0.5, "3": 3.0, "3/2": 1.5, "4": 4.0, "1/4": 0.25}
    values |= {name: float(size) for name, size in sizes.items()}
    values |= {f"1/{name}": 1 / size for name, size in sizes.items() if size}
    values |= {f"B/{name}": batch / size for name, size in sizes.items() if name != "B" and size}
    values |= {"(B-1)/B": (batch - 1) / batch, "B^2": float(batch**2), "1/B^2": 1 / batch**2}
    values |= {"(1/B)/P": 1 / (batch * sizes["P"]), "P/B": sizes["P"] / batch}
    return values


def name_count(
    coefficients: Sequence[float], shapes: Sequence[Shape], tolerance: float
) -> str | None:
    """The one count that fits the coefficient at every shape; None if none does.

    Args:
        coefficients: the fitted numbers, one for each shape.
        shapes: the shapes.
        tolerance: relative error of the fit.
    """
    tables = [count_values(shape) for shape in shapes]
    for name, (sign, prefix) in itertools.product(tables[0], ((1.0, ""), (-1.0, "-"))):
        pairs = zip(coefficients, tables, strict=True)
        if name + prefix != "0-" and all(
            math.isclose(number, sign * table[name], rel_tol=tolerance, abs_tol=tolerance / 10)
            for number, table in pairs
        ):
            return prefix + name
    return None
