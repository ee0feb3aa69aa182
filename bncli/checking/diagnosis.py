"""From a wrong gradient to the mistake that makes it; what fits none, at two shapes, is unknown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking import mistakes
from bncli.checking.compare import Quantity
from bncli.checking.forward import ForwardModel, inverse_root
from bncli.checking.gradients import numbers_or_reason
from bncli.checking.mistakes import LINES, Gives, Mistake
from bncli.checking.question import Array
from bncli.checking.target import TargetFailure
from bncli.checking.terms import Evidence, Fit, best_fit, count_values, name_count

Ask = Callable[[], "list[Evidence]"]
_RIGHT = ("1", "1", "1")
_EXACT = {"float64": 1e-9, "float32": 2e-4}
_NEAR = {"float64": 1e-7, "float32": 1e-3}
_LEAST = 1e-5
_LOOSE = 50  # between the residual of a fit and the error of its coefficients
_NEARLY = 0.05
_FEW = 0.5


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, as far as it was recognised.

    Attributes:
        name: of the mistake, or ``unrecognised``.
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
        counts = count_values((batch, width, height, channels))
        a, b, c = (
            counts[symbol.removeprefix("-")] * (-1 if symbol.startswith("-") else 1)
            for symbol in self.symbols
        )
        return replace(self, coefficients=(a, b, c))


def diagnose(name: str, quantity: Quantity, model: ForwardModel, ask: Ask, dtype: str) -> Diagnosis:
    """What is wrong with a gradient that failed.

    Args:
        name: of the quantity.
        quantity: the verdict on it.
        model: of the target's forward.
        ask: gives the evidence of probes at two shapes.
        dtype: the precision that the backward computed in.
    """
    if quantity.problem:
        return Diagnosis("not-a-gradient", quantity.problem, LINES[name], quantity=name)
    if name == "grad_input":
        return _of_input(quantity, model, ask, dtype)
    return _of_parameter(name, ask, 10 * _NEAR[dtype])


def _of_input(quantity: Quantity, model: ForwardModel, ask: Ask, dtype: str) -> Diagnosis:
    local = _local_of(quantity)
    try:
        seen = ask()
    except TargetFailure as failure:
        return local or _unknown(f"the probe could not be asked: {failure.message}")
    if not model.per_pixel:
        return local or _unknown(
            "the gradient is wrong; since forward is not batch normalization of each pixel, its "
            "terms cannot be named"
        )
    if all(np.asarray(e.gradients.grad_input).dtype.kind in "iub" for e in seen):
        return _known(mistakes.WHOLE_NUMBERS)
    if all(_matches(e.given, e.backward(), max(_NEAR[dtype], _LEAST)) for e in seen):
        return local or _known(mistakes.DEPENDS_ON_THE_BATCH)
    found = _diagnose_probes(seen, _EXACT[dtype])
    return local if found.name == "unrecognised" and local is not None else found


def _diagnose_probes(seen: Sequence[Evidence], tolerance: float) -> Diagnosis:
    bad = ~np.isfinite(seen[0].given)
    if bad.any() or not np.isfinite(seen[1].given).all():
        if bad[:, seen[0].question.variance > 0].any():
            return _known(mistakes.NOT_FINITE, bad=int(bad.sum()), all=bad.size)
        return _known(mistakes.NO_EPS)
    fits = [best_fit(e) for e in seen]
    # An eps of another size moves every pixel a little, and pixels of small variance much.
    nearly = all(
        fit.powers == (1, 1) and max(abs(number - 1) for number in fit.coefficients[:2]) < _NEARLY
        for fit in fits
    )
    other_eps = _other_eps(seen, tolerance)
    if nearly and other_eps is not None:
        return _fitted(other_eps, fits[0])
    if fits[0].powers == fits[1].powers and max(fit.residual for fit in fits) <= tolerance:
        found = _of_coefficients(seen, fits, _LOOSE * tolerance)
        if found is not None:
            # A pattern that fits is surer than a number that is no count.
            return ("?" in found.symbols and _of_patterns(seen, tolerance)) or found
    residual = max(fit.residual for fit in fits)
    return other_eps or _of_patterns(seen, tolerance) or _local_in(seen[0], tolerance) or replace(
        _unknown(
            "the gradient is wrong, but not in a way that is known: no combination of the three "
            f"terms explains it (residual {residual:.2g})"
        ),
        residual=residual,
    )  # fmt: skip


def _known(mistake: Mistake, **words: Any) -> Diagnosis:
    return Diagnosis(mistake.name, mistake.message.format(**words), mistake.change)


def _unknown(message: str, quantity: str = "grad_input") -> Diagnosis:
    return Diagnosis("unrecognised", message, quantity=quantity)


def _fitted(found: Diagnosis, fit: Fit, symbols: tuple[str, ...] = ()) -> Diagnosis:
    return replace(
        found, coefficients=fit.coefficients, symbols=symbols, powers=fit.powers,
        residual=fit.residual,
    )  # fmt: skip


def _of_coefficients(
    seen: Sequence[Evidence], fits: Sequence[Fit], tolerance: float
) -> Diagnosis | None:
    """The mistakes that these powers and coefficients show; None where they are right."""
    shapes = [e.question.shape for e in seen]
    numbers = zip(*(fit.coefficients for fit in fits), strict=True)
    symbols = tuple(name_count(three, shapes, tolerance) or "?" for three in numbers)
    powers, ddof = fits[0].powers, seen[0].model.ddof
    whole = mistakes.of_terms(symbols, powers, ddof)
    made = [whole] if whole else [m for m in mistakes.MISTAKES if m.shows_in(powers)]
    if whole is None and symbols != _RIGHT:
        made.append(mistakes.of_terms(symbols, (1, 1), ddof) or mistakes.spelled(symbols))
    if not made:
        return None
    found = Diagnosis(
        "-and-".join(mistake.name for mistake in made),
        "; and ".join(mistake.message for mistake in made),
        made[0].change if len(made) == 1 else LINES["grad_input"],
    )
    return _fitted(found, fits[0], symbols)


def _other_eps(seen: Sequence[Evidence], tolerance: float) -> Diagnosis | None:
    """An eps that differs between forward and backward: seen only where the variance is small."""
    first = seen[0]
    dead = first.question.variance == 0
    if not dead.any():
        return None
    spread = first.question.delta[:, dead] - first.question.delta[:, dead].mean(axis=0)
    ratio = (first.given[:, dead] * spread).sum(axis=0)
    factor = float(np.abs(ratio / (first.question.gamma[dead] * (spread**2).sum(axis=0)))[0])
    if not np.isfinite(factor) or factor == 0:
        return None
    forward = first.question.eps if first.model.eps is None else first.model.eps
    ways = ((mistakes.EPS_OUTSIDE, 1 / factor), (mistakes.EPS_MISMATCH, factor**-2))
    for everywhere, (mistake, eps) in itertools.product((True, False), ways):
        outside = mistake is mistakes.EPS_OUTSIDE
        if all(_has_eps(e, eps, tolerance, everywhere, outside) for e in seen):
            made = mistakes.EPS_OUTSIDE_FORWARD if first.model.eps_outside_root else mistake
            return _known(made, backward=eps, forward=forward)
    return None


def _has_eps(e: Evidence, eps: float, tolerance: float, everywhere: bool, outside: bool) -> bool:
    inv_std = inverse_root(e.model.variance(e.question), eps, outside=outside)
    x_norm = (e.question.x - e.question.x.mean(axis=0)) * inv_std if everywhere else e.x_norm
    expected = e.backward(inv_std=inv_std, along=(x_norm, x_norm))
    return _matches(e.given, expected, max(tolerance, _LEAST))


def _of_patterns(seen: Sequence[Evidence], tolerance: float) -> Diagnosis | None:
    for mistake, gives in mistakes.patterns_of("grad_input", seen[0].model.ddof):
        if all(_shows(e, gives, 10 * tolerance) for e in seen):
            return _known(mistake)
    return None


def _shows(e: Evidence, gives: Gives, tolerance: float) -> bool:
    with np.errstate(all="ignore"):
        expected = gives(e)
    usual = e.question.usual
    # Where all terms cancel, what is left is rounding of the terms.
    size = np.abs(e.question.gamma * e.inv_std)[usual]
    return _matches(e.given[:, usual], expected[:, usual], tolerance, size)


def _matches(given: Array, expected: Array, tolerance: float, size: Array | float = 0.0) -> bool:
    """Whether two gradients agree, pixel by pixel, relative to *size* at least."""
    scale = np.maximum(np.abs(expected).max(axis=0), size)
    error = np.abs(given - expected).max(axis=0)
    return bool((error <= tolerance * scale + 1e-300).all())


def _local_of(quantity: Quantity) -> Diagnosis | None:
    """Wrong at some elements of the batch, right at all others."""
    if not quantity.checked or quantity.wrong >= _FEW * quantity.checked:
        return None
    index = quantity.worst_index
    if quantity.pixels_wrong == 1 and index is not None:
        where = f"pixel (x, y, channel) = {index[-3:]}"
    elif len(quantity.pictures_wrong) == 1:
        where = f"picture {quantity.pictures_wrong[0]}"
    elif len(quantity.channels_wrong) == 1:
        where = f"channel {quantity.channels_wrong[0]}"
    else:
        where = f"{quantity.pixels_wrong:,} of {quantity.pixels:,} pixels"
    return _known(mistakes.LOCAL, where=where)


def _local_in(first: Evidence, tolerance: float) -> Diagnosis | None:
    """Wrong at some elements of a probe, right at all others."""
    right = first.backward()
    scale = np.abs(right).max(axis=0)
    error = np.abs(first.given - right)
    wrong = error > max(1e-6, 10 * tolerance) * np.where(scale > 0, scale, 1.0)
    if not wrong.any() or wrong.mean() >= _FEW:
        return None
    pictures = np.flatnonzero(wrong.any(axis=(1, 2, 3)))
    channels = np.flatnonzero(wrong.any(axis=(0, 1, 2)))
    pixels = np.argwhere(wrong.any(axis=0))
    if len(pictures) == 1:
        where = f"picture {int(pictures[0])}"
    elif len(channels) == 1 and len(pixels) > 1:
        where = f"channel {int(channels[0])}"
    elif len(pixels) == 1:
        where = "pixel ({}, {}, {})".format(*(int(i) for i in pixels[0]))
    else:
        where = f"{len(pixels)} of {wrong[0].size} pixels"
    return _known(mistakes.LOCAL, where=where)


def _of_parameter(name: str, ask: Ask, tolerance: float) -> Diagnosis:
    try:
        seen = ask()
    except TargetFailure as failure:
        return _unknown(failure.message, name)
    for mistake, gives in mistakes.patterns_of(name, seen[0].model.ddof):
        ratios = [_ratio(e, name, gives, tolerance) for e in seen]
        count = name_count(ratios, [e.question.shape for e in seen], tolerance)
        if count is None:
            continue
        times = "" if count == "1" else f"it is multiplied by {count}"
        message = f"{name}: " + " and ".join(part for part in (mistake.message, times) if part)
        label = mistake.name if count == "1" else f"{mistake.name}-times-{count}"
        return Diagnosis(label, message, mistake.change, quantity=name)
    return _unknown(f"{name} is wrong, but not in a way that is known", name)


def _ratio(e: Evidence, name: str, gives: Gives, tolerance: float) -> float:
    """The number by which what a mistake gives becomes the gradient; NaN if there is none."""
    array, _ = numbers_or_reason(getattr(e.gradients, name), e.question.gamma.shape, name)
    if array is None:
        return math.nan
    usual = e.question.usual
    given = array[usual].astype(np.float64)
    candidate = (e.question.delta * gives(e)).sum(axis=0)[usual]
    size = float((candidate**2).sum())
    if size == 0:
        return math.nan if given.any() else 1.0
    ratio = float((given * candidate).sum()) / size
    scale = np.linalg.norm(given)
    if scale == 0 or np.linalg.norm(given - ratio * candidate) > tolerance * scale:
        return math.nan
    return ratio
