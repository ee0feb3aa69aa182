"""``bncli gradcheck``."""

from __future__ import annotations

import ast
import json
import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack, get_args, get_type_hints

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.cli.plain import print_aside, print_note
from bncli.runs.options import GradcheckOptions, Opt

if TYPE_CHECKING:
    from bncli.checking.report import GradcheckReport
    from bncli.runs.check import Check

_LONG = 1_000_000  # elements
_NO_QUESTION = {"heatmap", "report", "self_test"}
"""Options that change nothing of what is asked."""


@as_declared("gradcheck")
def command(display: Display, target: str | None, **chosen: Unpack[GradcheckOptions]) -> int:
    """Check the backward pass of TARGET against the derivative of its own forward.

    TARGET is module:Class, file.py:Class, or file.py:forward,backward; without it, bncli's own
    layer is checked. TARGET is code, and it is run, in a process of its own.

    PASS, exit code 0: every gradient that the layer should have (or that --only names) was found,
    looked at, and right. 1, FAIL: one is wrong, or what holds of every right backward does not.
    2: TARGET cannot be loaded or used. 3, INCONCLUSIVE: something was not found or could not be
    asked, which the verdict names, and the option that tells.

    \b
    Examples:
      bncli gradcheck
      bncli gradcheck --images sample_images
      bncli gradcheck my_layer.py:BatchNorm --seeds 20
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
        layout="" if chosen["layout"] == "auto" else chosen["layout"],
        only=_names(chosen["only"]),
        seeds=chosen["seeds"],
        limit=chosen["limit"],
    )
    heatmap, page = chosen["heatmap"], chosen["report"]
    inputs = Inputs(tuple(chosen["images"]), chosen["delta"], heatmap, page)
    check = prepare_check(target, request, inputs)
    if check.left_out and not display.quiet:
        print_note(check.left_out)
    _say_cost(display, check)
    with display.following() as follow:
        wants_maps = heatmap is not None or page is not None
        report = run_check(check, timeout=chosen["timeout"], maps=wants_maps, progress=follow)
    report.command = _command(target, chosen, report)
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


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Names that are parted by commas, or given one by one, each once."""
    names = (name.strip() for words in given for name in words.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def _command(target: str | None, chosen: GradcheckOptions, report: GradcheckReport) -> str:
    """The command that asks the same again; of several seeds, the one that the report is of."""
    given: dict[str, Any] = dict(chosen)
    if not report.passed:
        given |= {"seed": report.seed, "seeds": 1}
    words = ["bncli", "gradcheck", *([target] if target is not None else [])]
    for name, hint in get_type_hints(GradcheckOptions, include_extras=True).items():
        (opt,) = (fact for fact in get_args(hint)[1:] if isinstance(fact, Opt))
        if name == "seed" or (name not in _NO_QUESTION and given[name] != opt.default):
            words += _as_typed(f"--{name}", given[name])
    return shlex.join(words)


def _as_typed(option: str, value: Any) -> list[str]:
    """The words that give an option this value."""
    if option == "--shape":
        return [option, ",".join(map(str, value))]
    values = value if isinstance(value, tuple) else (value,)
    return [
        word for one in values
        for word in (option, "=".join(one) if isinstance(one, tuple) else str(one))
    ]  # fmt: skip
