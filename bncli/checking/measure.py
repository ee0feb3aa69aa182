"""One question put to a target, and its three gradients judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bncli.checking.compare import Allowed, Quantity, compare, unusable
from bncli.checking.derive import derive, hopeless, rounding_noise
from bncli.checking.forward import ForwardModel
from bncli.checking.gradients import Gradients, numbers_or_reason
from bncli.checking.oracle import QUANTITIES, Asked, Derivatives, Leaks, scan
from bncli.checking.protocol import is_named
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE, Array, Question, Request, probe
from bncli.checking.session import Target
from bncli.checking.target import TargetFailure
from bncli.checking.terms import Evidence

_BACKWARD_SLACK = 4


@dataclass(slots=True)
class Measured:
    """What one question brought to light.

    Attributes:
        base: the output at it, in the precision of the oracles.
        quantities: the verdicts.
        leaks: between pixels.
        derivatives: what the gradients were held against.
        given: the gradients, as they came.
        notes: remarks.
    """

    base: Array
    quantities: dict[str, Quantity | None]
    leaks: Leaks
    derivatives: Derivatives
    given: Gradients
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a gradient is wrong."""
        return any(q is not None and not q.passed for q in self.quantities.values())


def run_backward(target: Target, question: Question) -> tuple[Array, Gradients]:
    """Output and gradients of a new layer at a question, in the question's precision."""
    session = target.open(question.gamma, question.beta, len(question.x))
    output = session.forward(question.x)
    return output, session.backward(question.delta)


def measure(
    target: Target, question: Question, request: Request, tick: Callable[[], None]
) -> Measured:
    """Put one question to a target.

    Args:
        target: the layer.
        question: at which its gradients are judged.
        request: the precision the backward is asked in, the seed and the tolerance.
        tick: is called after every forward.

    Raises:
        TargetFailure: its code failed.
    """
    asked_in = question.to(request.dtype)
    output, given = run_backward(target, asked_in)
    tick()

    def function(x: Array, gamma: Array, beta: Array) -> Array:
        output = target.open(gamma, beta, len(x)).forward(x)
        tick()
        return output

    # The oracles ask in double precision, where rounding hides least, of a layer that can do it.
    exact = question if request.dtype == "float64" else asked_in.to(np.float64)
    base = output if request.dtype == "float64" else function(exact.x, exact.gamma, exact.beta)
    if base.dtype.kind == "f" and base.dtype.itemsize < 8:  # noqa: PLR2004 - double precision
        exact = exact.to(np.float32)
        base = function(exact.x, exact.gamma, exact.beta)

    leaks = Leaks()
    if base.dtype.kind == "f" and np.isfinite(base).all():
        leaks = scan(lambda x: function(x, exact.gamma, exact.beta), exact, base)
    if leaks.victims and not np.array_equal(function(exact.x, exact.gamma, exact.beta), base):
        problem = "forward gives other numbers each time it is asked the same"
        return Measured(base, {}, Leaks(), hopeless(exact, problem), given)
    at = {name: getattr(target.protocol, name) for name in QUANTITIES[1:]}
    wanted = ("grad_input", *(name for name in at if is_named(at[name])))
    derivatives = derive(Asked(function, exact, wanted, base, leaks, request.seed))
    measured = Measured(base, {}, leaks, derivatives, given)
    if not derivatives.problem:
        _judge(measured, request, exact, wanted)
    return measured


def _judge(measured: Measured, request: Request, exact: Question, wanted: tuple[str, ...]) -> None:
    precision = np.result_type(np.float32 if request.dtype == "float32" else measured.base.dtype)
    rounding = _BACKWARD_SLACK * rounding_noise(exact, precision)
    derivatives = measured.derivatives
    for name in QUANTITIES:
        if name not in wanted:
            measured.quantities[name] = None
            continue
        numeric = derivatives.values[name]
        raw = getattr(measured.given, name)
        array, problem = numbers_or_reason(raw, numeric.shape, name)
        if array is None:
            measured.quantities[name] = unusable(problem, numeric.size)
            continue
        if array.dtype.kind != "f":
            measured.notes.append(f"{name} holds {array.dtype}: it is cut to whole numbers")
        tolerance = derivatives.noise[name] + rounding
        if request.tolerance is not None:
            tolerance = np.full_like(tolerance, request.tolerance)
        allowed = Allowed(derivatives.scales[name], tolerance, derivatives.skipped)
        measured.quantities[name] = compare(array, numeric, allowed)
    skipped = int(derivatives.skipped.sum())
    if skipped:
        measured.notes.append(
            f"forward has a kink at {skipped} of {derivatives.skipped.size} pixels; they were left "
            "out: non-differentiable, not wrong"
        )


def input_gradient(target: Target, question: Question, dtype: str) -> Array:
    """grad_input at a question, as float64.

    Raises:
        TargetFailure: the target's code failed, or gave no array of the right shape.
    """
    _, given = run_backward(target, question.to(dtype))
    array, _ = numbers_or_reason(given.grad_input, question.x.shape, "grad_input")
    if array is None:
        raise TargetFailure("backward gave no gradient of the input")
    return array.astype(np.float64)


def witnesses(target: Target, model: ForwardModel, seed: int, eps: float, dtype: str,
              *, parameters: bool) -> list[Evidence]:  # fmt: skip
    """Put a probe of each of two shapes to a target.

    Raises:
        TargetFailure: its code failed, or gave no gradient.
    """
    found = []
    for shape in (PROBE_SHAPE, SECOND_SHAPE):
        question = probe(shape, seed, eps)
        if not parameters:
            question = question.without_parameters()
        _, given = run_backward(target, question.to(dtype))
        array, problem = numbers_or_reason(given.grad_input, question.x.shape, "grad_input")
        if array is None:
            raise TargetFailure(problem)
        found.append(Evidence(question, model, array.astype(np.float64), given))
    return found
