"""What every right layer does, asked without any numerical derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.oracle import QUANTITIES
from bncli.checking.parameters import attribute_of
from bncli.checking.question import Array, Question
from bncli.checking.session import Session, Target
from bncli.checking.target import TargetFailure

Backward = Callable[[Question], Array]
"""The gradient of the input at a question, by a new layer; NaN where it is no array."""

Answers = Iterator[tuple[str, bool | None, str]]
"""What a :class:`Finding` is made of."""


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


def identities(backward: Backward, q: Question, base: Array, tolerance: float) -> Iterator[Finding]:
    """Ask all of them: seven backwards beside the one of *base*.

    Args:
        backward: the target's.
        q: the question, a probe.
        base: the gradient there.
        tolerance: relative.
    """
    yield from _sums(q, base, tolerance)
    part = (slice(None), slice(0, max(1, q.shape[1] - 1)), slice(0, max(1, q.shape[2] - 2)))
    cropped = Question(q.x[part], q.gamma[part[1:]], q.beta[part[1:]], q.delta[part], q.eps)
    order = np.roll(np.arange(len(q.x)), 2)
    second = q.delta[::-1] * 0.5 + 0.25
    # eps is not scaled along, so a little is left even where all is right.
    left = q.eps / q.variance[q.usual].min(initial=1.0)

    def holds(other: Question, expected: Array, slack: float = tolerance, times: int = 1) -> bool:
        usual = q.usual[tuple(slice(length) for length in other.gamma.shape)]
        return _near(times * backward(other), expected, usual, slack)

    questions: tuple[tuple[str, str, Callable[[], bool]], ...] = (
        ("crop", "the gradient of a crop is the crop of the gradient",
         lambda: holds(cropped, base[part])),
        ("permutation", "pictures in another order give gradients in that order",
         lambda: holds(replace(q, x=q.x[order], delta=q.delta[order]), base[order])),
        ("shift", "a constant added to the pictures changes nothing",
         lambda: holds(replace(q, x=q.x + 0.5), base, 1e2 * tolerance)),
        ("scale", "pictures twice as bright give half the gradient",
         lambda: holds(replace(q, x=2 * q.x), base, max(tolerance, 1e-7, 1e-2 * left), times=2)),
        ("gamma", "twice gamma gives twice the gradient",
         lambda: holds(replace(q, gamma=2 * q.gamma), 2 * base)),
        ("linearity", "the gradient is linear in delta",
         lambda: holds(replace(q, delta=2 * q.delta + second),
                       2 * base + backward(replace(q, delta=second)))),
    )  # fmt: skip
    for name, message, ask in questions:
        try:
            yield Finding(name, ask(), message)
        except TargetFailure as failure:
            yield Finding(name, None, failure.message)


def _sums(question: Question, base: Array, tolerance: float) -> Iterator[Finding]:
    x_norm = (question.x - question.x.mean(axis=0)) / np.sqrt(question.variance + question.eps)
    over = 1e3 * (tolerance + question.eps / (question.variance + question.eps))
    for name, values, words in (
        ("sum", base, "gradients"),
        ("sum with x_norm", base * x_norm, "products of gradients and x_norm"),
    ):
        passed = np.abs(values.sum(axis=0)) <= over * np.abs(values).sum(axis=0)
        message = f"{words} add up to 0 in each pixel"
        yield Finding(name, bool(passed[question.usual].all()), message)


def _near(a: Array, b: Array, usual: Array, tolerance: float) -> bool:
    scale = np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0)) + 1e-300
    error = np.abs(a - b).max(axis=0) / scale
    return bool((error <= 1e3 * tolerance)[usual].all())


def habits(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    """Look at a layer's habits, in four forwards.

    Args:
        target: the layer.
        question: a probe.
        base: its grad_input there.
    """
    for ask in (_again, _stale, _awkward, _update):
        try:
            session = target.open(question.gamma, question.beta, len(question.x))
            for answer in ask(session, target, question, base):
                yield Finding(*answer)
        except TargetFailure as failure:
            yield Finding(ask.__name__.strip("_"), None, failure.message)


def _again(session: Session, target: Target, question: Question, base: Array) -> Answers:
    """The same again in a new layer, with eyes on the arguments; then backward once more."""
    x = question.x.copy()
    session.forward(x, copied=False)
    yield "input kept", np.array_equal(x, question.x), "forward leaves its input as it was"
    first = session.backward(question.delta)
    same = _equal(first.grad_input, base)
    yield "deterministic", same, "the same question gets the same answer"
    try:
        second = session.backward(question.delta)
    except TargetFailure as failure:
        yield "backward twice", False, f"a second backward fails: {failure.message}"
        return
    pairs = [(getattr(first, name), getattr(second, name)) for name in QUANTITIES]
    same = all(a is None or (isinstance(b, np.ndarray) and np.array_equal(a, b)) for a, b in pairs)
    yield "backward twice", same, "a second backward gives the same gradients"
    if target.protocol.grad_input == "added":
        yield "overwrites", False, "backward ADDS its gradient into the argument"
    else:
        yield "overwrites", True, "backward writes its gradient over the argument, or returns it"


def _stale(session: Session, _target: Target, question: Question, base: Array) -> Answers:
    session.forward(question.x[::-1] * 1.5)
    session.forward(question.x)
    same = _equal(session.backward(question.delta).grad_input, base)
    yield "second batch", same, "after two forwards, backward belongs to the second"


def _awkward(session: Session, _target: Target, question: Question, base: Array) -> Answers:
    name, words = "awkward input", "a read-only, non-contiguous batch"
    wide = np.zeros((*question.x.shape[:-1], 2 * question.x.shape[-1]), question.x.dtype)
    view = wide[..., ::2]
    view[...] = question.x
    view.flags.writeable = False
    try:
        session.forward(view, copied=False)
        given = session.backward(question.delta).grad_input
    except TargetFailure as failure:
        yield name, False, f"{words} fails: {failure.message}"
        return
    scale = float(np.abs(base[np.isfinite(base)]).max(initial=0.0))
    near = _like(given, base) and np.allclose(
        given, base, rtol=1e-4, atol=1e-4 * scale, equal_nan=True
    )
    yield name, bool(near), f"{words} gives the same"


def _update(session: Session, target: Target, question: Question, _base: Array) -> Answers:
    """Whether update() goes down along the gradients."""
    layer = session.layer
    if not callable(getattr(layer, "update", None)):
        return
    session.forward(question.x)
    given = session.backward(question.delta)
    names = [attribute_of(layer, key, getattr(target.protocol, key)) for key in ("gamma", "beta")]
    before = [_copied(getattr(layer, name, None)) for name in names]
    gradients = [_copied(gradient) for gradient in (given.grad_gamma, given.grad_beta)]
    try:
        target.call("update", layer.update)
    except TargetFailure as failure:
        yield "update", None, f"update() was not checked: {failure.message}"
        return
    for name, old, gradient in zip(names, before, gradients, strict=True):
        new = getattr(layer, name, None)
        if old is None or gradient is None or not _like(new, old) or not _like(gradient, old):
            yield "update", None, f"update() was not checked: no {name or 'parameter'}"
        else:
            yield f"update {name}", *_descent(name, np.asarray(new) - old, gradient)


def _descent(name: str, step: Array, gradient: Array) -> tuple[bool, str]:
    size = float((gradient.astype(np.float64) ** 2).sum())
    rate = -float((step * gradient).sum()) / size if size else 0.0
    along = bool(np.allclose(step, -rate * gradient, rtol=1e-3, atol=1e-3 * np.abs(step).max()))
    if along and rate > 0:
        return True, f"update() takes {rate:.3g} of the gradient off"
    if along and rate < 0:
        return False, f"update() ADDS {-rate:.3g} of the gradient to {name}: it climbs"
    if not step.any():
        return False, f"update() leaves {name} as it is"
    return False, f"update() moves {name} in another direction than its gradient"


def _copied(value: Any) -> Array | None:
    return value.copy() if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None


def _like(value: Any, base: Array) -> bool:
    return isinstance(value, np.ndarray) and value.shape == base.shape and value.dtype.kind in "fiu"


def _equal(value: Any, base: Array) -> bool:
    return _like(value, base) and bool(np.array_equal(value, base, equal_nan=True))
