"""GradcheckReport: what a check found, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bncli.checking.compare import Quantity
from bncli.checking.diagnosis import Diagnosis
from bncli.checking.identities import Finding
from bncli.checking.question import AXES
from bncli.version import __version__

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
SCHEMA = "bncli.gradcheck/1"


@dataclass(slots=True, repr=False)
class GradcheckReport:
    """The answer of a gradient check.

    Attributes:
        target: what was checked.
        status: ``pass``, ``fail`` or ``inconclusive``.
        reason: why it is inconclusive; empty otherwise.
        quantities: ``grad_input``, ``grad_gamma``, ``grad_beta``; None where the target has no
            such gradient.
        diagnosis: what is wrong; None if nothing is.
        other_diagnoses: of grad_gamma and grad_beta.
        conformance: whether the forward is standard batch normalization, and which it is.
        leaks: pixels whose output depends on other pixels, and some (source, victim).
        findings: metamorphic and state checks.
        warnings, notes: more to know, in sentences.
        protocol: how the target was talked to.
        method: how the derivatives were found.
        shape, dtype, eps, seed: of the question.
        forwards, calls: how often the target's code ran.
        command: reproduces the check.
        maps: analytic, numeric and difference of grad_input, arrays (batch, w, h, c).
    """

    target: str
    status: str = "pass"
    reason: str = ""
    quantities: dict[str, Quantity | None] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    other_diagnoses: tuple[Diagnosis, ...] = ()
    conformance: dict[str, Any] | None = None
    leaks: dict[str, Any] | None = None
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()
    protocol: dict[str, str] = field(default_factory=dict)
    method: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "float64"
    eps: float | None = None
    seed: int = 0
    forwards: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    layouts: tuple[dict[str, Any], ...] = ()
    command: str = ""
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every gradient is right."""
        return self.status == "pass"

    @property
    def exit_code(self) -> int:
        """0, 1 or 3: of the command."""
        return EXIT_CODES[self.status]

    def require(self) -> None:
        """Return if every gradient is right: the last line of a test of one's own layer.

        Raises:
            AssertionError: one is wrong, or the check was inconclusive; its message is the report.
        """
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError(str(self))

    def document(self) -> dict[str, Any]:
        """The JSON document: no NaN in it, and nothing that differs between equal runs."""
        facts = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        del facts["maps"]
        head = {"schema": SCHEMA, "status": self.status, "exit_code": self.exit_code}
        versions = {"bncli": __version__, "numpy": np.__version__}
        document: dict[str, Any] = _plain({**head, **facts, "versions": versions})
        return document

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The report that a document was made of, but for its maps."""
        facts = {
            f.name: _tupled(document[f.name]) for f in dataclasses.fields(cls) if f.name in document
        }
        facts["quantities"] = {
            name: given and Quantity(**given) for name, given in facts["quantities"].items()
        }
        facts["diagnosis"] = facts["diagnosis"] and Diagnosis(**facts["diagnosis"])
        facts["other_diagnoses"] = tuple(Diagnosis(**one) for one in facts["other_diagnoses"])
        facts["findings"] = tuple(Finding(**one) for one in facts["findings"])
        return cls(**facts)

    def __str__(self) -> str:
        return "\n".join(report_lines(self))

    def __repr__(self) -> str:
        # pytest shows the repr of what an assertion is about, and cuts long ones in the middle.
        named = "" if self.diagnosis is None else f" ({self.diagnosis.name})"
        return f"<gradcheck {self.target}: {verdict_line(self)}{named}>"

    def __bool__(self) -> bool:
        return self.passed


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _tupled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tupled(item) for key, item in value.items()}
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


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
