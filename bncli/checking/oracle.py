"""Numerical derivatives of a target's own forward, by two independent ways.

Both work in blocks: as long as pixels do not influence each other, all pixels of one picture are
perturbed at once, and B forwards (2B for differences) give every derivative of every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bncli.checking.analytic import STEP, Analytic
from bncli.checking.question import Array, Question

Function = Callable[[Array, Array, Array], Array]
"""(x, gamma, beta) to the output, each time by a new layer."""

STEPS = (6e-6, 1e-3, 2e-2)
"""Of central differences, in units of each pixel's own spread: for double precision (its cube
root), for something between, and for single precision."""

_PARAMETER_STEP = 1e-6  # the output is linear in gamma and beta: small enough to pass no kink by
_KINK = 0.05
QUANTITIES = ("grad_input", "grad_gamma", "grad_beta")
Forward = Callable[[Array], Array]
_SLACK = 16
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the scan found.

    Attributes:
        victims: how many pixels depend on other pixels.
        pairs: some (source, victim), each (x, y, channel); the source is confirmed by a forward of
            its own.
    """

    victims: int = 0
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


def scan(forward: Forward, question: Question, base: Array) -> Leaks:
    """Perturb half of the pixels at a time, by each bit of their index, and look at the other half.

    Any single ordered leak has source and victim apart in some bit, so one of the masks shows it:
    2 ceil(log2 P) forwards beside the one of *base*.

    Args:
        forward: a batch to its output, each time by a new layer.
        question: the batch.
        base: its output.
    """
    pixels = question.gamma.size
    bits = max(0, (pixels - 1).bit_length())
    index = np.arange(pixels)
    nudge = _nudge(question)
    # hits[bit] holds the pixels that moved while only pixels of the other value were perturbed.
    hits = np.zeros((bits, pixels), bool)
    precision = max(np.finfo(base.dtype).eps, np.finfo(question.x.dtype).eps)
    floor = _SLACK * precision * (np.abs(base).max(axis=0) + 1e-300).reshape(-1)
    for bit in range(bits):
        for value in (0, 1):
            chosen = (index >> bit & 1) == value
            moved = _moved(forward, question.x, nudge, chosen, base, floor)
            hits[bit] |= moved & ~chosen
    victims = np.flatnonzero(hits.any(axis=0))
    pairs = []
    for victim in victims[:_LISTED]:
        flips = sum(1 << bit for bit in range(bits) if hits[bit, victim])
        source = int(victim) ^ flips
        if source >= pixels or source == victim:
            continue
        if _moved(forward, question.x, nudge, index == source, base, floor)[victim]:
            pairs.append((_place(source, question), _place(int(victim), question)))
    return Leaks(len(victims), tuple(pairs))


def _nudge(question: Question) -> Array:
    """A change of every element, of the size of its pixel's spread, different in each picture."""
    spread = np.sqrt(question.variance + question.eps)
    signs = np.where(np.arange(len(question.x)) % 2 == 0, 1.0, -0.5)
    change: Array = (signs[:, None, None, None] * spread * 0.5).astype(question.x.dtype)
    return change


def _moved(
    forward: Forward, x: Array, nudge: Array, chosen: Array, base: Array, floor: Array
) -> Array:
    perturbed = np.where(chosen.reshape(x.shape[1:]), x + nudge, x)
    change = np.abs(forward(perturbed) - base).max(axis=0).reshape(-1)
    moved: Array = ~(change <= floor)
    return moved


def _place(pixel: int, question: Question) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(pixel, question.gamma.shape))


@dataclass(slots=True)
class Derivatives:
    """What the backward should have given.

    Attributes:
        method: how they were found.
        values: quantity -> derivative, of the quantity's shape.
        scales: quantity -> (w, h, c): size of the terms that add up to it, which survives where
            the terms cancel.
        noise: quantity -> (w, h, c): relative uncertainty of the derivative.
        skipped: (w, h, c), pixels at which the forward has a kink.
        problem: why the derivatives cannot be trusted; empty if they can.
        notes: what else was seen.
    """

    method: str
    values: dict[str, Array]
    scales: dict[str, Array]
    noise: dict[str, Array]
    skipped: Array
    problem: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the derivatives are wanted of, and for.

    Attributes:
        function: the forward.
        question: where, in the precision the forward is asked in.
        wanted: the quantities.
        base: the output at the question.
        leaks: what the leak scan found.
        seed: of what is random.
    """

    function: Function
    question: Question
    wanted: tuple[str, ...]
    base: Array
    leaks: Leaks
    seed: int


class NotAnalyticError(Exception):
    """The forward does not carry complex numbers through."""


def complex_block(asked: Asked) -> tuple[dict[str, Array], dict[str, Array]]:
    """Derivatives and scales by the complex step.

    Raises:
        NotAnalyticError: the forward refuses complex numbers or drops their imaginary part.
    """
    x, gamma, beta = asked.question.x, asked.question.gamma, asked.question.beta
    delta = asked.question.delta
    total = np.empty(x.shape)
    scale = np.zeros(gamma.shape)
    for picture in range(len(x)):
        stepped = x.astype(np.complex128)
        stepped[picture] += 1j * STEP
        slope = _slope(asked.function(Analytic.of(stepped), gamma, beta))
        slope *= delta
        total[picture] = slope.sum(axis=0)
        np.maximum(scale, np.abs(slope, out=slope).sum(axis=0), out=scale)
    values, scales = {"grad_input": total}, {"grad_input": scale}
    start = Analytic.of(x)
    for name, pair in (
        ("grad_gamma", (Analytic.of(gamma + 1j * STEP), beta)),
        ("grad_beta", (gamma, Analytic.of(beta + 1j * STEP))),
    ):
        if name in asked.wanted:
            slope = _slope(asked.function(start, *pair)) * delta
            values[name] = slope.sum(axis=0)
            scales[name] = natural_scale(np.abs(slope).sum(axis=0), delta)
    return values, scales


def natural_scale(sizes: Array, delta: Array) -> Array:
    """Size of the terms of a parameter's gradient, (w, h, c), at least that of other pixels.

    Where a pixel is constant, x_norm is nothing but the rounding of its mean: an error there is
    small beside an x_norm of usual size, not beside itself.

    Args:
        sizes: sum of the absolute terms, delta times the slope of the output, (w, h, c).
        delta: the delta.
    """
    weight = np.abs(delta).sum(axis=0)
    with np.errstate(all="ignore"):
        slopes = sizes / weight
    scale: Array = np.maximum(sizes, slopes[np.isfinite(slopes)].max(initial=0.0) * weight)
    return scale


def _slope(output: Array) -> Array:
    if not np.iscomplexobj(output):
        raise NotAnalyticError
    slope: Array = np.asarray(output).imag / STEP
    return slope


def central_block(asked: Asked, step: float) -> tuple[dict[str, Array], dict[str, Array]]:
    """Derivatives and scales by central differences with steps of *step* spreads of each pixel."""
    question, function = asked.question, asked.function
    x, gamma, beta, delta = question.x, question.gamma, question.beta, question.delta
    spread = step * np.sqrt(question.variance + question.eps)
    total = np.empty(x.shape)
    scale = np.zeros(gamma.shape)
    for picture in range(len(x)):
        up, down = x.copy(), x.copy()
        up[picture] += spread
        down[picture] -= spread
        gap = (up[picture] - down[picture]).astype(np.float64)
        change = _difference(function(up, gamma, beta), function(down, gamma, beta))
        slope = delta * change / np.where(gap > 0, gap, np.nan)
        total[picture] = slope.sum(axis=0)
        np.maximum(scale, np.abs(slope).sum(axis=0), out=scale)
    values, scales = {"grad_input": total}, {"grad_input": scale}
    size, none = x.dtype.type(step), x.dtype.type(0)
    for name, by, along in (("grad_gamma", size, none), ("grad_beta", none, size)):
        if name in asked.wanted:
            ups, downs = (gamma + by, beta + along), (gamma - by, beta - along)
            gap = (ups[0] - downs[0]) + (ups[1] - downs[1])
            slope = delta * _difference(function(x, *ups), function(x, *downs)) / gap
            values[name] = slope.sum(axis=0)
            scales[name] = natural_scale(np.abs(slope).sum(axis=0), delta)
    return values, scales


def _difference(up: Array, down: Array) -> Array:
    change: Array = up.astype(np.float64) - down.astype(np.float64)
    return change


@dataclass(frozen=True, slots=True)
class Direction:
    """Central differences along one random direction.

    Attributes:
        error: quantity -> (w, h, c): how far the derivatives are off, relative to their scale.
        kinked: (w, h, c), pixels at which the slopes to both sides differ.
    """

    error: dict[str, Array]
    kinked: Array


def along_random(asked: Asked, values: dict[str, Array], scales: dict[str, Array]) -> Direction:
    """Hold derivatives against central differences along one random direction per pixel."""
    question, function, base = asked.question, asked.function, asked.base
    rng = np.random.default_rng((asked.seed, 3))
    x, gamma, beta, delta = question.x, question.gamma, question.beta, question.delta
    spread = STEPS[0] * np.sqrt(question.variance + question.eps)
    move = rng.uniform(0.5, 1.0, x.shape) * rng.choice((-1.0, 1.0), x.shape)
    up, down = x + spread * move, x - spread * move
    y_up, y_down = function(up, gamma, beta), function(down, gamma, beta)
    found = (delta * (y_up - y_down)).sum(axis=0)
    expected = (values["grad_input"] * (up - down)).sum(axis=0)
    unit = np.abs(up - down).max(axis=0)
    error = {"grad_input": _relative(found - expected, scales["grad_input"] * unit)}
    bend = np.abs(y_up - 2 * base + y_down).max(axis=0)
    rise = np.abs(y_up - y_down).max(axis=0)
    eps = np.finfo(np.float64).eps
    condition = question.condition
    noise = 100 * eps * (1 + condition + condition**2 / 10) * (1 + np.abs(base).max(axis=0))
    kinked = bend > _KINK * rise + noise
    if len(asked.wanted) > 1:
        step = _PARAMETER_STEP
        both = [rng.uniform(0.5, 1.0, gamma.shape) for _ in range(2)]
        ups = [p + step * m for p, m in zip((gamma, beta), both, strict=True)]
        downs = [p - step * m for p, m in zip((gamma, beta), both, strict=True)]
        found = (delta * (function(x, *ups) - function(x, *downs))).sum(axis=0)
        expected, size = np.zeros(gamma.shape), np.zeros(gamma.shape)
        for name, high, low in zip(QUANTITIES[1:], ups, downs, strict=True):
            if name in values:
                expected = expected + values[name] * (high - low)
                size = size + scales[name] * (high - low)
        error["parameters"] = _relative(found - expected, size)
    return Direction(error, kinked)


def _relative(error: Array, size: Array) -> Array:
    relative: Array = np.abs(error) / np.where(size > 0, size, 1.0)
    return relative
