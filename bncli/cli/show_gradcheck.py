"""The report of a gradient check on the terminal: ten seconds to read, verdict last."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from bncli.checking.question import Request
from bncli.checking.report import (
    GradcheckReport,
    diagnosis_lines,
    fact_rows,
    quantity_words,
    remark_lines,
    verdict_line,
    worst_words,
)
from bncli.checking.self_test import Trialled, run_battery
from bncli.cli.plain import print_aside, printable
from bncli.cli.show import Display
from bncli.drawing.check_page import page_file, write_page
from bncli.runs.check import Check, Inputs, prepare_check, run_check, write_maps

_COLOURS = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
_LONG = 1_000_000  # elements


def check_and_show(display: Display, target: str | None, chosen: Mapping[str, Any]) -> int:
    """Run one check as the options say, print its report, and give its exit code."""
    request = Request(
        shape=chosen["shape"],
        eps=chosen["eps"],
        dtype=chosen["dtype"],
        seed=chosen["seed"],
        tolerance=chosen["tolerance"],
        protocol=dict(chosen["protocol"]),
        arguments={name: _literal(value) for name, value in chosen["argument"]},
    )
    heatmap, page = chosen["heatmap"], chosen["report"]
    inputs = Inputs(chosen["images"], chosen["delta"], heatmap, page)
    check = prepare_check(target, request, inputs)
    _say_cost(display, check)
    with display.following() as follow:
        wants_maps = heatmap is not None or page is not None
        report = run_check(check, timeout=chosen["timeout"], maps=wants_maps, progress=follow)
    report.command = _command(target, chosen)
    written = write_maps(report, heatmap) if heatmap is not None else []
    if page is not None:
        write_page(report, page_file(page))
    display.document(report.document())
    display.table(*report_parts(report), *_maps_line(written, heatmap))
    _print_verdict(display, report)
    return report.exit_code


def self_test_and_show(display: Display, seed: int) -> int:
    """Run the battery, print what the checker said to each layer, and give the exit code."""
    with display.following() as follow:
        results = run_battery(seed, follow)
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
    display.table(_battery_table(results), verdict)
    return code


def report_parts(report: GradcheckReport) -> list[Any]:
    """Tables and lines, all but the verdict."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("target", Text(printable(report.target)))
    for name, words in fact_rows(report):
        facts.add_row(name, Text(printable(words)))
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


def _print_verdict(display: Display, report: GradcheckReport) -> None:
    display.table(Text(printable(verdict_line(report)), _COLOURS[report.status]))


def _maps_line(written: list[str], folder: str | None) -> list[Any]:
    if folder is None:
        return []
    if not written:
        return [Text("no error maps: there is no gradient of the input to compare")]
    return [Text(printable(f"error maps: {len(written)} files in {folder}"))]


def _battery_table(results: list[Trialled]) -> Table:
    table = Table(header_style="bold")
    for name in ("planted", "dtype", "named", "right"):
        table.add_column(name)
    for result in results:
        named = result.named or "nothing wrong"
        table.add_row(result.name, result.dtype, named, "yes" if result.ok else "NO")
    return table


def _say_cost(display: Display, check: Check) -> None:
    size = 1
    for length in check.shape:
        size *= length
    if display.quiet or not (display.verbose or size > _LONG):
        return
    sizes = "x".join(map(str, check.shape))
    print_aside(f"about {check.forwards} forwards of {sizes}, {check.memory / 1e6:,.0f} MB")


def _literal(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text  # what is no plain literal is the text itself
    return value


def _command(target: str | None, chosen: Mapping[str, Any]) -> str:
    """The command that asks the same again."""
    words = ["bncli", "gradcheck", *([target] if target is not None else [])]
    for source in chosen["images"]:
        words += ["--images", source]
    if chosen["shape"] is not None:
        words += ["--shape", ",".join(map(str, chosen["shape"]))]
    for name in ("delta", "eps", "dtype", "seed", "tolerance"):
        if chosen[name] is not None:
            words += [f"--{name}", str(chosen[name])]
    for option in ("protocol", "argument"):
        for name, value in chosen[option]:
            words += [f"--{option}", f"{name}={value}"]
    return shlex.join(words)
