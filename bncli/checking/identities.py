"""What every right layer does, asked without any numerical derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bncli.checking.gradients import Gradients
from bncli.checking.parameters import attribute_of
from bncli.checking.question import Array, Question
from bncli.checking.session import Target
from bncli.checking.target import TargetFailure

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


def habits(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    """Look at a layer's habits, in four forwards.

    Args:
        target: the layer.
        question: a probe.
        base: its grad_input there.
    """
    for ask in (_again, _stale, _awkward, _update):
        try:
            yield from ask(target, question, base)
        except TargetFailure as failure:
            yield Finding(ask.__name__.strip("_"), None, failure.message)


def _again(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    """The same again in a new layer, with eyes on the arguments; then backward once more."""
    session = target.open(question.gamma, question.beta, len(question.x))
    x = question.x.copy()
    session.forward(x, copied=False)
    yield Finding("input kept", np.array_equal(x, question.x), "forward leaves its input as it was")
    first = session.backward(question.delta)
    same = _equal(first.grad_input, base)
    yield Finding("deterministic", same, "the same question gets the same answer")
    try:
        second = session.backward(question.delta)
    except TargetFailure as failure:
        yield Finding(
            "backward twice", passed=False, message=f"a second backward fails: {failure.message}"
        )
        return
    words = "a second backward gives the same gradients"
    yield Finding("backward twice", _all_equal(first, second, base), words)
    added = _is_added(target)
    yield Finding(
        "overwrites", not added, "backward writes its gradient over the argument, or returns it"
        if not added else "backward ADDS its gradient into the argument",
    )  # fmt: skip


def _is_added(target: Target) -> bool:
    return target.protocol.grad_input == "added"


def _stale(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    session = target.open(question.gamma, question.beta, len(question.x))
    session.forward(question.x[::-1] * 1.5)
    session.forward(question.x)
    given = session.backward(question.delta)
    yield Finding(
        "second batch",
        _equal(given.grad_input, base),
        "after two forwards, backward belongs to the second",
    )


def _awkward(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    name, words = "awkward input", "a read-only, non-contiguous batch gives the same"
    wide = np.zeros((*question.x.shape[:-1], 2 * question.x.shape[-1]), question.x.dtype)
    view = wide[..., ::2]
    view[...] = question.x
    view.flags.writeable = False
    session = target.open(question.gamma, question.beta, len(question.x))
    try:
        session.forward(view, copied=False)
        given = session.backward(question.delta)
    except TargetFailure as failure:
        yield Finding(
            name,
            passed=False,
            message=f"a read-only, non-contiguous batch fails: {failure.message}",
        )
    else:
        scale = float(np.abs(base[np.isfinite(base)]).max(initial=0.0))
        near = _like(given.grad_input, base) and np.allclose(
            given.grad_input, base, rtol=1e-4, atol=1e-4 * scale, equal_nan=True
        )
        yield Finding(name, bool(near), words)


def _update(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    """Whether update() goes down along the gradients."""
    del base
    session = target.open(question.gamma, question.beta, len(question.x))
    layer = session.layer
    if not callable(getattr(layer, "update", None)):
        return
    session.forward(question.x)
    given = session.backward(question.delta)
    pairs = (
        (attribute_of(layer, "gamma", target.protocol.gamma), given.grad_gamma),
        (attribute_of(layer, "beta", target.protocol.beta), given.grad_beta),
    )
    before = [_copied(getattr(layer, name, None)) for name, _ in pairs]
    gradients = [_copied(gradient) for _, gradient in pairs]
    try:
        target.call("update", layer.update)
    except TargetFailure as failure:
        yield Finding("update", None, f"update() was not checked: {failure.message}")
        return
    for (name, _), old, gradient in zip(pairs, before, gradients, strict=True):
        new = getattr(layer, name, None)
        if old is None or gradient is None or not _like(new, old) or not _like(gradient, old):
            yield Finding("update", None, f"update() was not checked: no {name or 'parameter'}")
            continue
        yield _descent(name, np.asarray(new) - old, gradient)


def _descent(name: str, step: Array, gradient: Array) -> Finding:
    size = float((gradient.astype(np.float64) ** 2).sum())
    rate = -float((step * gradient).sum()) / size if size else 0.0
    along = bool(np.allclose(step, -rate * gradient, rtol=1e-3, atol=1e-3 * np.abs(step).max()))
    if along and rate > 0:
        return Finding(
            f"update {name}", passed=True, message=f"update() takes {rate:.3g} of the gradient off"
        )
    if along and rate < 0:
        words = f"update() ADDS {-rate:.3g} of the gradient to {name}: it climbs"
    elif not step.any():
        words = f"update() leaves {name} as it is"
    else:
        words = f"update() moves {name} in another direction than its gradient"
    return Finding(f"update {name}", passed=False, message=words)


def _copied(value: Any) -> Array | None:
    return value.copy() if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None


def _like(value: Any, base: Array) -> bool:
    return isinstance(value, np.ndarray) and value.shape == base.shape and value.dtype.kind in "fiu"


def _equal(value: Any, base: Array) -> bool:
    return _like(value, base) and bool(np.array_equal(value, base, equal_nan=True))


def _all_equal(first: Gradients, second: Gradients, base: Array) -> bool:
    del base
    pairs = zip(_values(first), _values(second), strict=True)
    return all(a is None or (isinstance(b, np.ndarray) and np.array_equal(a, b)) for a, b in pairs)


def _values(gradients: Gradients) -> tuple[Any, Any, Any]:
    return gradients.grad_input, gradients.grad_gamma, gradients.grad_beta
