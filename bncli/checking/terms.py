"""The gradient of the input as three terms: put together, and taken apart into counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bncli.checking.forward import ForwardModel
from bncli.checking.question import Array, Question

_POWERS = tuple((p, q) for p in (1, 0, 2) for q in (1, 0, 2, 3))


@dataclass(frozen=True, slots=True)
class Evidence:
    """The gradients of a layer at one question, with all that a formula could have used.

    Attributes:
        question: the batch, delta, and the groups.
        wide: gamma and beta in the axes (batch, w, h, c), of length 1 where they have none.
        model: of the layer's forward.
        given: the gradient of the input, (batch, w, h, c).
        gradients: role -> that of the parameter, in the same axes as the parameter.
    """

    question: Question
    wide: Mapping[str, Array]
    model: ForwardModel
    given: Array
    gradients: Mapping[str, Array]

    @property
    def gamma(self) -> Array:
        """In the axes (batch, w, h, c); ones where there is none."""
        return self.wide.get("gamma", np.ones((1,) * 4))

    @property
    def beta(self) -> Array:
        """Likewise; zeros."""
        return self.wide.get("beta", np.zeros((1,) * 4))

    @property
    def inv_std(self) -> Array:
        """Of the layer's own forward, broadcastable to x."""
        return self.model.inv_std(self.question)

    @property
    def x_norm(self) -> Array:
        """Of the layer's own forward."""
        x = self.question.x
        normalized: Array = (x - self.model.mean(x)) * self.inv_std
        return normalized

    @property
    def ones(self) -> Array:
        """As many as there are values in the batch."""
        return np.ones_like(self.question.x)

    def backward(
        self, *, delta: Array | None = None, gamma: Array | None = None,
        inv_std: Array | None = None, along: tuple[Array, Array] | None = None,
        mean: Array | float = 1.0, variance: Array | float = 1.0,
        axes: tuple[int, ...] | None = None,
    ) -> Array:  # fmt: skip
        """The right gradient of the input for that forward, with something in it exchanged.

        Args:
            delta, gamma, inv_std: other than they are.
            along: the two factors of the variance term that are x_norm.
            mean, variance: what these terms are multiplied by.
            axes: over which their means are taken; None is those of the forward.
        """
        question, model = self.question, self.model
        arrived = (question.delta if delta is None else delta) * (
            self.gamma if gamma is None else gamma
        )

        def averaged(values: Array) -> Array:
            if axes is None:
                return model.mean(values)
            found: Array = values.mean(axis=axes, keepdims=True)
            return found

        outer, inner = (self.x_norm, self.x_norm) if along is None else along
        product = outer * averaged(arrived * inner)
        product = product * model.unbiased(question.shape) * variance
        if model.eps_outside_root and inv_std is None:
            # The derivative of the root has no eps in it; x_norm, which stands for it, has.
            root = np.sqrt(model.variance(question.x))
            product = product / np.where(root > 0, root * self.inv_std, 1.0)
        inv_std = self.inv_std if inv_std is None else inv_std
        gradient: Array = inv_std * (arrived - averaged(arrived) * mean - product)
        return gradient


@dataclass(frozen=True, slots=True)
class Fit:
    """The three terms fitted to a gradient."""

    coefficients: tuple[float, float, float]
    powers: tuple[int, int]
    residual: float


def best_fit(evidence: Evidence) -> Fit:
    """The powers and coefficients of least residual, over the usual groups."""
    question, model = evidence.question, evidence.model
    usual = np.broadcast_to(question.usual, question.shape)
    x_norm, inv_std = evidence.x_norm, evidence.inv_std
    given = evidence.given
    power = (given**2).mean(axis=question.axes, keepdims=True)
    weight = np.broadcast_to(1 / np.maximum(np.sqrt(power), 1e-300), question.shape)
    target = (given * weight)[usual]
    unbiased = model.unbiased(question.shape)
    best: Fit | None = None
    for p, q in _POWERS:
        arrived = evidence.gamma**p * question.delta
        along = model.mean(arrived * x_norm) * unbiased
        factor = inv_std**q * weight
        terms = (arrived, -model.mean(arrived), -x_norm * along)
        columns = np.stack([(term * factor)[usual] for term in terms], axis=1)
        solution = np.linalg.lstsq(columns, target, rcond=None)[0]
        residual = float(np.linalg.norm(columns @ solution - target))
        residual /= max(float(np.linalg.norm(target)), 1e-300)
        # Where gamma or inv_std make no difference, the plain powers are meant.
        if best is None or residual < 0.5 * best.residual:
            a, b, c = (float(number) for number in solution)
            best = Fit((a, b, c), (p, q), residual)
    assert best is not None  # noqa: S101 - there are powers
    return best


def count_values(shape: Sequence[int], size: int) -> dict[str, float]:
    """Every count that a formula may have used by mistake, simplest first.

    Args:
        shape: (batch, w, h, c).
        size: how many values a group has, N.
    """
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
    values |= {name: float(number) for name, number in sizes.items()}
    values |= {f"1/{name}": 1 / number for name, number in sizes.items() if number}
    values |= {f"B/{name}": batch / n for name, n in sizes.items() if name != "B" and n}
    values |= {"(B-1)/B": (batch - 1) / batch, "B^2": float(batch**2), "1/B^2": 1 / batch**2}
    values |= {"(1/B)/P": 1 / (batch * sizes["P"]), "P/B": sizes["P"] / batch}
    values |= {"N": float(size), "1/N": 1 / size, "(N-1)/N": (size - 1) / size}
    values |= {"N/(N-1)": size / max(size - 1, 1)}
    values |= {f"N/{name}": size / number for name, number in sizes.items() if number}
    return values


def fits(
    symbol: str, numbers: Sequence[float], tables: Sequence[Mapping[str, float]], tolerance: float
) -> bool:
    """Whether a count is that number at every shape."""
    name, sign = symbol.removeprefix("-"), -1 if symbol.startswith("-") else 1
    return all(
        math.isclose(number, sign * table[name], rel_tol=tolerance, abs_tol=tolerance / 10)
        for number, table in zip(numbers, tables, strict=True)
    )


def name_count(
    numbers: Sequence[float], tables: Sequence[Mapping[str, float]], tolerance: float
) -> str | None:
    """The one count that fits a coefficient at every shape; None if none does.

    Args:
        numbers: the fitted ones, one for each shape.
        tables: the counts of the shapes.
        tolerance: relative error of the fit.
    """
    for name, prefix in itertools.product(tables[0], ("", "-")):
        if name + prefix != "0-" and fits(prefix + name, numbers, tables, tolerance):
            return prefix + name
    return None
