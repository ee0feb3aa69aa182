"""One run of a check: the target understood, asked in every layout it works in, and judged."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bncli.batchnorm.layer import BatchNorm
from bncli.checking.inquiry import Inquiry
from bncli.checking.layouts import LAYOUTS
from bncli.checking.loading import load_target
from bncli.checking.makers import ClassMaker
from bncli.checking.measure import Measured
from bncli.checking.parameters import Parameter
from bncli.checking.protocol import said
from bncli.checking.question import GRADIENTS, PROBE_SHAPE, Array, Request, checked_batch
from bncli.checking.report import GradcheckReport
from bncli.checking.session import Recipe, Target
from bncli.checking.target import Announce, Caller, TargetFailure, announce_nothing
from bncli.checking.understand import Trial, understand

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
    seeds: int = 1,
    tolerance: float | None = None,
    layout: str = "",
    only: Sequence[str] = (),
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
            values whose variance is 0, eps and 100 eps.
        delta: of the shape of *x*; None is standard normal.
        shape: of the probe, where there is no *x*.
        eps: to make the layer with; None is its own, or 1e-8 where it needs one.
        dtype: ``float64`` or ``float32``: the precision the backward is asked in.
        seed: of everything random, >= 0.
        seeds: how many seeds are asked, from *seed* on.
        tolerance: relative error allowed; None derives it from rounding, for each value.
        layout: of the layer's arrays: image, nchw, flat, ntd, nhwc or dn; empty is every one in
            which forward and backward work.
        only: the gradients that are asked for; empty is all that the layer should have.
        protocol: what cannot be found out about the layer, by the keys of the report.
        arguments: further arguments of its constructor, forward or backward.
        progress: is told a stage, and how many of how many steps are done.
        announce: is told what the target's code is about to do.

    Returns:
        The report; true if every gradient is right. Its text is what one wants to read.

    Raises:
        TargetError: the target cannot be loaded, made or understood.
        OptionError, ShapeError, NonFiniteError: of the other arguments.

    Examples:
        >>> from bncli import BatchNorm, gradcheck
        >>> report = gradcheck(BatchNorm)
        >>> report.passed, report.quantities["grad_input"].checked
        (True, 120)
    """
    request = Request(
        shape, eps, dtype, seed, tolerance, protocol or {}, arguments or {}, layout, tuple(only),
        seeds,
    )  # fmt: skip
    batch = None if x is None else checked_batch(x, "x", None)
    deltas = None
    if delta is not None:
        wanted = batch.shape if batch is not None else request.shape or PROBE_SHAPE
        deltas = checked_batch(delta, "delta", wanted)
    with _random_state_kept():
        return Examination(request, Caller(announce), progress).run(target, batch, deltas)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The target is seeded before every call; whoever calls a check keeps what is theirs."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - of the caller
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 - of the caller


class Examination:
    """One run of a check."""

    def __init__(self, request: Request, call: Caller, progress: Progress | None) -> None:
        self._request, self._call, self._progress = request, call, progress
        self._done = 0

    def run(self, target: Any, x: Array | None, delta: Array | None) -> GradcheckReport:
        """The whole check: at every seed, until one fails."""
        known: list[Trial] | None = None
        report = self._blank(target, self._request)
        for seed in range(self._request.seed, self._request.seed + self._request.seeds):
            request = dataclasses.replace(self._request, seed=seed)
            report = self._blank(target, request)
            try:
                known = known or self._understand(target)
                self._examine(request, known, x, delta, report)
            except TargetFailure as failure:
                report.status, report.reason = "inconclusive", failure.message
                report.trace = failure.trace
            if report.status != "pass":
                break
        report.calls = dict(self._call.counts)
        return report

    def _blank(self, target: Any, request: Request) -> GradcheckReport:
        report = GradcheckReport(str(target), dtype=request.dtype, seed=request.seed)
        report.quantities = dict.fromkeys(GRADIENTS)
        report.only = request.only
        if self._request.seeds > 1:
            report.seeds = tuple(range(self._request.seed, request.seed + 1))
        return report

    def _understand(self, target: Any) -> list[Trial]:
        request = self._request
        protocol = said(request.protocol, request.arguments, request.layout)
        if isinstance(target, Trial):
            return [target]
        if target is None or target is BatchNorm:
            return [_own(self._call, request.eps)]
        thing = load_target(target, self._call) if isinstance(target, str) else target
        return understand(thing, protocol, self._call, request.eps)

    def _tick(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress("check", self._done, 0)

    def _examine(
        self, request: Request, trials: list[Trial], x: Array | None, delta: Array | None,
        report: GradcheckReport,
    ) -> None:  # fmt: skip
        working = [trial for trial in trials if trial.holds] or [
            max(trials, key=lambda trial: trial.rank)
        ]
        there = {name for trial in working if trial.target for name in trial.target.ways}
        request.check_only([*GRADIENTS, *sorted(there - set(GRADIENTS))])
        asked: list[Inquiry] = []
        for trial in working:
            # What the user asks is asked once, in the first layout that works.
            first = not asked
            facts = request if first else dataclasses.replace(request, shape=None)
            inquiry = Inquiry(trial, facts, self._tick)
            inquiry.run(x if first else None, delta if first else None)
            asked.append(inquiry)
        Verdict(request, trials, asked).write(report)


class Verdict:
    """What is said of all that was asked."""

    def __init__(self, request: Request, trials: list[Trial], asked: list[Inquiry]) -> None:
        self._request, self._trials, self._asked = request, trials, asked

    def write(self, report: GradcheckReport) -> None:
        """Fill in the report."""
        judged = [i for i in self._asked if i.model.axes is not None] or self._asked
        worst = next((i for i in judged if i.failed or i.broken), None)
        shown = worst or self._asked[0]
        found = shown.failed or shown.asked[0]
        self._facts(report, shown, found)
        missing = self._missing(shown)
        if shown.failed is not None:
            report.status = "fail"
            diagnoses = shown.diagnoses(found)
            report.diagnosis, report.other_diagnoses = diagnoses[0], tuple(diagnoses[1:])
        elif shown.problem:
            report.status, report.reason = "inconclusive", shown.problem
        elif shown.broken:
            report.status, report.reason = "fail", shown.broken.message
        elif missing:
            report.status, report.reason = "inconclusive", missing
        else:
            report.status = "pass"

    def _facts(self, report: GradcheckReport, shown: Inquiry, found: Measured) -> None:
        target = shown.target
        report.target, report.protocol = target.name, target.described()
        report.shape, report.eps = found.question.shape, shown.eps
        report.method = found.derivatives.method
        report.forwards = found.forwards
        report.quantities |= found.quantities
        report.leaks = {
            "victims": found.derivatives.leaks.victims,
            "pairs": [list(pair) for pair in found.derivatives.leaks.pairs],
        }
        report.conformance = dataclasses.asdict(shown.model)
        report.findings = shown.findings
        report.maps = found.maps()
        report.layouts = tuple(self._layouts())
        report.notes = tuple(
            dict.fromkeys(n for i in self._asked for m in i.asked for n in (*i.notes, *m.notes))
        )
        report.warnings = tuple(dict.fromkeys(w for i in self._asked for w in i.warnings))

    def _layouts(self) -> Iterator[dict[str, Any]]:
        asked = {inquiry.trial.layout.name: inquiry for inquiry in self._asked}
        for trial in self._trials:
            inquiry = asked.get(trial.layout.name)
            status = ""
            if inquiry is not None:
                status = "fail" if inquiry.failed else "inconclusive" if inquiry.problem else "pass"
            yield {
                "layout": trial.layout.name, "held": trial.holds, "status": status,
                "message": trial.message or (inquiry.model.message if inquiry else ""),
            }  # fmt: skip

    def _missing(self, shown: Inquiry) -> str:
        """What could not be found; empty if everything that is asked for was."""
        wanted = self._request.only
        missing = {
            name: seen for name, seen in shown.trial.missing.items() if not wanted or name in wanted
        }
        missing |= {name: "" for name in wanted if name not in shown.target.ways}
        if not missing:
            return ""
        parts = [
            f"{name} was not found"
            + (
                f" (it may be {seen})"
                if seen
                else ": nothing within reach that depends on delta has its shape"
            )
            for name, seen in missing.items()
        ]
        name = next(iter(missing))
        return (
            f"{'; '.join(parts)}; say where it lies: --protocol {name}=PLACE, or ask for less: "
            "--only " + ",".join(name for name in shown.target.ways)
        )


def _own(call: Caller, eps: float | None) -> Trial:
    """Bncli's own layer, of which everything is known."""
    image = LAYOUTS["image"]
    axes = (1, 2, 3)
    target = Target(
        ClassMaker(BatchNorm, "BatchNorm", said({}, {}), call), Recipe(image), said({}, {}), call,
        eps, (Parameter("gamma", ("scales",), axes), Parameter("beta", ("bias",), axes)),
        {
            "grad_input": ("returned",), "grad_gamma": ("scales_updates",),
            "grad_beta": ("bias_updates",),
        },
        "attribute",
    )  # fmt: skip
    return Trial(image, 5, target)
