"""From the declared options of a run to its command: parsed, run, shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import click

from bncli.cli import drawing, options
from bncli.cli.help_page import section
from bncli.cli.values import Jobs, Memory, Number, OneOf, Size, Whole
from bncli.runs.options import Opt, groups_of

_TYPES: dict[str, Callable[[], Any]] = {
    ":jobs": Jobs, ":memory": Memory, ":size": Size, ":seconds": Number,
    ":globs": lambda: click.STRING, ":0-1": lambda: Whole(0, 1),
}  # fmt: skip
_METAVARS = {":globs": "GLOB", ":seconds": "SECONDS"}


def run_command(
    name: str, declared: type, work: str, *, out: Any, show: str, statistics: bool = False
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that is a run over pictures; the function decorated gives only its help.

    Args:
        name: of the command.
        declared: its options, a TypedDict of ``bncli.runs.options``.
        work: ``module:function`` that does it.
        out: the option that says where the results go.
        show: ``module:function`` that shows its summary.
        statistics: whether its first argument is a stats.npz.
    """

    def decorate(helping: Callable[..., Any]) -> click.Command:
        def callback(
            sources: tuple[str, ...], files_from: str | None, out: str, **chosen: Any
        ) -> int:
            from bncli.cli.plain import print_warning
            from bncli.cli.show import Display

            display = Display.of(chosen)
            listed = options.all_sources(sources, files_from)
            first = [chosen.pop("statistics")] if statistics else []
            if "report" in chosen:
                chosen["command"] = drawing.command_line()
            with display.following() as follow:
                summary = _loaded(work)(
                    *first, listed, out, progress=follow, tell=display.tell, warn=print_warning,
                    **chosen,
                )  # fmt: skip
            _loaded(show)(display, summary, out)
            return int(summary.exit_code)

        callback.__doc__ = helping.__doc__
        function: Any = options.streams(callback)
        for group in reversed(groups_of(declared)):
            title = (group.__doc__ or "").partition(":")[0]
            function = section(title, *_group(group))(function)
            if title == "Output":
                function = section(title, out)(function)
        function = options.sources(function)
        if statistics:
            argument = click.argument(
                "statistics", metavar="FILE.npz", type=click.Path(readable=False)
            )
            function = argument(function)
        return click.command(name)(function)

    return decorate


def _group(group: type) -> list[Any]:
    hints = get_type_hints(group, include_extras=True)
    return [_option(name, get_args(hint)[1]) for name, hint in hints.items() if get_args(hint)[1:]]


def _option(name: str, opt: Opt) -> Any:
    flags = [*([opt.short] if opt.short else []), "--" + name.replace("_", "-")]
    if opt.takes is bool:
        return click.option(*flags, is_flag=True, help=opt.help)
    facts: dict[str, Any] = {"help": opt.help, "default": opt.default}
    if opt.shown:
        facts["show_default"] = opt.shown
    takes = opt.takes
    if isinstance(takes, tuple):
        facts["type"] = click.Choice(takes)
    elif takes is float:
        facts["type"] = Number()
    elif isinstance(takes, int):
        facts["type"] = Whole(min=takes)
        facts["metavar"] = "N"
    elif takes.startswith(":file"):
        facts["type"], facts["metavar"] = click.Path(readable=False), takes.partition(" ")[2]
    elif takes in _TYPES:
        facts["type"], facts["metavar"] = _TYPES[takes](), _METAVARS.get(takes)
        facts["multiple"] = takes == ":globs"
        if takes in {":jobs", ":memory"}:
            facts["default"] = "auto"
    elif "|" in takes:
        facts["type"] = OneOf(takes)
    else:
        facts["metavar"] = takes
    return click.option(*flags, **facts)


def _loaded(place: str) -> Any:
    import importlib

    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
