"""From a wrong gradient to the term of the formula that is wrong.

The gradient given is fitted as ``gamma^p * inv_std^q * (a * delta - b * mean(delta) - c * x_norm
* mean(delta * x_norm))``, which is right at p = q = a = b = c = 1. Each usual mistake has its own
five numbers; what fits none of them, at two shapes, is called unrecognised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bncli.checking.counts import Shape, name_count, value_of
from bncli.checking.forward import ForwardModel
from bncli.checking.patterns import eps_pattern, near_misses
from bncli.checking.phrases import Sentence, coefficient_sentence, power_sentence
from bncli.checking.question import Array, Question

POWERS = tuple((p, q) for p in (1, 0, 2) for q in (1, 0, 2, 3))
_EXACT = {"float64": 1e-9, "float32": 2e-4}
_LOOSE = 50  # between the residual of a fit and the error of its coefficients
_NEARLY = 0.05


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, as far as it was recognised.

    Attributes:
        name: of the bug, or ``unrecognised``.
        message: one plain sentence or two.
        change: the line of the formula to change; empty if none is known.
        coefficients: a, b, c; None where the three terms do not explain the gradient.
        symbols: the same as counts, where they are some.
        powers: p and q.
        residual: of the fit, relative.
        quantity: which gradient it is about.
    """

    name: str
    message: str
    change: str = ""
    coefficients: tuple[float, float, float] | None = None
    symbols: tuple[str, ...] = ()
    powers: tuple[int, int] | None = None
    residual: float | None = None
    quantity: str = "grad_input"

    def at(self, shape: tuple[int, ...]) -> Diagnosis:
        """The same for a batch of another shape: counts have other values there."""
        if not self.symbols or "?" in self.symbols:
            return self
        batch, width, height, channels = shape
        whole = (batch, width, height, channels)
        a, b, c = (value_of(symbol, whole) for symbol in self.symbols)
        return replace(self, coefficients=(a, b, c))


@dataclass(frozen=True, slots=True)
class Evidence:
    """A wrong gradient at one shape, with all that a formula could have used.

    Attributes:
        question: the batch, gamma and delta.
        model: of the target's forward.
        given: what the target gave, (batch, w, h, c).
        right: what it should have given.
    """

    question: Question
    model: ForwardModel
    given: Array
    right: Array

    @property
    def shape(self) -> Shape:
        """Of the batch."""
        return self.question.shape

    @property
    def inv_std(self) -> Array:
        """Of the target's own forward, (w, h, c)."""
        return self.model.inv_std(self.question)

    @property
    def x_norm(self) -> Array:
        """Of the target's own forward."""
        x = self.question.x
        normalized: Array = (x - x.mean(axis=0)) * self.inv_std
        return normalized


def diagnose_input(evidence: Sequence[Evidence], dtype: str) -> Diagnosis:
    """What is wrong with a grad_input.

    Args:
        evidence: at two shapes, of probes.
        dtype: the precision that the backward computed in.
    """
    tolerance = _EXACT[dtype]
    if not all(np.isfinite(e.given).all() for e in evidence):
        return _not_finite(evidence[0])
    fits = [best_fit(e) for e in evidence]
    if _nearly_right(fits):
        # An eps of another size moves every pixel a little, and pixels of small variance much.
        pattern = eps_pattern(evidence, tolerance)
        if pattern is not None:
            return _diagnosis(pattern, fits[0])
    same_powers = fits[0].powers == fits[1].powers
    if same_powers and max(fit.residual for fit in fits) <= tolerance:
        found = _from_coefficients(evidence, fits, tolerance)
        if found is not None:
            return found
    pattern = eps_pattern(evidence, tolerance) or near_misses(evidence, tolerance)
    if pattern is not None:
        return _diagnosis(pattern, None)
    residual = max(fit.residual for fit in fits)
    return Diagnosis(
        "unrecognised",
        "the gradient is wrong, but not in a way that is known: no combination of the three terms "
        f"explains it (residual {residual:.2g})",
        residual=residual,
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """The three terms fitted to a gradient."""

    coefficients: tuple[float, float, float]
    powers: tuple[int, int]
    residual: float


def best_fit(evidence: Evidence) -> Fit:
    """The powers and coefficients of least residual, over the usual pixels."""
    usual = evidence.question.usual
    delta = evidence.question.delta[:, usual]
    x_norm = evidence.x_norm[:, usual]
    given = evidence.given[:, usual].astype(np.float64)
    weight = 1 / np.maximum(np.sqrt((given**2).mean(axis=0)), 1e-300)
    mean = np.broadcast_to(delta.mean(axis=0), delta.shape)
    terms = (delta, -mean, -x_norm * (delta * x_norm).mean(axis=0))
    best: Fit | None = None
    for p, q in POWERS:
        factor = evidence.question.gamma[usual] ** p * evidence.inv_std[usual] ** q * weight
        columns = np.stack([(term * factor).ravel() for term in terms], axis=1)
        target = (given * weight).ravel()
        solution = np.linalg.lstsq(columns, target, rcond=None)[0]
        residual = float(np.linalg.norm(columns @ solution - target))
        residual /= max(float(np.linalg.norm(target)), 1e-300)
        # Where gamma or inv_std make no difference, the plain powers are meant.
        if best is None or residual < 0.5 * best.residual:
            a, b, c = (float(number) for number in solution)
            best = Fit((a, b, c), (p, q), residual)
    assert best is not None  # noqa: S101 - there are powers
    return best


def _nearly_right(fits: Sequence[Fit]) -> bool:
    return all(
        fit.powers == (1, 1) and max(abs(number - 1) for number in fit.coefficients[:2]) < _NEARLY
        for fit in fits
    )


def _from_coefficients(
    evidence: Sequence[Evidence], fits: Sequence[Fit], tolerance: float
) -> Diagnosis | None:
    loose = _LOOSE * tolerance
    shapes = [e.shape for e in evidence]
    symbols = tuple(
        name_count([fit.coefficients[i] for fit in fits], shapes, loose) or "?" for i in range(3)
    )
    p, q = fits[0].powers
    if symbols == ("1", "1", "1") and (p, q) == (1, 1):
        return None
    ddof = evidence[0].model.ddof
    if ddof and symbols == ("1", "1", "B/(B-1)") and (p, q) == (1, 1):
        return None  # of that forward, it is right
    sentence = power_sentence(p, q, symbols) if (p, q) != (1, 1) else None
    sentence = sentence or coefficient_sentence(symbols, ddof)
    return _diagnosis(sentence, fits[0], symbols)


def _diagnosis(sentence: Sentence, fit: Fit | None, symbols: tuple[str, ...] = ()) -> Diagnosis:
    return Diagnosis(
        sentence.name,
        sentence.message,
        sentence.change,
        None if fit is None else fit.coefficients,
        symbols,
        None if fit is None else fit.powers,
        None if fit is None else fit.residual,
    )


def _not_finite(evidence: Evidence) -> Diagnosis:
    bad = ~np.isfinite(evidence.given)
    dead = evidence.question.variance == 0
    if not bad[:, ~dead].any():
        return Diagnosis(
            "no-eps",
            "the gradient is NaN or infinite where the variance is 0: eps is missing under the "
            "root",
            "inv_std = 1 / sqrt(variance + eps)",
        )
    return Diagnosis(
        "not-finite",
        f"the gradient holds NaN or infinity in {int(bad.sum())} of {bad.size} elements",
    )
