"""Identities that hold for every right backward, asked without any numerical derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bncli.checking.calling import TargetFailure
from bncli.checking.probe import Array, Question

Backward = Callable[[Question], Array]
"""The gradient of the input at a question, by a new layer; NaN where it is no array."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one small question.

    Attributes:
        name: of the question.
        passed: the answer; None where it could not be asked.
        message: what it means.
    """

    name: str
    passed: bool | None
    message: str


def identities(
    backward: Backward, question: Question, base: Array, tolerance: float
) -> Iterator[Finding]:
    """Ask all of them: seven backwards beside the one of *base*.

    Args:
        backward: the target's.
        question: a probe.
        base: the gradient there.
        tolerance: relative.
    """
    yield from _sums(question, base, tolerance)
    for name, message, ask in _QUESTIONS:
        try:
            passed = ask(backward, question, base, tolerance)
        except TargetFailure as failure:
            yield Finding(name, None, failure.message)
        else:
            yield Finding(name, passed, message)


def _sums(question: Question, base: Array, tolerance: float) -> Iterator[Finding]:
    usual = question.usual
    x_norm = (question.x - question.x.mean(axis=0)) / np.sqrt(question.variance + question.eps)
    size = np.abs(base).sum(axis=0)
    over = 1e3 * (tolerance + question.eps / (question.variance + question.eps))
    passed = np.abs(base.sum(axis=0)) <= over * size
    yield Finding("sum", bool(passed[usual].all()), "gradients add up to 0 in each pixel")
    size = np.abs(base * x_norm).sum(axis=0)
    passed = np.abs((base * x_norm).sum(axis=0)) <= over * size
    yield Finding(
        "sum with x_norm",
        bool(passed[usual].all()),
        "products of gradients and x_norm add up to 0 in each pixel",
    )


def _near(a: Array, b: Array, question: Question, tolerance: float) -> bool:
    usual = question.usual
    scale = np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0)) + 1e-300
    error = np.abs(a - b).max(axis=0) / scale
    return bool((error <= 1e3 * tolerance)[usual].all())


def _crop(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    part = (slice(None), slice(0, max(1, q.shape[1] - 1)), slice(0, max(1, q.shape[2] - 2)))
    cropped = Question(q.x[part], q.gamma[part[1:]], q.beta[part[1:]], q.delta[part], q.eps)
    return _near(backward(cropped), base[part], cropped, tolerance)


def _permuted(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    order = np.roll(np.arange(len(q.x)), 2)
    other = Question(q.x[order], q.gamma, q.beta, q.delta[order], q.eps)
    return _near(backward(other), base[order], q, tolerance)


def _shifted(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    return _near(
        backward(Question(q.x + 0.5, q.gamma, q.beta, q.delta, q.eps)), base, q, 1e2 * tolerance
    )


def _scaled(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    other = backward(Question(2 * q.x, q.gamma, q.beta, q.delta, q.eps))
    # eps is not scaled along, so a little is left even where all is right.
    left = q.eps / q.variance[q.usual].min(initial=1.0)
    return _near(2 * other, base, q, max(tolerance, 1e-7, 1e-2 * left))


def _gamma(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    other = backward(Question(q.x, 2 * q.gamma, q.beta, q.delta, q.eps))
    return _near(other, 2 * base, q, tolerance)


def _linear(backward: Backward, q: Question, base: Array, tolerance: float) -> bool:
    second = q.delta[::-1] * 0.5 + 0.25
    one = backward(Question(q.x, q.gamma, q.beta, second, q.eps))
    both = backward(Question(q.x, q.gamma, q.beta, 2 * q.delta + second, q.eps))
    return _near(both, 2 * base + one, q, tolerance)


_QUESTIONS: tuple[tuple[str, str, Callable[[Backward, Question, Array, float], bool]], ...] = (
    ("crop", "the gradient of a crop is the crop of the gradient", _crop),
    ("permutation", "pictures in another order give gradients in that order", _permuted),
    ("shift", "a constant added to the pictures changes nothing", _shifted),
    ("scale", "pictures twice as bright give half the gradient", _scaled),
    ("gamma", "twice gamma gives twice the gradient", _gamma),
    ("linearity", "the gradient is linear in delta", _linear),
)
