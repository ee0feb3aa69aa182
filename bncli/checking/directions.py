"""Holds a gradient against the derivatives along random directions, where not every value is asked.

A direction over whole groups sees every value at once; where it is off, its support is halved, in
all groups at once, until one wrong value of each is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bncli.checking.oracle import (
    Asked,
    Derivatives,
    Direction,
    central_along,
    complex_along,
    places,
)
from bncli.checking.question import AXES, Array

_SPARSE = 0.05
_ODD = 4
"""The tolerated errors of the values, with random signs, add up to their root mean square; this
many of those are never reached by chance."""


def drawn(asked: Asked, count: int) -> Iterator[Array]:
    """Random directions, in units of each group's spread: in all values and in few, by turns."""
    question = asked.question
    rng = np.random.default_rng((asked.seed, 3))
    spread = np.sqrt(question.variance + question.eps)
    for number in range(count):
        along = rng.uniform(0.5, 1.0, question.shape) * rng.choice((-1.0, 1.0), question.shape)
        if number % 2:
            along *= rng.random(question.shape) < _SPARSE
        yield along * spread


def along(asked: Asked, direction: Array, step: float) -> Direction:
    """The derivative along a direction.

    Args:
        asked: of what, and where.
        direction: (batch, w, h, c).
        step: of central differences, in units of the direction; 0 is the complex step.

    Raises:
        NotAnalyticError: the forward does not carry complex numbers through.
    """
    return central_along(asked, step * direction) if step else complex_along(asked, direction)


def hold(asked: Asked, found: Derivatives, given: Array, tolerance: Array) -> str:
    """Hold a gradient against the directions; a wrong value's derivative is added to *found*.

    Args:
        asked: of what, and where.
        found: its derivatives.
        given: the gradient of the input, (batch, w, h, c).
        tolerance: relative to the scale of a value, broadcastable to it.

    Returns:
        What is wrong, in words; empty if nothing is.
    """
    asked = replace(asked, question=replace(asked.question, axes=found.axes))
    # What is no number is wrong anyway; here it must not hide the others.
    given = np.where(np.isfinite(given), given, 0.0).astype(np.float64)
    worst, message, off = 1.0, "", None
    for direction in found.directions:
        error, got = _error(asked, given, direction)
        excess = np.where(
            found.skipped, 0.0, np.abs(error) / _allowed(asked, found, direction, tolerance)
        )
        if excess.max() > worst:
            worst, off = float(excess.max()), (direction, excess > 1)
            place = np.unravel_index(int(excess.argmax()), excess.shape)
            message = (
                f"is {float(got[place]):.6g} along a random direction; "
                f"it must be {float(direction.slope[place]):.6g}"
            )
    if off is not None:
        _pin_down(asked, found, given, *off)
    return message


def _error(asked: Asked, given: Array, direction: Direction) -> tuple[Array, Array]:
    """How far a gradient is off along a direction, and what it is there, per group."""
    got = (given * direction.along).sum(axis=asked.question.axes, keepdims=True)
    return got - direction.slope, got


def _allowed(asked: Asked, found: Derivatives, direction: Direction, tolerance: Array) -> Array:
    """The error of a right gradient along a direction, per group."""
    axes = asked.question.axes
    root = np.sqrt((direction.along**2).sum(axis=axes, keepdims=True))
    own = np.broadcast_to(tolerance * found.scales["grad_input"], asked.question.shape)
    values = _ODD * own.max(axis=axes, keepdims=True) * root
    if found.step:
        asked_to = np.broadcast_to(found.noise["grad_input"], asked.question.shape)
        numeric = asked_to.max(axis=axes, keepdims=True)
    else:
        numeric = 16 * np.finfo(np.float64).eps * (1 + asked.question.condition)
    allowed: Array = values + numeric * direction.size + np.finfo(np.float64).tiny
    return allowed


def _pin_down(
    asked: Asked, found: Derivatives, given: Array, direction: Direction, wrong: Array
) -> None:
    """Find one wrong value in each wrong group, and what it must be.

    Of a half and the other the larger error is followed; one forward for each halving.
    """
    axes, shape = asked.question.axes, asked.question.shape
    size = places(axes, shape)
    lengths = [shape[a] if a in axes else 1 for a in range(AXES)]
    rank = np.arange(size).reshape(lengths)
    unit = found.step or 1.0
    way = np.where(wrong, direction.along / unit, 0.0)
    low, high = np.zeros(wrong.shape, int), np.full(wrong.shape, size)
    error, _ = _error(asked, given, direction)
    for _ in range(math.ceil(math.log2(size))):
        middle = (low + high) // 2
        half = along(asked, np.where((rank >= low) & (rank < middle), way, 0.0), found.step)
        there, _ = _error(asked, given, half)
        first = (np.abs(there) > np.abs(error - there)) & (middle > low)
        error = np.where(first, there, error - there)
        low, high = np.where(first, low, middle), np.where(first, middle, high)
    last = along(asked, np.where(rank == low, way, 0.0), found.step)
    moved = last.along != 0
    with np.errstate(all="ignore"):
        slope = np.broadcast_to(last.slope, shape)[moved] / last.along[moved]
    found.values["grad_input"][moved] = slope
