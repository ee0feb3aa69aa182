"""From the options that are declared of a command to the command."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from bncli.cli.command import Command, take_config, variables_of
from bncli.cli.display import Display
from bncli.cli.help_page import Option
from bncli.cli.values import MANY, type_of
from bncli.runs.options import Arg, Drawing, Opt, Sources, Streams, groups_of

_UTF_16, _UTF_8_MARK = (b"\xff\xfe", b"\xfe\xff"), b"\xef\xbb\xbf"


def as_declared(name: str) -> Callable[[Callable[..., int]], Command]:
    """A command with its declared options, of the function that does its work.

    The docstring of the function is the help page, and what it returns the exit code. It is given
    all options by name, but for those of the streams, for which it is given a *display*, and for
    ``--files-from``, whose names come after those of *sources*.

    Args:
        name: of the command.
    """
    groups = groups_of(name)

    def decorate(work: Callable[..., int]) -> Command:
        def callback(**given: Any) -> int:
            if Sources in groups:
                given["sources"] = _all_sources(given["sources"], given.pop("files_from"))
            if Drawing in groups:
                given["command"] = shlex.join(["bncli", *sys.argv[1:]])
            if Streams in groups:
                given["display"] = Display.of(given)
            return work(**given)

        return Command(
            name,
            context_settings={"show_default": True},
            callback=callback,
            params=list(_parameters(name, groups)),
            help=work.__doc__,
        )

    return decorate


def _parameters(command: str, groups: list[Any]) -> Iterator[click.Parameter]:
    for group in groups:
        section = (group.__doc__ or "").partition(":")[0]
        for name, hint in get_type_hints(group, include_extras=True).items():
            for declared in get_args(hint)[1:]:
                if isinstance(declared, Arg):
                    yield _argument(name, declared)
                elif isinstance(declared, Opt):
                    yield _option(command, name, declared, section)


def _argument(name: str, arg: Arg) -> click.Argument:
    kind, metavar = type_of(arg.takes)
    count = -1 if arg.many else 1
    return click.Argument([name], type=kind, metavar=metavar, nargs=count, required=arg.required)


def _option(command: str, name: str, opt: Opt, section: str) -> Option:
    long = "--" + name.replace("_", "-")
    facts: dict[str, Any] = {
        "help": opt.help, "section": section, "envvar": variables_of(command, long),
    }  # fmt: skip
    if opt.takes is bool:
        facts["is_flag"] = True
    else:
        facts["type"], facts["metavar"] = type_of(opt.takes)
        kind = str(opt.takes).partition(" ")[0]
        facts["multiple"] = kind in MANY
        if kind == ":config":
            facts |= {"is_eager": True, "expose_value": False, "callback": take_config}
    if opt.required:
        facts["required"] = True
    elif opt.takes is not bool:
        facts["default"] = opt.default
    if opt.shown:
        facts["show_default"] = opt.shown
    return Option(*([opt.short] if opt.short else []), long, **facts)


def _all_sources(named: tuple[str, ...], files_from: str | None) -> list[str]:
    """The sources on the command line and those that a file lists.

    Raises:
        UsageError: there are none at all.
    """
    listed = [] if files_from is None else _listed(files_from)
    if not named and files_from is None:
        raise click.UsageError("Missing argument 'SRC': give a folder, files, or --files-from.")
    return [*named, *listed]


def _listed(files_from: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if files_from == "-" else Path(files_from).read_bytes()
    except OSError as error:
        raise click.UsageError(f"--files-from {files_from}: {error.strerror}.") from error
    return [os.fsdecode(line) for line in _lines(content) if line.strip()]


def _lines(content: bytes) -> list[bytes]:
    if content.startswith(_UTF_16):  # what PowerShell makes of `dir > list`
        content = content.decode("utf-16", errors="replace").encode()
    content = content.removeprefix(_UTF_8_MARK)
    if b"\0" in content:
        return content.split(b"\0")
    # A name may end in a carriage return, but where all lines do, Windows has made them.
    windows = content.count(b"\n") == content.count(b"\r\n")
    return content.split(b"\r\n" if windows else b"\n")
