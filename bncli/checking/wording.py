"""A report as lines of plain text, verdict last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bncli.checking.compare import Quantity
from bncli.checking.session import AXES

if TYPE_CHECKING:
    from bncli.checking.report import GradcheckReport


def report_lines(report: GradcheckReport) -> list[str]:
    """All of the report, in the order in which one wants to read it."""
    lines = [f"gradcheck {report.target}"]
    lines += [f"  {name:<12} {words}" for name, words in fact_rows(report)]
    for name, quantity in report.quantities.items():
        lines.append(f"  {name:<12} {quantity_words(quantity)}")
        if quantity is not None and not quantity.passed and quantity.worst_index is not None:
            lines.append(f"  {'':<12} {worst_words(quantity)}")
    lines += [f"  {line}" for line in remark_lines(report)]
    lines += [f"  {line}" for line in report.trace]
    lines += diagnosis_lines(report)
    lines.append(verdict_line(report))
    return lines


def fact_rows(report: GradcheckReport) -> list[tuple[str, str]]:
    """What was asked, and how."""
    rows = []
    if report.shape:
        sizes = "x".join(map(str, report.shape))
        eps = "" if report.eps is None else f", eps {report.eps:g}"
        rows.append(("batch", f"{sizes} (batch, w, h, c), {report.dtype}{eps}, seed {report.seed}"))
    if report.protocol:
        protocol = ", ".join(f"{k} {v}" for k, v in report.protocol.items() if v != "none")
        rows.append(("protocol", protocol))
    if report.method:
        rows.append(("derivatives", f"{report.method}; {report.forwards} forwards"))
    if report.conformance is not None:
        rows.append(("forward", str(report.conformance["message"])))
    return rows


def quantity_words(quantity: Quantity | None) -> str:
    """One line for one gradient."""
    if quantity is None:
        return "not given by the target"
    if quantity.problem:
        return f"WRONG: {quantity.problem}"
    coverage = f"{quantity.checked:,} elements"
    if quantity.checked < quantity.total:
        coverage = f"{quantity.checked:,} of {quantity.total:,} elements"
    error = "not finite" if quantity.max_rel_error is None else f"{quantity.max_rel_error:.2g}"
    allowed = f"{quantity.tolerance:.2g}" if quantity.tolerance is not None else "?"
    if quantity.passed:
        return f"right: {coverage}, worst relative error {error}, allowed {allowed}"
    places = f"{quantity.pixels_wrong:,} of {quantity.pixels:,} pixels"
    channels = ",".join(map(str, quantity.channels_wrong))
    return (
        f"WRONG: {quantity.wrong:,} of {coverage}, in {places}, channels {channels}; "
        f"worst relative error {error}, allowed {allowed}"
    )


def worst_words(quantity: Quantity) -> str:
    """The worst element."""
    axes = "(b, x, y, k)" if len(quantity.worst_index or ()) == AXES else "(x, y, k)"
    return (
        f"worst at {axes} = {quantity.worst_index}: given {_number(quantity.analytic)}, "
        f"should be {_number(quantity.numeric)}, absolute error {_number(quantity.abs_error, 3)}"
    )


def _number(value: float | None, digits: int = 9) -> str:
    return "not finite" if value is None else f"{value:.{digits}g}"


def remark_lines(report: GradcheckReport) -> list[str]:
    """Failed identities and habits, leaks, notes and warnings."""
    lines = []
    broken = [f for f in report.findings if f.passed is False]
    lines += [f"does not hold: {f.name}: {f.message}" for f in broken]
    if report.leaks is not None and report.leaks["victims"]:
        pairs = report.leaks["pairs"]
        named = "; ".join(f"{tuple(s)} into {tuple(v)}" for s, v in pairs[:3])
        lines.append(
            f"leak: {report.leaks['victims']:,} pixels depend on other pixels"
            + (f" (pixel {named})" if named else "")
        )
    if report.leaks is not None and report.leaks.get("backward"):
        lines.append(
            f"leak in backward: the gradient of {report.leaks['backward']} pixels of a probe "
            "depends on the delta of other pixels"
        )
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"warning: {warning}" for warning in report.warnings]
    return lines


def diagnosis_lines(report: GradcheckReport) -> list[str]:
    """What is wrong, and the line to change."""
    lines = []
    for found in (report.diagnosis, *report.other_diagnoses):
        if found is None:
            continue
        lines.append(f"diagnosis of {found.quantity}: {found.name}: {found.message}")
        numbers = ", ".join(f"{number:.6g}" for number in found.coefficients or ())
        if numbers not in {"", "1, 1, 1"}:
            symbols = f" = ({', '.join(found.symbols)})" if found.symbols else ""
            lines.append(
                f"  coefficients of delta, mean and variance term: ({numbers}){symbols}, "
                "should be (1, 1, 1)"
            )
        if found.change:
            lines.append(f"  change: {found.change}")
    return lines


def verdict_line(report: GradcheckReport) -> str:
    """The last line."""
    if report.status == "pass":
        return "PASS: the backward is right"
    if report.status == "inconclusive":
        return f"INCONCLUSIVE: {report.reason}"
    wrong = [name for name, q in report.quantities.items() if q is not None and not q.passed]
    return f"FAIL: {', '.join(wrong)} wrong"
