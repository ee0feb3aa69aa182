"""The self-test: the checker put to layers with planted bugs, and to right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bncli.checking.examine import gradcheck
from bncli.checking.faults import ELSEWHERE, OTHERS, RIGHT, STUDIED
from bncli.checking.layouts import LAYOUTS
from bncli.checking.makers import ClassMaker
from bncli.checking.parameters import Parameter
from bncli.checking.planting import Fault
from bncli.checking.protocol import said
from bncli.checking.report import GradcheckReport
from bncli.checking.session import Recipe, Target
from bncli.checking.target import Caller
from bncli.checking.understand import Trial

_UNDERSTOOD = 5


@dataclass(frozen=True, slots=True)
class Trialled:
    """What the checker said to one layer.

    Attributes:
        name: of the planted bug.
        expected: the name it must give; empty for a right layer.
        named: the name it gave; empty where it passed the layer.
        ok: whether it was right.
        dtype: the precision.
        report: all that it said.
    """

    name: str
    expected: str
    named: str
    ok: bool
    dtype: str
    report: GradcheckReport


def run_battery(
    seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> list[Trialled]:
    """Check every planted layer, the studied ones in both precisions.

    Args:
        seed: of the probes.
        progress: is told how many layers are done.
    """
    rounds = [(f, "float64") for f in (*RIGHT, *STUDIED, *OTHERS, *ELSEWHERE)]
    rounds += [(f, "float32") for f in (*RIGHT, *STUDIED)]
    results = []
    for fault, dtype in rounds:
        results.append(tried(fault, dtype, seed))
        if progress is not None:
            progress("self-test", len(results), len(rounds))
    return results


def tried(fault: Fault, dtype: str, seed: int, eps: float | None = None) -> Trialled:
    """What the checker says to one layer, which it need not be made to understand.

    Args:
        fault: the layer.
        dtype, seed: of the question.
        eps: to make the layer with; None is its own.
    """
    trial = _trial(fault.layer, eps)
    report = gradcheck(trial, shape=fault.shape, dtype=dtype, seed=seed, eps=eps)
    named = "" if report.diagnosis is None else report.diagnosis.name
    others = [
        name
        for name, quantity in report.quantities.items()
        if quantity is not None and not quantity.passed and name != fault.quantity
    ]
    ok = named == fault.expected and report.passed == (not fault.expected)
    ok = ok and (not others or fault.expected == "swapped")
    return Trialled(fault.name, fault.expected, named, ok, dtype, report)


def _trial(layer: type, eps: float | None) -> Trial:
    image, call, known = LAYOUTS["image"], Caller(), said({}, {})
    axes = (3,) if layer.own else (1, 2, 3)  # type: ignore[attr-defined]
    target = Target(
        ClassMaker(layer, layer.__name__, known, call), Recipe(image, own=bool(layer.own)),  # type: ignore[attr-defined]
        known, call, eps, tuple(Parameter(role, (role,), axes) for role in ("gamma", "beta")),
        {"grad_input": ("returned",), "grad_gamma": ("dgamma",), "grad_beta": ("dbeta",)},
    )  # fmt: skip
    return Trial(image, _UNDERSTOOD, target)
