"""``bncli gradcheck``."""

from __future__ import annotations

import ast
import json
import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.cli.plain import print_aside
from bncli.runs.options import GradcheckOptions

if TYPE_CHECKING:
    from bncli.checking.report import GradcheckReport
    from bncli.runs.check import Check

_LONG = 1_000_000  # elements


@as_declared("gradcheck")
def command(display: Display, target: str | None, **chosen: Unpack[GradcheckOptions]) -> int:
    """Check the backward pass of TARGET against the derivative of its own forward.

    TARGET is module:Class, file.py:Class, or file.py:forward,backward; without it, bncli's own
    layer is checked. TARGET is code, and it is run, in a process of its own. Exit code 0: the
    gradient is right; 1: it is wrong; 2: TARGET cannot be used; 3: inconclusive.

    \b
    Examples:
      bncli gradcheck
      bncli gradcheck --images sample_images
      bncli gradcheck my_layer.py:BatchNorm
    """
    from bncli.checking.self_test import run_battery
    from bncli.cli.check_tables import show_check, show_self_test

    if chosen["self_test"]:
        with display.following() as follow:
            results = run_battery(chosen["seed"], follow)
        return show_self_test(display, chosen["seed"], results)
    report, maps = _check(display, target, chosen)
    show_check(display, report, maps, chosen["heatmap"])
    return report.exit_code


def _check(
    display: Display, target: str | None, chosen: GradcheckOptions
) -> tuple[GradcheckReport, list[str]]:
    """Check as the options say, and give the report and the error maps that were written."""
    from bncli.checking.question import Request
    from bncli.drawing.check_page import page_file, write_page
    from bncli.runs.check import Inputs, prepare_check, run_check, write_maps

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
    inputs = Inputs(tuple(chosen["images"]), chosen["delta"], heatmap, page)
    check = prepare_check(target, request, inputs)
    _say_cost(display, check)
    with display.following() as follow:
        wants_maps = heatmap is not None or page is not None
        report = run_check(check, timeout=chosen["timeout"], maps=wants_maps, progress=follow)
    report.command = _command(target, chosen)
    maps = write_maps(report, heatmap) if heatmap is not None else []
    if page is not None:
        write_page(report, page_file(page))
    return report, maps


def _say_cost(display: Display, check: Check) -> None:
    if display.quiet or not (display.verbose or math.prod(check.shape) > _LONG):
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


def _command(target: str | None, chosen: GradcheckOptions) -> str:
    """The command that asks the same again."""
    words = ["bncli", "gradcheck", *([target] if target is not None else [])]
    for source in chosen["images"]:
        words += ["--images", source]
    if chosen["shape"] is not None:
        words += ["--shape", ",".join(map(str, chosen["shape"]))]
    given: Mapping[str, Any] = chosen
    for option in ("delta", "eps", "dtype", "seed", "tolerance"):
        if given[option] is not None:
            words += [f"--{option}", str(given[option])]
    for option in ("protocol", "argument"):
        for name, value in given[option]:
            words += [f"--{option}", f"{name}={value}"]
    return shlex.join(words)
