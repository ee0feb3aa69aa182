"""The gradient check as a function: :func:`gradcheck`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bncli.batchnorm.layer import BatchNorm
from bncli.checking.diagnosis import diagnose
from bncli.checking.forward import ForwardModel, recognise
from bncli.checking.gradients import Gradients, numbers_or_reason
from bncli.checking.identities import Finding, habits, identities
from bncli.checking.makers import ClassMaker
from bncli.checking.measure import (
    Measured,
    input_gradient,
    measure,
    run_backward,
    witnesses,
)
from bncli.checking.oracle import QUANTITIES, scan
from bncli.checking.parameters import has_parameters, own_eps
from bncli.checking.protocol import LayerProtocol, said
from bncli.checking.question import (
    LEAST_BATCH,
    PROBE_SHAPE,
    Array,
    Question,
    Request,
    checked_batch,
    cost_in_forwards,
    draw_delta,
    draw_parameters,
    probe,
    vacuous,
)
from bncli.checking.report import GradcheckReport
from bncli.checking.session import Target, find_out
from bncli.checking.target import Announce, Caller, TargetFailure, announce_nothing, load_target

_EPS = 1e-8
_OWN = LayerProtocol(
    gamma="scales", beta="bias", eps="eps", input_shape="none", layout="image", delta="attribute",
    grad_input="returned", grad_gamma="scales_updates", grad_beta="bias_updates",
)  # fmt: skip
Progress = Callable[[str, int, int], None]


def gradcheck(
    target: Any = None,
    x: ArrayLike | None = None,
    delta: ArrayLike | None = None,
    *,
    shape: tuple[int, int, int, int] | None = None,
    eps: float | None = None,
    dtype: str = "float64",
    seed: int = 0,
    tolerance: float | None = None,
    protocol: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    announce: Announce = announce_nothing,
) -> GradcheckReport:
    """Check the backward pass of a layer against the numerical derivative of its own forward.

    Runs the target's code in this process.

    Args:
        target: a class with forward and backward, a layer, a pair ``(forward, backward)``, a
            torch.nn.Module or autograd.Function, or a string ``module:Class``,
            ``file.py:Class``, ``file.py:forward,backward``. None is bncli's own layer.
        x: the batch, (batch, w, h, c), at least two pictures, finite; None is a random probe with
            pixels of variance 0, eps and 100 eps.
        delta: of the shape of *x*; None is standard normal.
        shape: of the probe, where there is no *x*.
        eps: to make the layer with; None is 1e-8, or the layer's own if it says so.
        dtype: ``float64`` or ``float32``: the precision the backward is asked in.
        seed: of everything random, >= 0.
        tolerance: relative error allowed; None derives it from rounding, for each pixel.
        protocol: what cannot be found out about the layer, by the keys of the report.
        arguments: further arguments of its constructor or forward.
        progress: is told a stage, and how many of how many steps are done.
        announce: is told what the target's code is about to do.

    Returns:
        The report; true if the backward is right. Its text is what one wants to read.

    Raises:
        TargetError: the target cannot be loaded, made or understood.
        OptionError, ShapeError, NonFiniteError: of the other arguments.

    Examples:
        >>> from bncli import BatchNorm, gradcheck
        >>> report = gradcheck(BatchNorm)
        >>> report.passed, report.quantities["grad_input"].checked
        (True, 120)
    """
    request = Request(shape, eps, dtype, seed, tolerance, protocol or {}, arguments or {})
    batch = None if x is None else checked_batch(x, "x", None)
    deltas = None
    if delta is not None:
        wanted = batch.shape if batch is not None else request.shape or PROBE_SHAPE
        deltas = checked_batch(delta, "delta", wanted)
    call = Caller(announce)
    return Examination(request, call, progress).run(target, batch, deltas)


class Examination:
    """One run of a check."""

    def __init__(self, request: Request, call: Caller, progress: Progress | None) -> None:
        self._request, self._call = request, call
        self._progress = progress
        self._done = self._total = 0
        self._warnings: list[str] = []
        self._notes: list[str] = []

    def run(self, target: Any, x: Array | None, delta: Array | None) -> GradcheckReport:
        """The whole check."""
        report = GradcheckReport(str(target), dtype=self._request.dtype, seed=self._request.seed)
        report.quantities = dict.fromkeys(QUANTITIES)
        try:
            known = self._understand(target)
            report.target, report.protocol = known.name, known.protocol.described()
            self._examine(known, x, delta, report)
        except TargetFailure as failure:
            report.status, report.reason = "inconclusive", failure.message
            report.trace = failure.trace
        report.warnings, report.notes = tuple(self._warnings), tuple(self._notes)
        report.forwards = self._call.counts.get("forward", 0)
        report.calls = dict(self._call.counts)
        return report

    def _understand(self, target: Any) -> Target:
        request = self._request
        eps = _EPS if request.eps is None else request.eps
        if target is None or target is BatchNorm:
            return Target(ClassMaker(BatchNorm, _OWN, self._call), _OWN, self._call, eps)
        thing = load_target(target, self._call) if isinstance(target, str) else target
        protocol = said(request.protocol, request.arguments)
        return find_out(thing, protocol, self._call, request.eps)

    def _examine(
        self, target: Target, x: Array | None, delta: Array | None, report: GradcheckReport
    ) -> None:
        request = self._request
        session = target.open(*draw_parameters(PROBE_SHAPE[1:], 0), PROBE_SHAPE[0])
        eps = request.eps or own_eps(session.layer) or _EPS
        parameters = has_parameters(session.layer, target.protocol)
        if request.eps is None and target.protocol.eps not in {"", "none"}:
            target.eps = eps
        small = probe(PROBE_SHAPE, request.seed, eps)
        main = small
        if x is not None:
            gamma, beta = draw_parameters(x.shape[1:], request.seed)
            main = Question(x, gamma, beta, draw_delta(x.shape, request.seed), eps)
        elif request.shape is not None:
            main = probe(request.shape, request.seed, eps)  # type: ignore[arg-type]
        if not parameters:
            main, small = main.without_parameters(), small.without_parameters()
        report.shape, report.eps = main.shape, eps
        found = self._rounds(target, main, small, delta)
        self._write(report, found)
        if found.derivatives.problem:
            return
        self._second_verdict(target, small, found, report, parameters=parameters)

    def _rounds(
        self, target: Target, main: Question, small: Question, delta: Array | None
    ) -> Measured:
        """Ask what the user asks, and beside a vacuous question one of our own."""
        questions = [main] if delta is None else [replace(main, delta=delta)]
        empty = vacuous(questions[0])
        for reason in empty:
            self._warnings.append(f"this question proves nothing: {reason}")
        if empty:
            self._warnings.append("another question was asked beside it, and decides")
            own = small if len(main.x) < LEAST_BATCH else main
            questions.append(own)
        self._total = sum(cost_in_forwards(q.shape) for q in questions)
        for question in questions:
            found = measure(target, question, self._request, self._tick)
            if found.failed:
                break
        return found

    def _tick(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress("check", min(self._done, self._total), self._total)

    def _write(self, report: GradcheckReport, found: Measured) -> None:
        derivatives = found.derivatives
        self._notes += [*derivatives.notes, *found.notes]
        report.method = derivatives.method
        report.quantities |= found.quantities
        report.leaks = {
            "victims": found.leaks.victims,
            "pairs": [list(pair) for pair in found.leaks.pairs],
        }
        if derivatives.problem:
            report.status, report.reason = "inconclusive", derivatives.problem
            return
        report.status = "fail" if found.failed else "pass"
        numeric = derivatives.values["grad_input"]
        array, _ = numbers_or_reason(found.given.grad_input, numeric.shape, "grad_input")
        if array is not None:
            analytic = array.astype(np.float64)
            report.maps = {
                "analytic": analytic, "numeric": numeric, "difference": analytic - numeric,
            }  # fmt: skip

    def _second_verdict(
        self, target: Target, small: Question, found: Measured, report: GradcheckReport,
        *, parameters: bool,
    ) -> None:  # fmt: skip
        """Conformance, identities, habits, and the diagnosis."""
        request = self._request
        try:
            output, given = run_backward(target, small.to(request.dtype))
        except TargetFailure as failure:
            self._notes.append(f"the small probe could not be asked: {failure.message}")
            model = ForwardModel(message="forward was not looked at", per_pixel=False)
        else:
            model = recognise(small, output, 1e-6 if output.dtype == np.float64 else 5e-3)
            if not model.standard:
                self._warnings.append(model.message)
            noise = float(np.median(found.derivatives.noise["grad_input"]))
            precision = max(float(np.finfo(kind).eps) for kind in (request.dtype, output.dtype))
            tolerance = max(100 * precision, 1e-3 * noise)
            report.findings = self._findings(target, small, model, given, tolerance)
            wrong = found.quantities["grad_input"]
            if wrong is not None and not wrong.passed and report.leaks is not None:
                report.leaks["backward"] = self._backward_leaks(target, small)
        report.conformance = dataclasses.asdict(model)
        diagnoses = []
        for name, quantity in found.quantities.items():
            if quantity is None or quantity.passed:
                continue
            ask = partial(
                witnesses, target, model, request.seed, small.eps, request.dtype,
                parameters=parameters or name != "grad_input",
            )  # fmt: skip
            diagnoses.append(diagnose(name, quantity, model, ask, request.dtype).at(report.shape))
        if diagnoses:
            report.diagnosis, report.other_diagnoses = diagnoses[0], tuple(diagnoses[1:])

    def _backward_leaks(self, target: Target, small: Question) -> int | None:
        """How many pixels' gradients depend on the delta of other pixels; None if none can tell."""

        def gradient(delta: Array) -> Array:
            return input_gradient(target, replace(small, delta=delta), self._request.dtype)

        try:
            asked = replace(small, x=small.delta)
            return scan(gradient, asked, gradient(small.delta)).victims
        except TargetFailure:
            return None

    def _findings(
        self, target: Target, small: Question, model: ForwardModel, given: Gradients,
        tolerance: float,
    ) -> tuple[Finding, ...]:  # fmt: skip
        dtype = self._request.dtype
        base, _ = numbers_or_reason(given.grad_input, small.x.shape, "grad_input")
        if base is None:
            return ()
        asked: list[Finding] = []
        if model.per_pixel:  # of other forwards, the identities need not hold
            asked_with = small if model.eps is None else replace(small, eps=model.eps)
            backward = partial(input_gradient, target, dtype=dtype)
            asked = list(identities(backward, asked_with, base.astype(np.float64), tolerance))
        return (*asked, *habits(target, small.to(dtype), base))
