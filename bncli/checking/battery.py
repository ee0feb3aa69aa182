"""The self-test: the checker put to layers with planted bugs, and to right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bncli.checking.examine import gradcheck
from bncli.checking.faults import OTHERS, RIGHT, STUDIED, Fault


@dataclass(frozen=True, slots=True)
class Trialled:
    """What the checker said to one layer.

    Attributes:
        name: of the planted bug.
        expected: the name it must give; empty for a right layer.
        named: the name it gave; empty where it passed the layer.
        ok: whether it was right.
        dtype: the precision.
    """

    name: str
    expected: str
    named: str
    ok: bool
    dtype: str


def run_battery(
    seed: int = 0, progress: Callable[[str, int, int], None] | None = None
) -> list[Trialled]:
    """Check every planted layer in both precisions.

    Args:
        seed: of the probes.
        progress: is told how many layers are done.
    """
    layers = (*RIGHT, *STUDIED, *OTHERS)
    results = []
    for dtype in ("float64", "float32"):
        for fault in layers:
            results.append(_try(fault, dtype, seed))
            if progress is not None:
                progress("self-test", len(results), 2 * len(layers))
    return results


def _try(fault: Fault, dtype: str, seed: int) -> Trialled:
    report = gradcheck(fault.layer, dtype=dtype, seed=seed)
    named = "" if report.diagnosis is None else report.diagnosis.name
    others = [
        name
        for name, quantity in report.quantities.items()
        if quantity is not None and not quantity.passed and name != fault.quantity
    ]
    ok = named == fault.expected and not others and report.passed == (not fault.expected)
    return Trialled(fault.name, fault.expected, named, ok, dtype)
