"""The report of a gradient check on the terminal: ten seconds to read, verdict last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from bncli.checking.report import (
    GradcheckReport,
    diagnosis_lines,
    fact_rows,
    quantity_words,
    remark_lines,
    verdict_line,
    worst_words,
)
from bncli.checking.self_test import Trialled
from bncli.cli.display import Display, facts_table
from bncli.cli.plain import printable

_COLOURS = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}


def show_check(
    display: Display, report: GradcheckReport, maps: Sequence[str], folder: str | None
) -> None:
    """The report of a check, and how many error *maps* were written into *folder*."""
    display.document(report.document())
    display.table(*_report_parts(report), *_maps_line(maps, folder))
    display.table(Text(printable(verdict_line(report)), _COLOURS[report.status]))


def show_self_test(display: Display, seed: int, results: Sequence[Trialled]) -> int:
    """What the checker said to each planted layer, and the exit code of that."""
    good = sum(result.ok for result in results)
    code = 0 if good == len(results) else 1
    display.document(
        {
            "schema": "bncli.gradcheck/1",
            "status": "pass" if code == 0 else "fail",
            "exit_code": code,
            "seed": seed,
            "self_test": [
                {
                    "layer": r.name, "dtype": r.dtype, "expected": r.expected,
                    "named": r.named, "ok": r.ok,
                }
                for r in results
            ],
        }
    )  # fmt: skip
    verdict = Text(
        f"{'PASS' if code == 0 else 'FAIL'}: {good} of {len(results)} layers judged right",
        _COLOURS["pass" if code == 0 else "fail"],
    )
    display.table(_trials_table(results), verdict)
    return code


def _report_parts(report: GradcheckReport) -> list[Any]:
    """Tables and lines, all but the verdict."""
    facts = facts_table([("target", report.target), *fact_rows(report)])
    for name, quantity in report.quantities.items():
        if quantity is None and report.status == "inconclusive":
            continue
        style = "" if quantity is None else "green" if quantity.passed else "red"
        facts.add_row(name, Text(printable(quantity_words(quantity)), style))
        if quantity is not None and not quantity.passed and quantity.worst_index is not None:
            facts.add_row("", Text(printable(worst_words(quantity))))
    lines = [*remark_lines(report), *report.trace]
    parts: list[Any] = [facts, *(Text(printable(line)) for line in lines)]
    parts += [Text(printable(line), "yellow") for line in diagnosis_lines(report)]
    if report.command:
        parts.append(Text(printable(f"again: {report.command}"), "dim"))
    return parts


def _maps_line(written: Sequence[str], folder: str | None) -> list[Any]:
    if folder is None:
        return []
    if not written:
        return [Text("no error maps: there is no gradient of the input to compare")]
    return [Text(printable(f"error maps: {len(written)} files in {folder}"))]


def _trials_table(results: Sequence[Trialled]) -> Table:
    table = Table(header_style="bold")
    for name in ("planted", "dtype", "named", "right"):
        table.add_column(name)
    for result in results:
        named = result.named or "nothing wrong"
        table.add_row(result.name, result.dtype, named, "yes" if result.ok else "NO")
    return table
