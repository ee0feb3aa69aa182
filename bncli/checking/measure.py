"""One question put to a target, and its gradients judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bncli.checking.compare import Allowed, Quantity, compare, unusable
from bncli.checking.derive import derive, rounding_noise
from bncli.checking.directions import hold
from bncli.checking.forward import ForwardModel
from bncli.checking.gradients import Gradients
from bncli.checking.oracle import Asked, Derivatives
from bncli.checking.question import Array, Question, Request
from bncli.checking.session import Target

_BACKWARD_SLACK = 4


@dataclass(slots=True)
class Measured:
    """What one question brought to light.

    Attributes:
        question: what was asked.
        base: the output at it, in the precision of the oracles.
        quantities: the verdicts; of parameters in the axes (w, h, c).
        derivatives: what the gradients were held against.
        given: the gradients, as they came.
        forwards: how many it took.
        notes: remarks.
    """

    question: Question
    base: Array
    quantities: dict[str, Quantity | None]
    derivatives: Derivatives
    given: Gradients
    forwards: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a gradient is wrong."""
        return any(q is not None and not q.passed for q in self.quantities.values())

    def maps(self) -> dict[str, Array]:
        """Analytic, numeric and difference of grad_input, (batch, w, h, c); none without them."""
        numeric, given = self.derivatives.values.get("grad_input"), self.given.grad_input
        if numeric is None or not isinstance(given, np.ndarray):
            return {}
        analytic = given.astype(np.float64)
        return {"analytic": analytic, "numeric": numeric, "difference": analytic - numeric}


def run_backward(target: Target, question: Question) -> tuple[Array, Gradients]:
    """Output and gradients of a new layer at a question, in the question's precision."""
    session = target.open(question.parameters, question.shape)
    output = session.forward(question.x)
    return output, session.backward(question.delta)


def measure(
    target: Target, question: Question, request: Request, model: ForwardModel,
    tick: Callable[[], None],
) -> Measured:  # fmt: skip
    """Put one question to a target.

    Args:
        target: the layer.
        question: at which its gradients are judged.
        request: the precision the backward is asked in, the seed, the tolerance, and which
            gradients are asked for.
        model: of its forward.
        tick: is called after every forward.

    Raises:
        TargetFailure: its code failed.
    """
    began = target.call.counts.get("forward", 0)
    asked_in = question.to(request.dtype)
    output, given = run_backward(target, asked_in)
    tick()

    def function(x: Array, parameters: Mapping[str, Array]) -> Array:
        output = target.open(parameters, question.shape).forward(x)
        tick()
        return output

    # The oracles ask in double precision, where rounding hides least, of a layer that can do it.
    exact = question if request.dtype == "float64" else asked_in.to(np.float64)
    base = output if request.dtype == "float64" else function(exact.x, exact.parameters)
    if base.dtype.kind == "f" and base.dtype.itemsize < 8:  # noqa: PLR2004 - double precision
        exact = exact.to(np.float32)
        base = function(exact.x, exact.parameters)
    wanted = [n for n in target.ways if not request.only or n in request.only]
    numbers = {role: np.arange(value.size) for role, value in exact.parameters.items()}
    index = target.wide(numbers, question.shape)
    roles = tuple(n.removeprefix("grad_") for n in wanted if n != "grad_input")
    slope = model.slope(exact, target.wide(exact.parameters, question.shape).get("gamma"))
    asked = Asked(function, exact, roles, base, request.seed, index, slope)
    found = derive(asked)
    measured = Measured(exact, base, {}, found, given, notes=list(found.notes))
    if not found.problem:
        _judge(measured, asked, request, wanted)
    measured.forwards = target.call.counts.get("forward", 0) - began
    return measured


def _judge(measured: Measured, asked: Asked, request: Request, wanted: list[str]) -> None:
    derivatives = measured.derivatives
    for name in wanted:
        array = measured.given.values.get(name)
        if isinstance(array, np.ndarray):
            if array.dtype.kind != "f":
                measured.notes.append(f"{name} holds {array.dtype}: it is cut to whole numbers")
            rounding = _rounding(measured, request, array)
            judge = _of_input if name == "grad_input" else _of_parameter
            measured.quantities[name] = judge(name, array, rounding, derivatives, asked, request)
        else:
            total = derivatives.values[name].size
            measured.quantities[name] = unusable(array or f"{name} did not come", total)
    kinks = int(derivatives.skipped.sum())
    if kinks and np.isfinite(measured.base).all():
        measured.notes.append(
            f"forward has a kink in {kinks} of {derivatives.skipped.size} groups of values; they "
            "were left out: non-differentiable, not wrong"
        )


def _rounding(measured: Measured, request: Request, array: Array) -> Array:
    """Relative rounding error of a right backward, in the precision it was asked in, or gave."""
    precision = np.dtype(np.float32 if request.dtype == "float32" else measured.base.dtype)
    if array.dtype.kind == "f" and array.dtype.itemsize < precision.itemsize:
        precision = np.dtype(np.float32)
    return _BACKWARD_SLACK * rounding_noise(measured.question, precision)


def _of_input(
    name: str, array: Array, rounding: Array, found: Derivatives, asked: Asked, request: Request
) -> Quantity:
    tolerance = _tolerance(request, found.noise[name] + rounding)
    problem = ""
    if found.directions and not np.isnan(array).all():
        problem = hold(asked, found, array, tolerance)
    allowed = Allowed(found.scales[name], tolerance, found.skipped)
    quantity = compare(array, found.values[name], allowed)
    quantity = replace(quantity, directions=len(found.directions))
    if problem and quantity.passed:
        # No single value is far off: it is all of them together.
        return replace(quantity, passed=False, problem=problem)
    return quantity


def _of_parameter(
    name: str, array: Array, rounding: Array, found: Derivatives, asked: Asked, request: Request
) -> Quantity:
    """Of a parameter, compared in the axes (w, h, c)."""
    wide = asked.index.get(name.removeprefix("grad_"))
    if wide is None:  # in no axes of a picture: in a row
        parts = (array, found.values[name], found.noise[name], found.scales[name])
        given, numeric, noise, scale = (np.asarray(part).reshape(1, 1, -1) for part in parts)
        tolerance = _tolerance(request, noise + float(rounding.max()))
        return compare(given, numeric, Allowed(scale, tolerance, np.zeros_like(given, bool)))
    given, numeric, noise, scale = (
        np.asarray(a).reshape(-1)[wide][0]
        for a in (array, found.values[name], found.noise[name], found.scales[name])
    )
    tolerance = _tolerance(request, noise + _worst_of(rounding, wide))
    skipped = _worst_of(found.skipped & ~np.isfinite(asked.base), wide) > 0
    return compare(given, numeric, Allowed(scale, tolerance, skipped))


def _tolerance(request: Request, found: Array) -> Array:
    return found if request.tolerance is None else np.full_like(found, request.tolerance)


def _worst_of(values: Array, index: Array) -> Array:
    """The largest of those that belong to each value of a parameter, in the axes (w, h, c)."""
    shape = np.broadcast_shapes(values.shape, index.shape)
    reduced = tuple(axis for axis in range(len(shape)) if index.shape[axis] == 1)
    worst: Array = np.broadcast_to(values, shape).max(axis=reduced, keepdims=True)[0]
    return worst
