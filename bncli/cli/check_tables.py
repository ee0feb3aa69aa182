"""The report of a gradient check on the terminal: ten seconds to read, verdict first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from bncli.checking.report import (
    GradcheckReport,
    again_line,
    detail_lines,
    fact_rows,
    formula_lines,
    reason_rows,
    verdict_line,
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
    verdict = Text(printable(verdict_line(report)), _COLOURS[report.status])
    display.table(verdict, *_report_parts(report, display), *_maps_line(maps, folder))


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


def _report_parts(report: GradcheckReport, display: Display) -> list[Any]:
    """Tables and lines, all but the verdict."""
    facts = facts_table([])
    for name, words in reason_rows(report, details=display.verbose):
        facts.add_row(name, Text(printable(words), _tone(words)))
    parts: list[Any] = [facts]
    parts += [
        Text(f"  {printable(line)}", "red" if line.startswith("-") else "green", no_wrap=True)
        for line in formula_lines(report)
    ]
    parts += [Text(printable(f"warning: {line}"), "yellow") for line in report.warnings]
    parts += [Text(printable(line)) for line in report.trace]
    if display.verbose:
        parts += [facts_table(fact_rows(report))]
        parts += [Text(printable(line)) for line in detail_lines(report)]
    # Whole, however narrow the terminal is: it is there to be pasted.
    return [*parts, *(Text(printable(line), "dim", no_wrap=True) for line in again_line(report))]


def _tone(words: str) -> str:
    return {"right": "green", "WRONG": "red"}.get(words.partition(":")[0], "")


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
