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
from bncli.checking.wording import count_of
from bncli.checking.words import (
    diagnosis_words,
    extent,
    formulas,
    is_wrong,
    leak_words,
    listed,
    quantity_brief,
    quantity_words,
    verb,
    worst_words,
)
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
        quantities: ``grad_input``, ``grad_gamma``, ``grad_beta``, and ``grad_`` of whatever else
            the layer learns; None where the target has no such gradient.
        diagnosis: what is wrong; None if nothing is.
        other_diagnoses: of grad_gamma and grad_beta.
        conformance: whether the forward is standard batch normalization, and which it is.
        leaks: pixels whose output depends on other pixels, and some (source, victim).
        findings: metamorphic and state checks.
        warnings, notes: more to know, in sentences.
        protocol: how the target was talked to.
        layouts: those that were tried, each ``layout``, ``held``, ``status`` and ``message``: where
            forward and backward ran, what was found, and else what failed.
        only: the gradients that were asked for; empty for all.
        method: how the derivatives were found.
        shape, dtype, eps, seed: of the question.
        seeds: all at which it was asked, where it is of more than one; *seed* is then that of the
            numbers here.
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
    layouts: tuple[dict[str, Any], ...] = ()
    only: tuple[str, ...] = ()
    method: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "float64"
    eps: float | None = None
    seed: int = 0
    seeds: tuple[int, ...] = ()
    forwards: int = 0
    calls: dict[str, int] = field(default_factory=dict)
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
            AssertionError: one is wrong, or the check was inconclusive; its message is the report,
                with the cause in its first line, which is all that a summary has room for.
        """
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError("\n".join([headline(self), *report_lines(self)[1:]]))

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
        return f"<{headline(self)} (gradcheck of {self.target})>"

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


def report_lines(report: GradcheckReport, *, details: bool = False) -> list[str]:
    """The report, in the order in which one wants to read it: verdict, gradients, cause, command.

    Args:
        report: of a check.
        details: whether all that was found and asked is told too.
    """
    rows = reason_rows(report, details=details)
    lines = [verdict_line(report), *map(_aligned, rows)]
    lines += [f"  {line}" for line in formula_lines(report)]
    lines += [f"warning: {warning}" for warning in report.warnings]
    lines += report.trace
    if details:
        lines += [*map(_aligned, fact_rows(report)), *detail_lines(report)]
    return [*lines, *again_line(report)]


def _aligned(row: tuple[str, str]) -> str:
    return f"{row[0]:<12} {row[1]}"


def again_line(report: GradcheckReport) -> list[str]:
    """What asks the same again, where there is something to look into."""
    return [f"again: {report.command}"] if report.command and not report.passed else []


def verdict_line(report: GradcheckReport) -> str:
    """The first line."""
    if report.status == "inconclusive":
        return f"INCONCLUSIVE: {report.reason}{_where(report)}"
    if report.status == "pass" and report.only:
        asked = listed(report.only)
        return f"PASS: {asked} {verb(report.only)} right; nothing else was asked"
    if report.status == "pass":
        return "PASS: the backward is right"
    wrong = _wrong(report)
    if not wrong:
        broken = listed([finding.name for finding in _deciding(report)])
        return f"FAIL: what holds of every right backward does not: {broken}{_where(report)}"
    return f"FAIL: {listed(wrong)} {verb(wrong)} wrong{_where(report)}"


def headline(report: GradcheckReport) -> str:
    """The verdict and its cause, in few letters: a summary of tests shows some sixty of them."""
    if report.status != "fail":
        return verdict_line(report)
    wrong = _wrong(report)
    if not wrong:
        return "FAIL: does not hold: " + "; ".join(
            f"{f.name}: {f.message}" for f in _deciding(report)
        )
    cause = "" if report.diagnosis is None else report.diagnosis.name
    quantity = report.quantities[wrong[0]]
    if quantity is not None and cause in {"", "unrecognised", "not-a-gradient"}:
        cause = extent(quantity)
    return f"FAIL: {', '.join(wrong)}: {cause}"


def reason_rows(report: GradcheckReport, *, details: bool) -> list[tuple[str, str]]:
    """What the verdict rests on: a line for each gradient, or one for all right ones; the cause.

    Args:
        report: of a check.
        details: whether each has its own line all the same, and where it is worst another.
    """
    if report.passed and not details:
        return [("checked", _looked_at(report))]
    rows = []
    for name, quantity in report.quantities.items():
        if quantity is None and report.status == "inconclusive":
            continue
        rows.append((name, gradient_words(report, name, details=details)))
        if details and quantity is not None and is_wrong(quantity) and quantity.worst_index:
            rows.append(("", worst_words(name, quantity)))
    return [*rows, *_cause_rows(report)]


def gradient_words(report: GradcheckReport, name: str, *, details: bool) -> str:
    """What is said of one gradient of the report."""
    quantity = report.quantities[name]
    if quantity is None and report.only and name not in report.only:
        return "not asked"
    return quantity_words(quantity) if details else quantity_brief(quantity)


def _cause_rows(report: GradcheckReport) -> list[tuple[str, str]]:
    """Why the verdict is what it is, in plain words."""
    if report.status != "fail":
        return []
    rows = [("because", found.message) for found in diagnoses(report)[:1]]
    if not _wrong(report):
        return [("does not hold", f"{found.name}: {found.message}") for found in _deciding(report)]
    unknown = not rows or report.diagnosis is None or report.diagnosis.name == "unrecognised"
    for name in _wrong(report)[:1]:
        quantity = report.quantities[name]
        if unknown and quantity is not None and quantity.worst_index:
            rows.append(("", worst_words(name, quantity)))
    return rows


def formula_lines(report: GradcheckReport) -> list[str]:
    """The formula as the target has it, after ``-``, and as it should be, after ``+``."""
    for found in diagnoses(report)[:1]:
        model = report.conformance or {}
        axes = tuple(model.get("axes") or ())
        was, should = formulas(found, int(model.get("ddof") or 0), count_of(axes))
        if was != should:
            return [f"{sign} {words}" for sign, words in (("-", was), ("+", should)) if words]
    return []


def fact_rows(report: GradcheckReport) -> list[tuple[str, str]]:
    """What was asked, and how."""
    rows = [("target", report.target)]
    if report.shape:
        sizes = "x".join(map(str, report.shape))
        eps = "" if report.eps is None else f", eps {report.eps:g}"
        rows.append(("batch", f"{sizes} (batch, w, h, c), {report.dtype}{eps}, seed {report.seed}"))
    if report.seeds:
        rows.append(("seeds", ", ".join(map(str, report.seeds))))
    for tried in report.layouts:
        said = f": {tried['message']}" if tried["message"] else ""
        verdict = tried["status"] if tried["held"] else "does not run"
        rows.append(("layout", f"{tried['layout']}: {verdict}{said}"))
    if report.protocol:
        protocol = ", ".join(f"{k} {v}" for k, v in report.protocol.items() if v != "none")
        rows.append(("protocol", protocol))
    if report.method:
        rows.append(("derivatives", f"{report.method}; {report.forwards} forwards"))
    if report.conformance is not None:
        rows.append(("forward", str(report.conformance["message"])))
    return rows


def _looked_at(report: GradcheckReport) -> str:
    """Of what a verdict of right is: gradients, elements, batch, layouts and seeds."""
    seen = {name: q for name, q in report.quantities.items() if q is not None}
    checked = sum(q.checked for q in seen.values())
    total = sum(q.total for q in seen.values())
    words = f"{', '.join(seen)}: {checked:,}{f' of {total:,}' if checked < total else ''} elements"
    if report.shape:
        words += f" of {'x'.join(map(str, report.shape))}"
    directions = max((q.directions for q in seen.values()), default=0)
    if directions:
        words += f", and {directions} random directions over all"
    held = [tried["layout"] for tried in report.layouts if tried["held"]]
    if held and held != ["image"]:
        words += f", as {listed(held)}"
    if report.seeds:
        words += f", at {len(report.seeds)} seeds"
    absent = [n for n, q in report.quantities.items() if q is None]
    if absent and not report.only:
        words += f" (the layer has no {' and no '.join(absent)})"
    return words


def _wrong(report: GradcheckReport) -> list[str]:
    return [name for name, q in report.quantities.items() if q is not None and is_wrong(q)]


def _broken(report: GradcheckReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.passed is False]


def _deciding(report: GradcheckReport) -> list[Finding]:
    return [finding for finding in _broken(report) if finding.decides]


def diagnoses(report: GradcheckReport) -> list[Diagnosis]:
    """What is wrong with each wrong gradient."""
    return [found for found in (report.diagnosis, *report.other_diagnoses) if found is not None]


def _where(report: GradcheckReport) -> str:
    """In which layouts, where it is not in all, and at which seed, where there are several."""
    held = [tried for tried in report.layouts if tried["held"]]
    failed = [tried["layout"] for tried in held if tried["status"] == "fail"]
    layouts = f" as {listed(failed)}" if 0 < len(failed) < len(held) else ""
    return f"{layouts}, at seed {report.seed}" if report.seeds else layouts


def detail_lines(report: GradcheckReport) -> list[str]:
    """Whole diagnoses, and remarks."""
    words = [line for found in diagnoses(report) for line in diagnosis_words(found)]
    return [*words, *remark_lines(report)]


def remark_lines(report: GradcheckReport) -> list[str]:
    """Failed identities and habits, leaks and notes."""
    lines = [f"does not hold: {found.name}: {found.message}" for found in _broken(report)]
    return [*lines, *leak_words(report.leaks or {}), *(f"note: {note}" for note in report.notes)]
