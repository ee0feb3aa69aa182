"""Chooses how the derivatives are found, and sees that two independent ways agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bncli.checking.directions import drawn
from bncli.checking.oracle import (
    EVERYTHING,
    PARAMETER_STEPS,
    STEPS,
    Asked,
    Derivatives,
    Leaks,
    NotAnalyticError,
    central_along,
    central_block,
    complex_along,
    complex_block,
    kinked,
    places,
    scan,
)
from bncli.checking.question import Array, Question
from bncli.checking.target import TargetFailure

_WHOLE = 64
"""Groups of so few values are asked at every one."""

_ALL_BELOW = 512
"""So are batches of so few."""

_SAMPLE = 20
_DIRECTIONS = 4
_AGREE = 1e-6
_COARSE = 0.05
_LINEAR = 1e-9


def derive(asked: Asked) -> Derivatives:
    """The derivatives of the forward at the question."""
    base, question = asked.base, asked.question
    if base.dtype.kind != "f":
        return hopeless(f"forward gives {base.dtype}: it has no derivative")
    bad = ~np.isfinite(base)
    if bad.any():
        dead = np.asarray(bad.any(axis=question.axes, keepdims=True))
        if (dead & (question.variance > 0)).any() or dead.all():
            place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
            number = int(bad.sum())
            return hopeless(
                f"forward gives NaN or infinity in {number} places, the first at {place}"
            )
    asked, leaks = _checked_groups(asked)
    if leaks.victims and not _steady(asked):
        return hopeless("forward gives other numbers each time it is asked the same")
    found = _of_input(asked)
    if found.problem:
        return found
    found.leaks, found.axes = leaks, asked.question.axes
    if bad.any():
        dead = np.asarray(bad.any(axis=asked.question.axes, keepdims=True))
        found.skipped = found.skipped | dead
        found.notes.append(
            f"forward divides by zero where the variance is 0: {int(dead.sum())} of {dead.size} "
            "groups of values were left out"
        )
    for role in asked.roles:
        _of_parameter(asked, role, found)
    return found


def hopeless(problem: str) -> Derivatives:
    """No derivatives, and why."""
    return Derivatives("none", problem=problem)


def _checked_groups(asked: Asked) -> tuple[Asked, Leaks]:
    """The groups that there really are: where some depend on others, all values are one group."""

    def forward(x: Array) -> Array:
        return asked.function(x, asked.question.parameters)

    leaks = scan(forward, asked.question, asked.base)
    if leaks.victims:
        return replace(asked, question=replace(asked.question, axes=EVERYTHING)), leaks
    return asked, leaks


def _steady(asked: Asked) -> bool:
    again = asked.function(asked.question.x, asked.question.parameters)
    return np.array_equal(again, asked.base, equal_nan=True)


def _numbers(asked: Asked) -> list[int]:
    """Which values of every group are asked."""
    question = asked.question
    size = places(question.axes, question.shape)
    if size <= _WHOLE or question.x.size <= _ALL_BELOW:
        return list(range(size))
    rng = np.random.default_rng((asked.seed, 4))
    return sorted(int(n) for n in rng.choice(size, _SAMPLE, replace=False))


def _of_input(asked: Asked) -> Derivatives:
    if asked.base.dtype == np.float64 and asked.question.x.dtype == np.float64:
        found = _by_complex_step(asked)
        if isinstance(found, Derivatives):
            return found
        note = found
    else:
        note = f"forward computes in {asked.base.dtype}"
    result = _by_differences(asked)
    result.notes.insert(0, f"complex step not used: {note}")
    return result


def _by_complex_step(asked: Asked) -> Derivatives | str:
    """The derivatives of the input; or why the complex step does not serve."""
    question, numbers = asked.question, _numbers(asked)
    whole = len(numbers) == places(question.axes, question.shape)
    try:
        values, scale = complex_block(asked, numbers)
        first, *more = (
            complex_along(asked, along) for along in drawn(asked, 1 if whole else _DIRECTIONS)
        )
    except TargetFailure as failure:
        return f"forward refuses complex numbers ({failure.message})"
    except NotAnalyticError:
        return "forward drops the imaginary part"
    live = np.isfinite(asked.base).all(axis=question.axes, keepdims=True)
    if not np.isfinite(np.where(live, first.slope, 0.0)).all():
        return "it gives NaN or infinity"
    step = STEPS[0] * first.along
    other = central_along(asked, step)
    expected, _ = _over(question, values, other.along) if whole else (first.slope * 2 * STEPS[0], 0)
    size = scale * np.abs(other.along).max(axis=question.axes, keepdims=True)
    # Of a large group, the rounding of all outputs together is more than one value's slope.
    size = np.maximum(size, np.nan_to_num(other.size))
    apart = np.abs(other.slope - expected) / np.where(size > 0, size, 1.0)
    kinks = kinked(asked, first.along, STEPS[0])
    eps = np.finfo(np.float64).eps
    condition = question.condition
    allowed = _AGREE + 10 * eps * (1 + condition + condition**2) / STEPS[0]
    if (live & ~kinks & ~(apart <= allowed)).any():
        return "it disagrees with central differences, so forward is not analytic"
    noise = rounding_noise(question, np.dtype(np.float64))
    return Derivatives(
        "complex step, confirmed by central differences", {"grad_input": values},
        {"grad_input": _with_slope(asked, scale)}, {"grad_input": noise}, kinks & live,
        directions=[] if whole else [first, *more],
    )  # fmt: skip


def _over(question: Question, values: Array, along: Array) -> tuple[Array, Array]:
    terms = values * along
    return terms.sum(axis=question.axes, keepdims=True), terms


def _with_slope(asked: Asked, scale: Array) -> Array:
    """The scale of the terms, at least that of a value alone, which its group may cancel."""
    if asked.slope is None:
        return scale
    axes = asked.question.axes
    delta = np.abs(asked.question.delta)
    alone = (np.abs(asked.slope) * delta).max(axis=axes, keepdims=True)
    least: Array = np.maximum(scale, alone)
    return least


def _by_differences(asked: Asked) -> Derivatives:
    """Central differences at two step sizes, the better of a few pairs."""
    question, numbers = asked.question, _numbers(asked)
    best, best_gap = None, np.inf
    for step in STEPS:
        fine, scale = central_block(asked, numbers, step)
        coarse, _ = central_block(asked, numbers, 2 * step)
        # Of central differences, the error of the coarse step is four times that of the fine.
        gap = np.abs(coarse - fine) / np.where(scale > 0, scale, 1.0)
        known = np.isfinite(fine).any(axis=question.axes, keepdims=True)
        gap = np.nanmax(np.where(np.isfinite(gap), gap, -1.0), axis=question.axes, keepdims=True)
        usual = float(np.median(gap[known])) if known.any() else np.inf
        if usual < best_gap:
            best_gap = usual
            # A step that large serves best where the forward computes in single precision inside.
            precision = asked.base.dtype if step == STEPS[0] else np.dtype(np.float32)
            noise = 4 * gap + 8 * usual
            best = Derivatives(
                f"central differences at {step:g} and {2 * step:g} of each group's spread",
                {"grad_input": fine}, {"grad_input": _with_slope(asked, scale)},
                {"grad_input": noise + _difference_noise(question, precision, step)},
                # Where they do not agree there may be a kink, or nothing but noise.
                np.asarray(noise > 1.0), step=step,
            )  # fmt: skip
        if best_gap < _AGREE:
            break
    if best is None or best_gap > _COARSE:
        return hopeless("the two numerical derivatives do not agree at any step size")
    if len(numbers) < places(question.axes, question.shape):
        best.directions = [
            central_along(asked, best.step * along) for along in drawn(asked, _DIRECTIONS)
        ]
    return best


def rounding_noise(question: Question, dtype: np.dtype[Any]) -> Array:
    """Relative rounding error of a careful layer that computes in *dtype*, per group."""
    eps = float(np.finfo(dtype).eps)
    noise: Array = 64 * eps * (1 + question.condition)
    # Variance as E[x^2] - E[x]^2 is poor but right; in double precision it is let pass.
    noise = noise + np.finfo(np.float64).eps * question.condition**2
    return noise + (1e-9 if eps < 1e-10 else 1e-5)  # noqa: PLR2004 - double precision


def _difference_noise(question: Question, dtype: np.dtype[Any], step: float) -> Array:
    """Rounding and truncation of central differences, which may by chance not show in the gap."""
    rounding = 20 * float(np.finfo(dtype).eps) * (1 + question.condition) / step
    return rounding_noise(question, dtype) + rounding + 5 * step**2


def _of_parameter(asked: Asked, role: str, found: Derivatives) -> None:
    """The derivative by a parameter, all of its values stepped at once."""
    value = asked.question.parameters[role]
    index = asked.index.get(role)
    name = f"grad_{role}"
    if index is None or not _apart(asked, role):
        _one_by_one(asked, role, found)
        return
    terms = _terms(asked, role, np.ones(value.shape))
    reduced = tuple(a for a in range(4) if index.shape[a] == 1)

    def own(array: Array) -> Array:
        into = np.zeros(value.size)
        np.add.at(into, index.reshape(-1), array.sum(axis=reduced, keepdims=True).reshape(-1))
        return into.reshape(value.shape)

    terms = np.where(np.isfinite(terms), terms, 0.0)
    found.values[name] = own(terms)
    found.scales[name] = natural_scale(own(np.abs(terms)), own(np.abs(asked.question.delta)))
    noise = rounding_noise(asked.question, asked.base.dtype)
    wide = np.broadcast_to(noise, np.broadcast_shapes(noise.shape, index.shape))
    worst = np.zeros(value.size)
    np.maximum.at(worst, index.reshape(-1), wide.max(axis=reduced, keepdims=True).reshape(-1))
    found.noise[name] = worst.reshape(value.shape)


def _terms(asked: Asked, role: str, along: Array) -> Array:
    """Delta times the slope of the output along a change of a parameter."""
    slopes: list[Array] = []
    for size in (PARAMETER_STEPS[0], 2 * PARAMETER_STEPS[0], PARAMETER_STEPS[1]):
        slopes.append(_parameter_slope(asked, role, size * along))
        if len(slopes) == 2 and _linear(slopes[0], slopes[1], asked):  # noqa: PLR2004 - two to compare
            break
    best = slopes[0] if len(slopes) == 2 else slopes[-1]  # noqa: PLR2004 - likewise
    return np.asarray(best * asked.question.delta)


def _parameter_slope(asked: Asked, role: str, step: Array) -> Array:
    """The change of the output for each unit of a change of a parameter."""
    parameters = asked.question.parameters
    x, value = asked.question.x, parameters[role]
    # Layers keep their parameters in the precision they like: single precision holds these.
    up, down = ((value + s * step).astype(np.float32).astype(value.dtype) for s in (1, -1))
    outputs = [
        asked.function(x, {**parameters, role: there}).astype(np.float64) for there in (up, down)
    ]
    gap = up.astype(np.float64) - down.astype(np.float64)
    index = asked.index.get(role)
    moved = np.count_nonzero(step)
    wide = gap.reshape(-1)[index] if index is not None and moved == step.size else gap[step != 0][0]
    slope: Array = (outputs[0] - outputs[1]) / wide
    return slope


def _linear(one: Array, other: Array, asked: Asked) -> bool:
    size = np.abs(np.nan_to_num(one)) + np.abs(np.nan_to_num(asked.base)) + 1e-300
    loose = max(_LINEAR, 64 * float(np.finfo(asked.base.dtype).eps))
    return bool((np.abs(np.nan_to_num(one - other)) <= loose * size).all())


def _apart(asked: Asked, role: str) -> bool:
    """Whether each value of the output depends on that one value of the parameter alone."""
    value = asked.question.parameters[role]
    signs = np.random.default_rng((asked.seed, 5)).choice((-1.0, 1.0), value.shape)
    step = PARAMETER_STEPS[0]
    whole = _parameter_slope(asked, role, np.full(value.shape, step))
    signed = _parameter_slope(asked, role, step * signs)
    size = np.abs(np.nan_to_num(whole)) + 1e-6 * np.abs(np.nan_to_num(asked.base)) + 1e-12
    loose = 1e-5 if asked.base.dtype == np.float64 else 0.5
    return bool((np.abs(np.nan_to_num(signed - whole)) <= loose * size).all())


def _one_by_one(asked: Asked, role: str, found: Derivatives) -> None:
    value, name = asked.question.parameters[role], f"grad_{role}"
    numbers = range(value.size)
    if value.size > _ALL_BELOW:
        rng = np.random.default_rng((asked.seed, 6))
        numbers = sorted(rng.choice(value.size, _SAMPLE, replace=False))  # type: ignore[assignment]
    values, scale = np.full(value.size, np.nan), np.zeros(value.size)
    for number in numbers:
        along = np.zeros(value.size)
        along[number] = 1.0
        terms = _terms(asked, role, along.reshape(value.shape))
        values[number], scale[number] = np.nansum(terms), np.nansum(np.abs(terms))
    found.values[name] = values.reshape(value.shape)
    found.scales[name] = np.maximum(scale, scale.max(initial=0.0)).reshape(value.shape)
    noise = rounding_noise(asked.question, asked.base.dtype).max()
    found.noise[name] = np.full(value.shape, 10 * noise)


def natural_scale(sizes: Array, weight: Array) -> Array:
    """Size of the terms of a parameter's gradient, at least that of its other values.

    Where a group is constant, x_norm is nothing but the rounding of its mean: an error there is
    small beside an x_norm of usual size, not beside itself.

    Args:
        sizes: sum of the absolute terms, delta times the slope of the output.
        weight: sum of the absolute deltas.
    """
    with np.errstate(all="ignore"):
        slopes = sizes / weight
    scale: Array = np.maximum(sizes, slopes[np.isfinite(slopes)].max(initial=0.0) * weight)
    return scale
