"""Holds a gradient against the derivative: per pixel, never by a norm over all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncli.checking.question import Array

_TOP = 5


@dataclass(frozen=True, slots=True)
class Quantity:
    """The verdict on grad_input, grad_gamma or grad_beta.

    Relative errors are relative to the size of the terms that add up to the pixel's derivative, so
    that an exact 0 passes, and an error is not hidden by the size of other pixels.

    Attributes:
        passed: whether every element asked is within tolerance.
        max_rel_error: of the worst element; None where it is no finite number.
        worst_index: (b, x, y, channel), or (x, y, channel); None where nothing could be compared.
        analytic, numeric: what the target gave there, and what it should have given.
        abs_error: their distance.
        tolerance: the relative error allowed there.
        wrong, checked: elements out of tolerance, and asked.
        total: elements there are.
        pixels_wrong, channels_wrong, pictures_wrong: places with at least one wrong element.
        pixels: pixels there are.
        problem: what is wrong with it as an array; empty if nothing.
        worst: the worst elements: index, analytic, numeric.
        ratios: quartiles of analytic / numeric over the wrong elements.
        directions: random directions over all elements, asked where not every element was.
    """

    passed: bool
    max_rel_error: float | None = None
    worst_index: tuple[int, ...] | None = None
    analytic: float | None = None
    numeric: float | None = None
    abs_error: float | None = None
    tolerance: float | None = None
    wrong: int = 0
    checked: int = 0
    total: int = 0
    pixels_wrong: int = 0
    channels_wrong: tuple[int, ...] = ()
    pictures_wrong: tuple[int, ...] = ()
    pixels: int = 0
    problem: str = ""
    worst: tuple[tuple[tuple[int, ...], float | None, float | None], ...] = ()
    ratios: tuple[float, ...] = field(default=())
    directions: int = 0


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a derivative is compared by.

    Attributes:
        scale: (w, h, c), size of the terms.
        tolerance: (w, h, c), relative to it.
        skipped: (w, h, c), pixels left out.
    """

    scale: Array
    tolerance: Array
    skipped: Array


def unusable(problem: str, total: int) -> Quantity:
    """A gradient that is no array of the right kind: all of it is wrong."""
    return Quantity(passed=False, problem=problem, wrong=total, checked=total, total=total)


def compare(analytic: Array, numeric: Array, allowed: Allowed) -> Quantity:
    """The verdict on one quantity.

    Args:
        analytic: what the target gave, (batch, w, h, c) or (w, h, c).
        numeric: what it should have given; NaN where it was not asked.
        allowed: scale and tolerance.
    """
    given = analytic.astype(np.float64)
    skipped = np.broadcast_to(allowed.skipped, numeric.shape)
    # What is no number is wrong, also where the derivative was not asked.
    asked = (np.isfinite(numeric) | ~np.isfinite(given)) & ~skipped
    scale = np.where(allowed.scale > 0, allowed.scale, np.finfo(np.float64).tiny)
    with np.errstate(all="ignore"):  # what is not finite is out of tolerance
        error = np.abs(given - numeric)
        relative = np.where(np.isfinite(error), error, np.inf) / scale
    # Where every term is 0 the derivative is 0, and so must the gradient be.
    relative = np.where((allowed.scale > 0) | (given != 0), relative, 0.0)
    relative = np.where(asked, relative, -1.0)
    tolerance = np.broadcast_to(allowed.tolerance, numeric.shape)
    with np.errstate(all="ignore"):
        excess = relative / tolerance
    wrong = excess > 1.0
    checked = int(asked.sum())
    if checked == 0:
        return Quantity(passed=False, problem="nothing could be compared", total=numeric.size)
    order = np.argsort(excess, axis=None)[::-1][:_TOP] if wrong.any() else [int(excess.argmax())]
    lost = int((np.isnan(given) & asked).sum())
    places = [tuple(int(i) for i in np.unravel_index(int(o), numeric.shape)) for o in order]
    worst = places[0]
    return Quantity(
        passed=not wrong.any(),
        max_rel_error=_finite(relative[worst]),
        worst_index=worst,
        analytic=_finite(given[worst]),
        numeric=_finite(numeric[worst]),
        abs_error=_finite(error[worst]),
        tolerance=_finite(tolerance[worst]),
        checked=checked,
        total=numeric.size,
        problem=f"is NaN in {lost:,} of {checked:,} elements" if lost == checked else "",
        worst=tuple((p, _finite(given[p]), _finite(numeric[p])) for p in places),
        **_census(wrong, given, numeric),
    )


def _census(wrong: Any, given: Array, numeric: Array) -> dict[str, Any]:
    by_picture = wrong.ndim == 4  # noqa: PLR2004 - (batch, w, h, c)
    pixels = wrong.any(axis=0) if by_picture else wrong
    pictures = np.flatnonzero(wrong.any(axis=(1, 2, 3))) if by_picture else ()
    usable = wrong & np.isfinite(given) & (numeric != 0)
    ratios = given[usable] / numeric[usable]
    quartiles = np.percentile(ratios, (25, 50, 75)) if ratios.size else ()
    return {
        "wrong": int(wrong.sum()),
        "pixels_wrong": int(pixels.sum()),
        "pixels": pixels.size,
        "channels_wrong": tuple(int(k) for k in np.flatnonzero(pixels.any(axis=(0, 1)))),
        "pictures_wrong": tuple(int(b) for b in pictures),
        "ratios": tuple(float(q) for q in quartiles),
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
