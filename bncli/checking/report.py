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
from bncli.checking.metamorphic import Finding
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
        facts = {f.name: document[f.name] for f in dataclasses.fields(cls) if f.name in document}
        facts["quantities"] = {
            name: None if given is None else Quantity(**_tupled(given))
            for name, given in document["quantities"].items()
        }
        given = document["diagnosis"]
        facts["diagnosis"] = None if given is None else Diagnosis(**_tupled(given))
        facts["other_diagnoses"] = tuple(
            Diagnosis(**_tupled(one)) for one in document["other_diagnoses"]
        )
        facts["findings"] = tuple(Finding(**one) for one in document["findings"])
        for name in ("warnings", "notes", "trace", "shape"):
            facts[name] = tuple(facts[name])
        return cls(**facts)

    def __str__(self) -> str:
        from bncli.checking.wording import report_lines

        return "\n".join(report_lines(self))

    def __repr__(self) -> str:
        # pytest shows the repr of what an assertion is about, and cuts long ones in the middle.
        from bncli.checking.wording import verdict_line

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


def _tupled(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _tuple(value) for name, value in given.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value
