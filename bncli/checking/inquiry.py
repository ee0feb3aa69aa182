"""All that is asked of a target in one layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bncli.checking.arguments import EPS
from bncli.checking.battery import LAST, Sizes, ask, battery, second_shapes
from bncli.checking.diagnosis import Diagnosis, diagnose
from bncli.checking.forward import ForwardModel, recognise
from bncli.checking.identities import Finding, Properties, habits, identities
from bncli.checking.measure import Measured, measure, run_backward
from bncli.checking.oracle import structure_of
from bncli.checking.question import PIXEL, PROBE_SHAPE, Array, Question, Request, vacuous
from bncli.checking.session import Target
from bncli.checking.target import TargetFailure
from bncli.checking.terms import Evidence
from bncli.checking.understand import Trial

Tick = Callable[[], None]
_LAST_AXIS = 7
_MODEL = {"float64": 1e-6, "float32": 5e-3}


@dataclass(slots=True)
class Inquiry:
    """What one layout has brought to light.

    Attributes:
        trial: the layout, and the target in it.
        request: of the user's.
        tick: is called after every forward.
        shape: of the probe.
        eps: what the layer adds to the variance, as far as it is known.
        axes: of (batch, w, h, c), over which it reduces.
        model: what the forward was recognised as.
        asked: every question measured, that of the user, or of the probe, first.
        findings: of properties and habits.
        notes, warnings: in sentences.
    """

    trial: Trial
    request: Request
    tick: Tick
    shape: Sizes = PROBE_SHAPE
    eps: float = EPS
    axes: tuple[int, ...] = PIXEL
    model: ForwardModel = field(default_factory=ForwardModel)
    asked: list[Measured] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """In its layout."""
        assert self.trial.target is not None  # noqa: S101 - only such trials are asked
        return self.trial.target

    @property
    def failed(self) -> Measured | None:
        """The first question at which a gradient is wrong."""
        return next((found for found in self.asked if found.failed), None)

    @property
    def problem(self) -> str:
        """Why nothing can be said; empty if something can."""
        return next((m.derivatives.problem for m in self.asked if m.derivatives.problem), "")

    def run(self, x: Array | None, delta: Array | None) -> None:
        """Ask everything.

        Args:
            x: a batch of the user's, (batch, w, h, c); None is a probe.
            delta: of the user's; None is random.

        Raises:
            TargetFailure: the target's code failed where it had worked before.
        """
        request, target = self.request, self.target
        self.eps = request.eps or target.maker.eps() or EPS
        self._look_at_forward()
        probe = self._at(self.shape)
        main = probe
        if x is not None:
            main = ask(target, x.shape, request.seed, self.eps, self.axes, x=x)
        elif request.shape is not None:
            main = self._at(request.shape)  # type: ignore[arg-type]
        if delta is not None:
            main = replace(main, delta=delta)
        reasons = vacuous(main)
        if reasons:
            self.warnings += [f"this question proves nothing: {reason}" for reason in reasons]
            self.warnings.append("another question was asked beside it, and decides")
            main = probe
        self._measure(main)
        self._ask_more(probe, main)
        self.findings = tuple(self._findings(probe))

    def _at(self, shape: Sizes, variances: tuple[float, ...] = (0.0, 1.0, 100.0)) -> Question:
        return ask(self.target, shape, self.request.seed, self.eps, self.axes, variances=variances)

    def _function(self, question: Question) -> Callable[[Array], Array]:
        return partial(_forward, self.target, question)

    def _look_at_forward(self) -> None:
        self.shape = shape = self.trial.shape
        seed = self.request.seed
        x = np.random.default_rng((seed, 5)).standard_normal(shape)
        plain = ask(self.target, shape, seed, self.eps, PIXEL, x=x)
        base = self._function(plain)(plain.x)
        self.axes = structure_of(self._function(plain), plain.x, base)
        if self.axes == (LAST,) and not self.target.maker.fixed and shape[LAST] < _LAST_AXIS:
            # Of two channels normalized together, there is no gradient but for eps.
            batch, width, height, _ = shape
            self.shape = (batch, width, height, _LAST_AXIS)
        # Where forward divides by 0, it is asked without groups of variance 0.
        for variances in ((0.0, 1.0, 100.0), (1.0, 100.0)):
            question = self._at(self.shape, variances)
            output = self._function(question)(question.x)
            wide = self.target.wide(question.parameters, self.shape)
            tolerance = _MODEL["float64" if output.dtype == np.float64 else "float32"]
            self.model = recognise(question, wide, output, tolerance)
            if np.isfinite(output).all():
                break
        if self.request.eps is None and self.model.eps:
            self.eps = self.model.eps

    def _measure(self, question: Question) -> Measured:
        found = measure(self.target, question, self.request, self.model, self.tick)
        self.asked.append(found)
        return found

    def _ask_more(self, probe: Question, main: Question) -> None:
        if main is not probe and not self.failed:
            self._measure(probe)
        try:
            for question in battery(
                self.target, self.shape, self.request.seed, self.eps, self.axes
            ):
                if self.failed:
                    return
                self._measure(question)
        except TargetFailure as failure:
            if failure.ended:
                raise
            self.notes.append(f"not asked at every shape: {failure.message}")

    def _findings(self, probe: Question) -> Iterator[Finding]:
        dtype = self.request.dtype
        if self.problem:
            return
        try:
            _, given = run_backward(self.target, probe.to(dtype))
        except TargetFailure as failure:
            self.notes.append(f"the small probe could not be asked: {failure.message}")
            return
        base = given.grad_input
        if not isinstance(base, np.ndarray):
            return
        noise = float(np.median(self.asked[0].derivatives.noise.get("grad_input", 0.0)))
        kinds = [np.dtype(dtype), self.asked[0].base.dtype]
        kinds += [base.dtype] if base.dtype.kind == "f" else []
        precision = max(float(np.finfo(kind).eps) for kind in kinds)
        judged = self.asked[0].quantities.get("grad_input")
        if judged is not None and judged.passed:
            # What was let pass of its values is let pass of its properties.
            precision = max(precision, judged.max_rel_error or 0.0)
        tolerance = max(100 * precision, 1e-3 * noise, self.request.tolerance or 0.0)
        asked_with = probe if self.model.eps is None else replace(probe, eps=self.model.eps)
        backward = partial(_input_gradient, self.target, dtype)
        if self.model.axes is not None:
            properties = Properties(
                backward, asked_with, base.astype(np.float64), tolerance, self.model, self._cropped
            )
            yield from identities(properties)
        yield from habits(self.target, probe.to(dtype), base)

    def _cropped(self, question: Question, part: tuple[slice, ...]) -> Question:
        """A question to a layer for fewer groups."""
        x = question.x[part]
        wide = self.target.wide(question.parameters, question.shape)
        cut = {
            role: w[tuple(slice(None) if n == 1 else s for n, s in zip(w.shape, part, strict=True))]
            for role, w in wide.items()
        }
        parameters = self.target.narrow(cut, x.shape)
        return replace(question, x=x, delta=question.delta[part], parameters=parameters)

    @property
    def broken(self) -> Finding | None:
        """A property of every right gradient of the input, if asked for, that does not hold."""
        if self.request.only and "grad_input" not in self.request.only:
            return None
        return next((f for f in self.findings if f.decides and f.passed is False), None)

    def diagnoses(self, found: Measured) -> list[Diagnosis]:
        """What is wrong, of each gradient that is."""
        return [
            diagnose(name, quantity, self.model, self._evidence, self.request.dtype).at(
                found.question.shape, self.model.size(found.question.shape)
            )
            for name, quantity in found.quantities.items()
            if quantity is not None and not quantity.passed
        ]

    def _evidence(self) -> list[Evidence]:
        """The gradients at probes of two shapes.

        Raises:
            TargetFailure: there are none.
        """
        found = [self._evidence_at(self.shape)]
        failure: TargetFailure | None = None
        for shape in second_shapes(self.shape):
            try:
                return [*found, self._evidence_at(shape)]
            except TargetFailure as error:
                if error.ended:
                    raise
                failure = error
        raise failure or TargetFailure("the probe could not be asked")

    def _evidence_at(self, shape: Sizes) -> Evidence:
        question = self._at(shape)
        _, given = run_backward(self.target, question.to(self.request.dtype))
        grad_input = given.grad_input
        if not isinstance(grad_input, np.ndarray):
            raise TargetFailure(grad_input or "backward gave no gradient of the input")
        arrays = {
            name.removeprefix("grad_"): value
            for name, value in given.values.items()
            if isinstance(value, np.ndarray) and name != "grad_input"
        }
        return Evidence(
            question, self.target.wide(question.parameters, shape), self.model,
            grad_input.astype(np.float64), self.target.wide(arrays, shape),
        )  # fmt: skip


def _forward(target: Target, question: Question, x: Array) -> Array:
    return target.open(question.parameters, x.shape).forward(x)


def _input_gradient(target: Target, dtype: str, question: Question) -> Array:
    _, given = run_backward(target, question.to(dtype))
    if not isinstance(given.grad_input, np.ndarray):
        raise TargetFailure("backward gave no gradient of the input")
    return given.grad_input.astype(np.float64)
