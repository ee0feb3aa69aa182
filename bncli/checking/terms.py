"""The gradient of the input as three terms: put together, and taken apart into counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bncli.checking.derive import rounding_noise
from bncli.checking.forward import ForwardModel
from bncli.checking.question import DTYPES, PIXEL, Array, Question

_POWERS = tuple((p, q) for p in (1, 0, 2) for q in (1, 0, 2, 3))
_USUAL = 1e5
_SMALL_EPS = 1e-8


@dataclass(frozen=True)
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
    def axes(self) -> tuple[int, ...]:
        """Over which the forward reduces."""
        return PIXEL if self.model.axes is None else self.model.axes

    @cached_property
    def inv_std(self) -> Array:
        """Of the layer's own forward, broadcastable to x."""
        with np.errstate(all="ignore"):
            return self.model.inv_std(self.question)

    @cached_property
    def x_norm(self) -> Array:
        """Of the layer's own forward."""
        x = self.question.x
        with np.errstate(all="ignore"):
            normalized: Array = (x - self.model.mean(x)) * self.inv_std
        return normalized

    @cached_property
    def variance(self) -> Array:
        """Of each value's group, (batch, w, h, c)."""
        return np.broadcast_to(self.model.variance(self.question.x), self.question.shape)

    @cached_property
    def live(self) -> Array:
        """Where the forward is finite, (batch, w, h, c)."""
        return np.isfinite(self.x_norm)

    @cached_property
    def usual(self) -> Array:
        """Where the variance is not so small that a slip in eps hides all else, likewise."""
        usual = self.variance > _USUAL * min(self.question.eps, _SMALL_EPS)
        return usual if usual.any() else self.live

    @property
    def ones(self) -> Array:
        """As many as there are values in the batch."""
        return np.ones_like(self.question.x)

    def averaged(self, values: Array, axes: tuple[int, ...] | None = None) -> Array:
        """The mean over the groups of the forward, or over other axes."""
        if axes is None:
            return self.model.mean(np.broadcast_to(values, self.question.shape))
        mean: Array = np.broadcast_to(values, self.question.shape).mean(axis=axes, keepdims=True)
        return mean

    def backward(
        self, *, delta: Array | None = None, gamma: Array | None = None,
        inv_std: Array | None = None, along: tuple[Array, Array] | None = None,
        mean: Array | float = 1.0, variance: Array | float = 1.0,
        axes: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None),
    ) -> Array:  # fmt: skip
        """The right gradient of the input for that forward, with something in it exchanged.

        Args:
            delta, gamma, inv_std: other than they are.
            along: the two factors of the variance term that are x_norm.
            mean, variance: what these terms are multiplied by.
            axes: over which their means are taken; None is those of the forward.
        """
        arrived = (self.question.delta if delta is None else delta) * (
            self.gamma if gamma is None else gamma
        )
        outer, inner = (self.x_norm, self.x_norm) if along is None else along
        with np.errstate(all="ignore"):
            product = outer * self.averaged(arrived * inner, axes[1]) * self.unbiased * variance
            inv_std = self.inv_std if inv_std is None else inv_std
            centred = arrived - self.averaged(arrived, axes[0]) * mean
            gradient: Array = inv_std * (centred - product)
        return gradient

    @cached_property
    def unbiased(self) -> Array | float:
        """What the variance term of this forward has beside the mean over its group."""
        factor = self.model.unbiased(self.question.shape)
        if not self.model.eps_outside_root:
            return factor
        # The derivative of the root has no eps in it; x_norm, which stands for it, has.
        root = np.sqrt(self.variance)
        return factor / np.where(root > 0, root * self.inv_std, 1.0)

    def made(self, coefficients: Sequence[float], powers: tuple[int, int]) -> Array:
        """The three terms with these coefficients, and these powers of gamma and inv_std."""
        a, b, c = coefficients
        arrived = self.gamma ** powers[0] * self.question.delta
        with np.errstate(all="ignore"):
            along = self.x_norm * self.averaged(arrived * self.x_norm) * self.unbiased
            terms = a * arrived - b * self.averaged(arrived) - c * along
            made: Array = self.inv_std ** powers[1] * terms
        return made

    @cached_property
    def counts(self) -> Mapping[str, float]:
        """Those of this shape, by name."""
        return count_values(self.question.shape, self.model.size(self.question.shape))

    def count(self, symbol: str) -> float:
        """One of them, with its sign."""
        return self.counts[symbol.removeprefix("-")] * (-1 if symbol.startswith("-") else 1)

    @cached_property
    def right(self) -> Array:
        """The gradient of the input that belongs to the forward."""
        return self.backward()

    @cached_property
    def noise(self) -> Mapping[str, Array]:
        """The relative error that rounding explains, by precision; broadcastable to x."""
        given = self.given[np.isfinite(self.given)]
        # A layer may compute in single precision, whatever it is given.
        single = bool((given == given.astype(np.float32)).all())
        found = {name: rounding_noise(self.question, np.dtype(name)) for name in DTYPES}
        return {name: found["float32" if single else name] for name in DTYPES}

    @cached_property
    def _sizes(self) -> dict[tuple[int, int], Array]:
        return {}

    def size(self, powers: tuple[int, int] = (1, 1)) -> Array:
        """How large the term delta is in each group, with these powers of gamma and inv_std."""
        if powers not in self._sizes:
            with np.errstate(all="ignore"):
                terms = np.abs(
                    self.gamma ** powers[0] * self.question.delta * self.inv_std ** powers[1]
                )
            self._sizes[powers] = terms.max(axis=self.axes, keepdims=True)
        return self._sizes[powers]

    def differs(self, expected: Array, dtype: str, powers: tuple[int, int] = (1, 1)) -> Array:
        """Where the gradient is not what is expected, (batch, w, h, c).

        Args:
            expected: of the gradient of the input.
            dtype: the precision that the backward computed in.
            powers: of gamma and inv_std in it, which tell how large its terms are.
        """
        with np.errstate(all="ignore"):
            scale = np.abs(expected).max(axis=self.axes, keepdims=True)
            scale = np.maximum(scale, self.size(powers)) * self.noise[dtype]
            same = np.abs(self.given - expected) <= scale + 1e-300
        differs: Array = self.live & ~same
        return differs


@dataclass(frozen=True, slots=True)
class Fit:
    """The three terms fitted to a gradient, with these powers of gamma and inv_std.

    Attributes:
        coefficients: of delta, of the mean term, and of the variance term.
        powers: p and q.
        residual: relative.
    """

    coefficients: tuple[float, float, float]
    powers: tuple[int, int]
    residual: float


def all_fits(seen: Sequence[Evidence]) -> Iterator[list[Fit]]:
    """For each pair of powers the fits to all that was seen, the plain ones first."""
    plain = all("gamma" not in e.wide for e in seen)
    for powers in _POWERS:
        if powers[0] == 1 or not plain:
            yield [_fit(e, powers) for e in seen]


def _fit(e: Evidence, powers: tuple[int, int]) -> Fit:
    """Over the usual groups, each of which counts the same."""
    usual, x_norm = e.usual & e.live, e.x_norm
    arrived = e.gamma ** powers[0] * e.question.delta
    along = e.averaged(arrived * x_norm) * e.unbiased
    size = np.sqrt(e.averaged(np.where(usual, e.given, 0.0) ** 2))
    weight = 1 / np.maximum(size, 1e-9 * max(float(size.max()), 1e-290))
    factor = np.where(usual, e.inv_std, 0.0) ** powers[1] * weight
    terms = (arrived, -e.averaged(arrived), -x_norm * along)
    with np.errstate(all="ignore"):
        columns = np.stack([(term * factor)[usual] for term in terms], axis=1)
    largest = float(np.abs(columns).max(initial=0.0))
    if not np.isfinite(largest):
        return Fit((0.0, 0.0, 0.0), powers, np.inf)
    columns = columns / (largest or 1.0)
    target = (e.given * weight)[usual]
    lengths = np.linalg.norm(columns, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    solution = np.linalg.lstsq(columns / lengths, target, rcond=None)[0]
    residual = float(np.linalg.norm(columns / lengths @ solution - target))
    residual /= max(float(np.linalg.norm(target)), 1e-300)
    a, b, c = (float(number) for number in solution / lengths / (largest or 1.0))
    return Fit((a, b, c), powers, residual)


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
    values |= {"N/(N-1)": size / max(size - 1, 1), "1/(N-1)": 1 / max(size - 1, 1)}
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


def same_numbers(rows: Sequence[Sequence[float]], tolerance: float) -> bool:
    """Whether each of the rows holds one number alone."""
    return all(abs(n - row[0]) <= tolerance * abs(row[0]) for row in rows for n in row)


def symbols_of(
    numbers: Sequence[Sequence[float]], tables: Sequence[Mapping[str, float]], tolerance: float,
    *, ratios: bool,
) -> tuple[str, ...]:  # fmt: skip
    """The counts of three coefficients, ``?`` where there is none.

    Args:
        numbers: for each coefficient, what was fitted at each shape.
        tables: the counts of the shapes.
        tolerance: relative error of the fits.
        ratios: take N/count before other counts, where the coefficients are not all the same.
    """
    if ratios and not same_numbers(list(zip(*numbers, strict=True)), tolerance):
        tables = [dict(sorted(table.items(), key=_ratios_first)) for table in tables]
    return tuple(name_count(each, tables, tolerance) or "?" for each in numbers)


def _ratios_first(item: tuple[str, float]) -> int:
    name = item[0]
    return 0 if name in {"1", "0", "2", "1/2"} else 1 if name.startswith("N/") else 2
