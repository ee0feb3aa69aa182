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
from bncli.checking.mistakes import LINES, Gives, Mistake
from bncli.checking.question import Array
from bncli.checking.target import TargetFailure
from bncli.checking.terms import (
    Evidence,
    Fit,
    best_fit,
    count_values,
    fits as fits_count,
    name_count,
)

Ask = Callable[[], "list[Evidence]"]
_RIGHT = ("1", "1", "1")
_CALLED = {
    (0,): ("batch", "the batch"),
    (0, 1, 2): ("N*H*W", "batch, w and h"),
    (1, 2, 3): ("C*H*W", "each picture"),
    (1, 2): ("H*W", "each channel of each picture"),
    (3,): ("C", "the last axis"),
}
_EXACT = {"float64": 1e-9, "float32": 2e-4}
_NEAR = {"float64": 1e-7, "float32": 1e-3}
_SHOWN = 1e-7
_LOOSE = 50  # between the residual of a fit and the error of its coefficients
_NEARLY = 0.05
_FEW = 0.5


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, as far as it was recognised.

    Attributes:
        name: of the mistake, or ``unrecognised``.
        message: one plain sentence or two.
        change: the line of the formula as it should be; empty if none is known.
        was: the same line as the target has it; empty if it is not known.
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
    was: str = ""

    def at(self, shape: tuple[int, ...], size: int) -> Diagnosis:
        """The same for a batch of another shape, in groups of *size*: counts differ there."""
        if not self.symbols or "?" in self.symbols:
            return self
        counts = count_values(shape, size)
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
    return _of_parameter(name, quantity, ask, 10 * _NEAR[dtype])


def _of_input(quantity: Quantity, model: ForwardModel, ask: Ask, dtype: str) -> Diagnosis:
    local = _local_of(quantity)
    try:
        seen = ask()
    except TargetFailure as failure:
        return local or _unknown(f"the probe could not be asked: {failure.message}")
    if model.axes is None:
        return local or _unknown(
            "the gradient is wrong; since forward is not recognised as a normalization, its terms "
            "cannot be named"
        )
    if all((e.given == np.rint(e.given)).all() and e.given.any() for e in seen):
        return _known(mistakes.WHOLE_NUMBERS)
    if all(_matches(e, e.backward(), _NEAR[dtype]) for e in seen):
        return local or _known(mistakes.DEPENDS_ON_THE_BATCH)
    found = _diagnose_probes(seen, _EXACT[dtype])
    return local if found.name == "unrecognised" and local is not None else found


def _diagnose_probes(seen: Sequence[Evidence], tolerance: float) -> Diagnosis:
    bad = ~np.isfinite(seen[0].given)
    if bad.any() or not np.isfinite(seen[1].given).all():
        if (bad & (seen[0].question.variance > 0)).any():
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
    named = other_eps or _of_patterns(seen, tolerance) or _dead_zeroed(seen, tolerance)
    return named or _local_in(seen[0], tolerance) or replace(
        _unknown(
            "the gradient is wrong, but not in a way that is known: no combination of the three "
            f"terms explains it (residual {residual:.2g})"
        ),
        residual=residual,
    )  # fmt: skip


def _known(mistake: Mistake, model: ForwardModel | None = None, **words: Any) -> Diagnosis:
    words |= _words(model or ForwardModel())
    return Diagnosis(mistake.name, mistake.message.format(**words), mistake.change.format(**words))


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
    tables = _tables(seen)
    numbers = list(zip(*(fit.coefficients for fit in fits), strict=True))
    symbols = tuple(name_count(three, tables, tolerance) or "?" for three in numbers)
    powers, model = fits[0].powers, seen[0].model

    def shows(coefficients: tuple[str, ...]) -> bool:
        pairs = zip(coefficients, numbers, strict=True)
        return all(fits_count(symbol, three, tables, tolerance) for symbol, three in pairs)

    whole = mistakes.of_terms(shows, powers, model)
    made = [whole] if whole else [m for m in mistakes.MISTAKES if m.shows_in(powers)]
    if whole is None and symbols != _RIGHT:
        a, b, c = fits[0].coefficients
        if symbols == ("?",) * 3 and max(abs(b / a - 1), abs(c / a - 1)) < tolerance:
            found = _known(mistakes.SCALED, model, factor=a)
            return _fitted(found, fits[0], symbols)
        made.append(mistakes.of_terms(shows, (1, 1), model) or mistakes.spelled(symbols))
    if not made:
        return None
    words = _words(model)
    found = Diagnosis(
        "-and-".join(mistake.name for mistake in made),
        "; and ".join(mistake.message.format(**words) for mistake in made),
        (made[0].change if len(made) == 1 else LINES["grad_input"]).format(**words),
    )
    return _fitted(found, fits[0], symbols)


def _tables(seen: Sequence[Evidence]) -> list[dict[str, float]]:
    return [count_values(e.question.shape, e.model.size(e.question.shape)) for e in seen]


def _words(model: ForwardModel) -> dict[str, str]:
    """How the count of a group and its axes are called, for such a forward."""
    count, over = _CALLED.get(model.axes or (), ("the number of values", "the axes of forward"))
    return {"count": count, "over": over}


def _other_eps(seen: Sequence[Evidence], tolerance: float) -> Diagnosis | None:
    """An eps that differs between forward and backward: seen only where the variance is small."""
    first, model = seen[0], seen[0].model
    least = np.broadcast_to(first.question.variance, first.question.shape)
    live = np.isfinite(first.given) & (np.isfinite(first.inv_std) & (first.gamma != 0))
    if not live.any():
        return None
    chosen = live & (least <= least[live].min() * (1 + 1e-6))
    arrived = first.question.delta * first.gamma
    spread = np.where(chosen, arrived - model.mean(arrived), 0.0)
    variance = float(least[chosen].min())
    ratio = float((np.where(chosen, first.given, 0.0) * spread).sum() / (spread**2).sum())
    if not np.isfinite(ratio) or ratio == 0:
        return None
    forward = first.question.eps if model.eps is None else model.eps
    root = 1 / abs(ratio)
    ways = ((mistakes.EPS_OUTSIDE, root - np.sqrt(variance)),
            (mistakes.EPS_MISMATCH, root**2 - variance))  # fmt: skip
    for everywhere, (mistake, eps) in itertools.product((True, False), ways):
        outside = mistake is mistakes.EPS_OUTSIDE
        tries = (eps,) if variance == 0 else _settled(first, eps, outside=outside)
        for one in tries:
            if one < 0 or (
                abs(one - forward) <= 1e-3 * forward and outside == model.eps_outside_root
            ):
                continue
            if all(_has_eps(e, one, tolerance, everywhere, outside) for e in seen):
                made = mistakes.EPS_OUTSIDE_FORWARD if model.eps_outside_root else mistake
                if forward < 1e-30 and not outside:  # noqa: PLR2004 - 0 but for rounding
                    made = mistakes.EPS_IN_BACKWARD
                return _known(made, model, backward=one, forward=forward)
    return None


def _settled(e: Evidence, start: float, *, outside: bool) -> Sequence[float]:
    """The eps of least error near *start*, where the variance term blurs what one value shows."""
    usable = np.isfinite(e.given) & np.isfinite(e.inv_std)
    if not np.isfinite(start) or start <= 0:
        start = 1e-5
    grid = start * np.logspace(-3, 3, 241)
    for width in (2.0, 0.05, 1e-3, 2e-5, 4e-7):
        errors = [_error_of(e, float(eps), outside, usable) for eps in grid]
        centre = float(grid[int(np.argmin(errors))])
        grid = centre * np.linspace(1 - width / 2, 1 + width / 2, 81)
        grid = grid[grid > 0]
    return (float(f"{centre:.3g}"), centre)


def _error_of(e: Evidence, eps: float, outside: bool, usable: Array) -> float:
    inv_std = inverse_root(e.model.variance(e.question.x), eps, outside=outside)
    x_norm = (e.question.x - e.model.mean(e.question.x)) * inv_std
    expected = e.backward(inv_std=inv_std, along=(x_norm, x_norm))
    size = np.abs(e.given).max(axis=e.question.axes, keepdims=True) + 1e-300
    return float((((e.given - expected) / size)[usable] ** 2).sum())


def _has_eps(e: Evidence, eps: float, tolerance: float, everywhere: bool, outside: bool) -> bool:
    inv_std = inverse_root(e.model.variance(e.question.x), eps, outside=outside)
    x_norm = (e.question.x - e.model.mean(e.question.x)) * inv_std if everywhere else e.x_norm
    with np.errstate(all="ignore"):
        expected = e.backward(inv_std=inv_std, along=(x_norm, x_norm))
    return _matches(e, expected, max(10 * tolerance, _SHOWN), only=np.isfinite(e.inv_std))


def _of_patterns(seen: Sequence[Evidence], tolerance: float) -> Diagnosis | None:
    model = seen[0].model
    for mistake, gives in mistakes.patterns_of("grad_input", model):
        if all(_shows(e, gives, 10 * tolerance) for e in seen):
            return _known(mistake, model)
    return None


def _shows(e: Evidence, gives: Gives, tolerance: float) -> bool:
    with np.errstate(all="ignore"):
        expected = gives(e)
    # Where all terms cancel, what is left is rounding of the terms.
    return _matches(e, expected, tolerance, only=e.question.usual, size=np.abs(e.gamma * e.inv_std))


def _matches(
    e: Evidence, expected: Array, tolerance: float, *, only: Array | bool = True,
    size: Array | float = 0.0,
) -> bool:  # fmt: skip
    """Whether a gradient is what is expected, group by group, relative to *size* at least."""
    axes = e.question.axes
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(expected).max(axis=axes, keepdims=True), size)
        error = np.abs(e.given - expected)
        good = (error <= tolerance * scale + 1e-300) | ~np.broadcast_to(only, error.shape)
    return bool(good.all()) and bool(np.broadcast_to(only, error.shape).any())


def _dead_zeroed(seen: Sequence[Evidence], tolerance: float) -> Diagnosis | None:
    """Right but where the variance is 0, and 0 there."""
    for e in seen:
        dead = np.broadcast_to(e.question.variance == 0, e.given.shape)
        if not dead.any() or e.given[dead].any():
            return None
        if not _matches(e, e.backward(), 10 * tolerance, only=~dead):
            return None
    return _known(mistakes.DEAD_ZEROED, seen[0].model)


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
    scale = np.abs(right).max(axis=first.question.axes, keepdims=True)
    error = np.abs(first.given - right)
    wrong = error > max(1e-6, 10 * tolerance) * np.where(scale > 0, scale, 1.0)
    if not wrong.any() or wrong.mean() >= _FEW:
        return None
    pictures = np.flatnonzero(wrong.any(axis=(1, 2, 3)))
    channels = np.flatnonzero(wrong.any(axis=(0, 1, 2)))
    pixels = np.argwhere(wrong.any(axis=0))
    if len(pictures) == 1:
        where = f"picture {int(pictures[0])}"
    elif len(channels) == 1 and len(pixels) > 1 and wrong.shape[3] > 1:
        where = f"channel {int(channels[0])}"
    elif len(pixels) == 1:
        where = "pixel ({}, {}, {})".format(*(int(i) for i in pixels[0]))
    else:
        where = f"{len(pixels)} of {wrong[0].size} pixels"
    return _known(mistakes.LOCAL, where=where)


def _of_parameter(name: str, quantity: Quantity, ask: Ask, tolerance: float) -> Diagnosis:
    try:
        seen = ask()
    except TargetFailure as failure:
        return _unknown(failure.message, name)
    role, model = name.removeprefix("grad_"), seen[0].model
    if model.axes is not None and all(role in e.gradients for e in seen):
        words = _words(model)
        for mistake, gives in mistakes.patterns_of(name, model):
            ratios = [_ratio(e, role, gives, tolerance) for e in seen]
            count = name_count(ratios, _tables(seen), tolerance)
            if count is None or (count == "1" and not mistake.message):
                continue
            summed = [1 / _summed(e, role) for e in seen]
            times = "" if count == "1" else f"it is multiplied by {count}"
            if count != "1" and np.allclose(ratios, summed, rtol=tolerance):
                times = "it is a mean over the batch where a sum belongs"
            message = f"{name}: " + " and ".join(part for part in (mistake.message, times) if part)
            label = mistake.name if count == "1" else f"{mistake.name}-times-{count}"
            change = mistake.change.format(**words)
            return Diagnosis(label, message.format(**words), change, quantity=name)
    local = _local_of(quantity)
    if local is not None:
        return replace(local, message=f"{name}: {local.message}", quantity=name)
    return _unknown(f"{name} is wrong, but not in a way that is known", name)


def _summed(e: Evidence, role: str) -> int:
    """How many terms add up to each value of a parameter's gradient."""
    return int(e.given.size // e.gradients[role].size)


def _ratio(e: Evidence, role: str, gives: Gives, tolerance: float) -> float:
    """The number by which what a mistake gives becomes the gradient; NaN if there is none."""
    array = e.gradients[role]
    reduced = tuple(axis for axis, length in enumerate(array.shape) if length == 1)
    usual = np.broadcast_to(e.question.usual, e.given.shape).all(axis=reduced, keepdims=True)
    if not usual.any():
        usual = np.ones_like(usual)
    given = array.astype(np.float64)[usual]
    with np.errstate(all="ignore"):
        terms = e.question.delta * gives(e)
    candidate = terms.sum(axis=reduced, keepdims=True)[usual]
    size = float((candidate**2).sum())
    if size == 0:
        return math.nan if given.any() else 1.0
    ratio = float((given * candidate).sum()) / size
    scale = np.linalg.norm(given)
    if scale == 0 or np.linalg.norm(given - ratio * candidate) > tolerance * scale:
        return math.nan
    return ratio
