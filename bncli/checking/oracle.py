"""Numerical derivatives of a target's own forward, by two independent ways.

Values that are normalized together are a group. Groups do not influence each other, so one value
of every group is stepped at once: as many forwards as a group has values give every derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bncli.checking.analytic import STEP, Analytic
from bncli.checking.question import AXES, Array, Question

Function = Callable[[Array, Mapping[str, Array]], Array]
"""A batch and the parameters by role, to the output, each time by a new layer."""

STEPS = (6e-6, 1e-3, 2e-2)
"""Of central differences, in units of each group's own spread: for double precision (its cube
root), for something between, and for single precision."""

PARAMETER_STEPS = (2.0**-2, 1e-4)
"""A normalization is linear in gamma and beta, so that a large step is as true as a small one, and
loses fewer digits; where it is not, the small one is taken."""

EVERYTHING = tuple(range(AXES))
_KINK = 0.05
_SLACK = 16
_LISTED = 8


class NotAnalyticError(Exception):
    """The forward does not carry complex numbers through."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the derivatives are wanted of, and for.

    Attributes:
        function: the forward.
        question: where, in the precision the forward is asked in, with the axes of its groups.
        roles: of the parameters whose gradients are wanted.
        base: the output at the question.
        seed: of what is random.
        index: role -> for each value of the output, which value of the parameter is meant: in the
            axes (batch, w, h, c), of length 1 where the parameter has none.
        slope: how much the output changes with a value of the input alone, without the terms that
            take it back, (batch, w, h, c) or broadcastable; None where it is not known.
    """

    function: Function
    question: Question
    roles: tuple[str, ...]
    base: Array
    seed: int
    index: Mapping[str, Array]
    slope: Array | None = None


@dataclass(frozen=True, slots=True)
class Leaks:
    """Groups that depend on others.

    Attributes:
        victims: how many groups depend on other groups.
        pairs: some (source, victim), each by its place in the axes that the groups differ in; the
            source is confirmed by a forward of its own.
    """

    victims: int = 0
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


@dataclass(slots=True)
class Derivatives:
    """What the backward should have given.

    Attributes:
        method: how they were found.
        values: quantity -> derivative: (batch, w, h, c), NaN where it was not asked; of parameters
            in their own shapes.
        scales: quantity -> size of the terms that add up to it, which survives where the terms
            cancel; broadcastable to the values.
        noise: quantity -> relative uncertainty of the derivative; likewise.
        skipped: groups at which the forward has a kink, or divides by 0; likewise.
        axes: that were reduced over.
        directions: of grad_input, where it was not asked everywhere.
        step: of central differences, in units of each group's spread; 0 is the complex step.
        leaks: between groups.
        problem: why the derivatives cannot be trusted; empty if they can.
        notes: what else was seen.
    """

    method: str
    values: dict[str, Array] = field(default_factory=dict)
    scales: dict[str, Array] = field(default_factory=dict)
    noise: dict[str, Array] = field(default_factory=dict)
    skipped: Array = field(default_factory=lambda: np.zeros((1,) * AXES, bool))
    axes: tuple[int, ...] = ()
    directions: list[Direction] = field(default_factory=list)
    step: float = 0.0
    leaks: Leaks = field(default_factory=Leaks)
    problem: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Direction:
    """The derivative along one direction in every group.

    Attributes:
        along: (batch, w, h, c).
        slope: in each group, with axes of length 1 for those reduced.
        size: of the terms that add up to it; likewise.
    """

    along: Array
    slope: Array
    size: Array


def structure_of(function: Callable[[Array], Array], x: Array, base: Array) -> tuple[int, ...]:
    """The axes along which a value of the input reaches into the output.

    Args:
        function: a batch to its output.
        x: a small batch, (batch, w, h, c), of usual spread.
        base: its output.
    """
    reached: set[int] = set()
    corners = ((0, 0, 0, 0), tuple(n - 1 for n in x.shape), tuple(n // 2 for n in x.shape))
    for place in corners:
        moved = x.copy()
        moved[place] += 0.5
        change = np.abs(function(moved) - base)
        far = np.argwhere(~(change <= _SLACK * _precision(base, x) * (np.abs(base) + 1)))
        reached |= {axis for axis in EVERYTHING if (far[:, axis] != place[axis]).any()}
    return tuple(sorted(reached))


def _precision(*arrays: Array) -> float:
    kinds = (array.dtype for array in arrays if array.dtype.kind == "f")
    return max(float(np.finfo(kind).eps) for kind in kinds)


def places(axes: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """How many values a group has."""
    return math.prod(shape[axis] for axis in axes)


def of_groups(array: Array, axes: tuple[int, ...], number: int) -> Array:
    """A view of the value of this *number* in every group."""
    lengths = [array.shape[axis] for axis in axes]
    place: tuple[Any, ...] = (*(_place(number, lengths) if axes else ()), ...)
    view: Array = np.moveaxis(array, axes, range(len(axes)))[place]
    return view


def scan(forward: Callable[[Array], Array], question: Question, base: Array) -> Leaks:
    """Perturb half of the groups at a time, by each bit of their index, and look at the other half.

    Any single ordered leak has source and victim apart in some bit, so one of the masks shows it:
    2 ceil(log2 G) forwards beside the one of *base*.

    Args:
        forward: a batch to its output, each time by a new layer.
        question: the batch, and its groups.
        base: its output.
    """
    kept = tuple(1 if a in question.axes else n for a, n in enumerate(question.x.shape))
    groups = math.prod(kept)
    bits = max(0, (groups - 1).bit_length())
    index = np.arange(groups).reshape(kept)
    nudge = _nudge(question)
    # hits[bit] holds the groups that moved while only groups of the other value were perturbed.
    hits = np.zeros((bits, groups), bool)
    axes = question.axes
    size = np.nan_to_num(np.abs(base)).max(axis=axes, keepdims=True)
    floor = _SLACK * _precision(base, question.x) * (size + 1e-300)

    def moved(chosen: Array) -> Array:
        change = np.abs(forward(np.where(chosen, question.x + nudge, question.x)) - base)
        still: Array = change.max(axis=axes, keepdims=True) <= floor
        dead = ~np.isfinite(base).all(axis=axes, keepdims=True)
        return ~(still | dead).reshape(-1)

    for bit in range(bits):
        for value in (0, 1):
            chosen = (index >> bit & 1) == value
            hits[bit] |= moved(chosen) & ~chosen.reshape(-1)
    victims = np.flatnonzero(hits.any(axis=0))
    pairs = []
    names = [n for a, n in enumerate(question.x.shape) if a not in axes]
    for victim in victims[:_LISTED]:
        flips = sum(1 << bit for bit in range(bits) if hits[bit, victim])
        source = int(victim) ^ flips
        if source < groups and source != victim and moved(index == source)[victim]:
            pairs.append((_place(source, names), _place(int(victim), names)))
    return Leaks(len(victims), tuple(pairs))


def _nudge(question: Question) -> Array:
    """A change of every value, of the size of its group's spread, different within a group."""
    spread = np.sqrt(question.variance + question.eps)
    number = np.arange(question.x.size).reshape(question.x.shape)
    signs = np.where(np.random.default_rng(6).random(number.shape) < 0.5, 1.0, -0.5)  # noqa: PLR2004 - half of them
    change: Array = (signs * spread * 0.5).astype(question.x.dtype)
    return change


def _place(group: int, lengths: list[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(group, lengths))


def complex_block(asked: Asked, numbers: list[int]) -> tuple[Array, Array]:
    """Derivatives by the complex step, at some values of every group; and the scale of their terms.

    Raises:
        NotAnalyticError: the forward refuses complex numbers or drops their imaginary part.
    """
    question, axes = asked.question, asked.question.axes
    total, scale = _empty(question)
    for number in numbers:
        stepped = question.x.astype(np.complex128)
        of_groups(stepped, axes, number)[...] += 1j * STEP
        slope = _slope(asked.function(Analytic.of(stepped), question.parameters))
        slope *= question.delta
        of_groups(total, axes, number)[...] = slope.sum(axis=axes)
        np.maximum(scale, np.abs(slope, out=slope).sum(axis=axes, keepdims=True), out=scale)
    return total, scale


def complex_along(asked: Asked, along: Array) -> Direction:
    """The derivative along a direction, by the complex step.

    Raises:
        NotAnalyticError: as of :func:`complex_block`.
    """
    question, axes = asked.question, asked.question.axes
    stepped = Analytic.of(question.x + 1j * STEP * along)
    terms = _slope(asked.function(stepped, question.parameters)) * question.delta
    return Direction(along, *_summed(terms, axes))


def _summed(terms: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    return terms.sum(axis=axes, keepdims=True), np.abs(terms).sum(axis=axes, keepdims=True)


def _empty(question: Question) -> tuple[Array, Array]:
    kept = tuple(1 if a in question.axes else n for a, n in enumerate(question.x.shape))
    return np.full(question.x.shape, np.nan), np.zeros(kept)


def _slope(output: Array) -> Array:
    if not np.iscomplexobj(output):
        raise NotAnalyticError
    slope: Array = np.asarray(output).imag / STEP
    return slope


def central_block(asked: Asked, numbers: list[int], step: float) -> tuple[Array, Array]:
    """The same by central differences with steps of *step* spreads of each group."""
    question, axes = asked.question, asked.question.axes
    spread = np.broadcast_to(step * np.sqrt(question.variance + question.eps), question.x.shape)
    total, scale = _empty(question)
    for number in numbers:
        along = np.zeros(question.x.shape)
        of_groups(along, axes, number)[...] = of_groups(spread, axes, number)
        terms, gap = _difference(asked, along)
        steps = gap.sum(axis=axes, keepdims=True)
        with np.errstate(all="ignore"):
            slope = terms / np.where(steps > 0, steps, np.nan)
        of_groups(total, axes, number)[...] = slope.sum(axis=axes)
        np.maximum(scale, np.nan_to_num(np.abs(slope)).sum(axis=axes, keepdims=True), out=scale)
    return total, scale


def central_along(asked: Asked, along: Array) -> Direction:
    """The derivative along a direction by central differences; *along* is the step itself."""
    terms, gap = _difference(asked, along)
    return Direction(gap, *_summed(terms, asked.question.axes))


def _difference(asked: Asked, along: Array) -> tuple[Array, Array]:
    """The terms of the change of the loss from one side to the other, and the way between them."""
    question = asked.question
    step = along.astype(question.x.dtype)
    up, down = question.x + step, question.x - step
    outputs = [asked.function(x, question.parameters).astype(np.float64) for x in (up, down)]
    gap: Array = up.astype(np.float64) - down.astype(np.float64)
    return question.delta * (outputs[0] - outputs[1]), gap


def kinked(asked: Asked, direction: Array, step: float) -> Array:
    """Groups at which the slopes to both sides differ, with axes of length 1 for those reduced."""
    along = step * direction
    question, base, axes = asked.question, asked.base, asked.question.axes
    y_up = asked.function(question.x + along, question.parameters)
    y_down = asked.function(question.x - along, question.parameters)
    bend = np.abs(y_up - 2 * base + y_down).max(axis=axes, keepdims=True)
    rise = np.abs(y_up - y_down).max(axis=axes, keepdims=True)
    condition = question.condition
    size = np.abs(base).max(axis=axes, keepdims=True)
    # What multiplies x_norm, which may be tiny, is known by the rise alone.
    size = size + (1 + condition + condition**2 / 10) * rise / step
    noise = 100 * np.finfo(np.float64).eps * size
    return np.asarray(bend > _KINK * rise + noise)
