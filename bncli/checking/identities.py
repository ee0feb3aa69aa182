"""What every right layer does, asked without any numerical derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bncli.checking.forward import ForwardModel
from bncli.checking.gradients import ADDED, MOVED, RETURNED
from bncli.checking.places import as_array
from bncli.checking.question import Array, Question
from bncli.checking.session import Session, Target
from bncli.checking.target import TargetFailure

Backward = Callable[[Question], Array]
"""The gradient of the input at a question, by a new layer."""

Answers = Iterator[tuple[str, bool | None, str, bool]]
"""What a :class:`Finding` is made of."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one small question.

    Attributes:
        name: of the question.
        passed: the answer; None where it could not be asked.
        message: what it means.
        decides: whether every right backward has it, so that the check fails without.
    """

    name: str
    passed: bool | None
    message: str
    decides: bool = False


def identities(asked: Properties) -> Iterator[Finding]:
    """Ask all of them: eight backwards beside the one that there is."""
    yield from asked.sums()
    for name, message, holds in asked.questions():
        try:
            yield Finding(name, holds(), message, decides=True)
        except TargetFailure as failure:
            yield Finding(name, None, failure.message)


@dataclass(frozen=True, slots=True)
class Properties:
    """What holds of every right backward of a forward that is a normalization.

    Attributes:
        backward: the target's.
        q: the question, a probe.
        base: the gradient there.
        tolerance: relative.
        model: of the forward.
        crop: cuts a question down to a part of its groups.
    """

    backward: Backward
    q: Question
    base: Array
    tolerance: float
    model: ForwardModel
    crop: Callable[[Question, tuple[slice, ...]], Question]

    @property
    def left(self) -> float:
        """What is left though all is right, since eps is not scaled along."""
        return self.q.eps / float(self.q.variance[self.q.usual].min(initial=1.0))

    def questions(self) -> Iterator[tuple[str, str, Callable[[], bool]]]:
        """Name, what it says, and whether it holds."""
        q, base, tolerance = self.q, self.base, self.tolerance
        order = np.roll(np.arange(len(q.x)), 2)
        turned = replace(q, x=q.x[order], delta=q.delta[order])
        second = q.delta[::-1] * 0.5 + 0.25
        yield (
            "permutation", "pictures in another order give gradients in that order",
            lambda: self.holds(turned, base[order]),
        )  # fmt: skip
        yield (
            "shift", "a constant added to the pictures changes nothing",
            lambda: self.holds(replace(q, x=q.x + 0.5), base, 1e2 * tolerance),
        )  # fmt: skip
        slack = max(tolerance, 1e-7, 1e-2 * self.left)
        yield (
            "scale", "pictures twice as bright give half the gradient",
            lambda: self.holds(replace(q, x=2 * q.x), base, slack, times=2),
        )  # fmt: skip
        yield (
            "linearity", "the gradient is linear in delta",
            lambda: self.holds(
                replace(q, delta=2 * q.delta + second),
                2 * base + self.backward(replace(q, delta=second)),
            ),
        )  # fmt: skip
        part = _part(q)
        if part:
            yield (
                "crop", "the gradient of a crop is the crop of the gradient",
                lambda: self.holds(self.crop(q, part), base[part]),
            )  # fmt: skip
        if "gamma" in q.parameters:
            doubled = {**q.parameters, "gamma": 2 * q.parameters["gamma"]}
            yield (
                "gamma", "twice gamma gives twice the gradient",
                lambda: self.holds(replace(q, parameters=doubled), 2 * base),
            )  # fmt: skip
        yield "null", "a delta of a + b * x_norm gives 0", self._gives_nothing

    def holds(
        self, other: Question, expected: Array, slack: float | None = None, times: int = 1
    ) -> bool:
        """Whether the gradient at another question is what is expected."""
        q, part = self.q, _part(self.q) if other.x.shape != self.q.x.shape else ()
        slack = self.tolerance if slack is None else slack
        given = times * self.backward(other)
        # Of two values that are normalized together, the gradient is nearly 0.
        largest = np.maximum(np.maximum(np.abs(given), np.abs(expected)), self._size(q.delta)[part])
        scale = largest.max(axis=q.axes, keepdims=True) + 1e-300
        error = np.abs(given - expected).max(axis=q.axes, keepdims=True) / scale
        return bool((error <= 1e3 * slack)[q.usual[part]].all())

    def _size(self, delta: Array) -> Array:
        """How large the gradient may be with a gamma of 1, (batch, w, h, c)."""
        slope = self.model.slope(self.q, None)
        assert slope is not None  # noqa: S101 - the forward is a normalization
        largest = np.abs(delta).max(axis=self.q.axes, keepdims=True)
        return np.broadcast_to(slope * largest, delta.shape)

    def _gives_nothing(self) -> bool:
        q = self.q
        null = q.delta.mean(axis=q.axes, keepdims=True) + 1.5 * _x_norm(q, self.model)
        # A gamma that differs among values that are normalized together is another delta.
        ones = {r: np.ones_like(v) for r, v in q.parameters.items() if r == "gamma"}
        asked = replace(q, delta=null, parameters={**q.parameters, **ones})
        slack = 1e3 * (self.tolerance + self.left)
        small = np.abs(self.backward(asked)) <= slack * self._size(null)
        return bool(small[np.broadcast_to(q.usual, q.x.shape)].all())

    def sums(self) -> Iterator[Finding]:
        """Of the gradients, and of their products with x_norm."""
        return _sums(self.q, self.base, self.tolerance, self.model)


def _part(q: Question) -> tuple[slice, ...]:
    """Fewer groups of the same kind; nothing where there is but one."""
    kept = [axis for axis in (1, 2, 0) if axis not in q.axes and q.x.shape[axis] > 1]
    if not kept:
        return ()
    cut = {axis: max(1, q.x.shape[axis] - 1 - number) for number, axis in enumerate(kept)}
    return tuple(slice(0, cut.get(axis, q.x.shape[axis])) for axis in range(4))


def _x_norm(q: Question, model: ForwardModel) -> Array:
    """0 where forward divides by 0."""
    inv_std = model.inv_std(q)
    x_norm: Array = (q.x - model.mean(q.x)) * np.where(np.isfinite(inv_std), inv_std, 0.0)
    return x_norm


def _sums(q: Question, base: Array, tolerance: float, model: ForwardModel) -> Iterator[Finding]:
    x_norm = _x_norm(q, model)
    over = 1e3 * (tolerance + q.eps / np.where(q.usual, q.variance + q.eps, 1.0))
    for name, values, words in (
        ("sum", base, "gradients"),
        ("sum with x_norm", base * x_norm, "products of gradients and x_norm"),
    ):
        size = np.abs(values).sum(axis=q.axes, keepdims=True)
        passed = np.abs(values.sum(axis=q.axes, keepdims=True)) <= over * size
        message = f"{words} add up to 0 in each group that is normalized together"
        yield Finding(name, bool(passed[q.usual].all()), message)


def habits(target: Target, question: Question, base: Array) -> Iterator[Finding]:
    """Look at a layer's habits, in five forwards.

    Args:
        target: the layer.
        question: a probe.
        base: its grad_input there.
    """
    for ask in (_again, _stale, _awkward, _update):
        try:
            session = target.open(question.parameters, question.shape)
            for answer in ask(session, target, question, base):
                yield Finding(*answer)
        except TargetFailure as failure:
            yield Finding(ask.__name__.strip("_"), None, failure.message)


def _again(session: Session, target: Target, question: Question, base: Array) -> Answers:
    """The same again in a new layer, with eyes on the arguments; then backward once more."""
    x = question.x.copy()
    session.forward(x, copied=False)
    yield "input kept", np.array_equal(x, question.x), "forward leaves its input as it was", False
    first = session.backward(question.delta)
    same = _like(first.grad_input, base, 0.0)
    yield "deterministic", same, "the same question gets the same answer", False
    values = {name: _copied(value) for name, value in first.values.items()}
    returned = target.ways["grad_input"][0] == RETURNED and target.delta == "argument"
    try:
        second = session.backward(question.delta)
    except TargetFailure as failure:
        yield "backward twice", False, f"a second backward fails: {failure.message}", False
        return
    same = _equal(second.grad_input, values["grad_input"])
    moved = any(path[0] == MOVED for path in target.ways.values())
    words = "a second backward gives the same gradient of the input"
    # A layer may let go of what it has kept; what it may not is to add up what it returns.
    doubled = returned and not moved and _like(second.grad_input, 2 * base, 1e-6)
    yield "backward twice", same, words, doubled
    added = [
        name for name, value in values.items()
        if name != "grad_input" and value is not None and not _equal(second.values[name], value)
    ]  # fmt: skip
    if added:
        yield "accumulates", False, f"a second backward changes {', '.join(added)}", False
    if target.ways["grad_input"][0] == ADDED:
        yield "overwrites", False, "backward ADDS its gradient into the argument", False
    else:
        words = "backward writes its gradient over the argument, or returns it"
        yield "overwrites", True, words, False


def _stale(session: Session, target: Target, question: Question, base: Array) -> Answers:
    output = session.forward(question.x[::-1] * 1.5, kept=True)
    before = output.copy()
    session.forward(question.x)
    untouched = np.array_equal(output, before, equal_nan=True)
    yield "first output", untouched, "a second forward leaves the first output as it was", True
    same = _like(session.backward(question.delta).grad_input, base, 1e-9)
    if any(path[0] == MOVED for path in target.ways.values()):
        again = target.open(question.parameters, question.shape, rate=0.1)
        again.forward(question.x)
        same_at_all = _like(again.backward(question.delta).grad_input, base, 1e-6)
        words = "the gradient of the input is that of the parameters before they are stepped"
        yield "learning rate", same_at_all, words, True
    stateful = any(parameter.late for parameter in target.parameters)
    words = "after two forwards, backward belongs to the second"
    yield "second batch", same, words, not stateful


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
        yield name, False, f"{words} fails: {failure.message}", False
        return
    yield name, _like(given, base, 1e-4), f"{words} gives the same", False


def _update(session: Session, target: Target, question: Question, _base: Array) -> Answers:
    """Whether update() goes down along the gradients."""
    update = getattr(session.layer.thing, "update", None)
    if not callable(update):
        return
    session.forward(question.x)
    given = session.backward(question.delta)
    before = {p.role: _copied(as_array(session.layer.value(p.path))) for p in target.parameters}
    gradients = {role: _copied(given.values.get(f"grad_{role}")) for role in before}
    try:
        target.call("update", update)
    except TargetFailure as failure:
        yield "update", None, f"update() was not checked: {failure.message}", False
        return
    for parameter in target.parameters:
        old, gradient = before[parameter.role], gradients[parameter.role]
        new = as_array(session.layer.value(parameter.path))
        name = str(parameter.path[-1])
        if old is None or gradient is None or new is None or new.shape != old.shape:
            yield "update", None, f"update() was not checked: no {name}", False
        else:
            yield f"update {name}", *_descent(name, new - old, gradient.reshape(old.shape)), False


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


def _like(value: Any, base: Array, tolerance: float) -> bool:
    if not isinstance(value, np.ndarray) or value.shape != base.shape:
        return False
    scale = float(np.abs(base[np.isfinite(base)]).max(initial=0.0))
    loose = max(tolerance, 16 * float(np.finfo(base.dtype).eps) if base.dtype.kind == "f" else 0.0)
    return bool(np.allclose(value, base, rtol=loose, atol=loose * scale, equal_nan=True))


def _equal(value: Any, base: Any) -> bool:
    if not (isinstance(value, np.ndarray) and isinstance(base, np.ndarray)):
        return value is base
    return bool(np.array_equal(value, base, equal_nan=True))
