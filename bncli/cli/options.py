"""Options that two or more commands share, and the types of their values."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES
from bncli.pipeline.choices import DEPTHS, DTYPES, ENGINES, FORMATS

_WHOLE = 100.0

Command = TypeVar("Command", bound=Callable[..., Any])


class Size(click.ParamType[tuple[int, int]]):
    """``WxH``: a width and a height in pixels."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Two whole numbers above 0."""
        match = re.fullmatch(r"([1-9][0-9]*)[xX]([1-9][0-9]*)", str(value))
        if match is None:
            self.fail(f"{value} is no size; give it as 640x480", param, ctx)
        return int(match[1]), int(match[2])


class Jobs(click.ParamType["int | None"]):
    """``auto`` or a number of threads."""

    name = "auto|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """None for auto."""
        if value == "auto":
            return None
        if not str(value).isascii() or not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value} is neither auto nor a whole number above 0", param, ctx)
        return int(value)


class Memory(click.ParamType["Memory"]):
    """``auto``, bytes with a unit, or a share of what is available."""

    name = "auto|SIZE|N%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """None for auto, else bytes, or a share between 0 and 1 as a float."""
        if value == "auto":
            return None
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(%|[kmgt]?(?:i?b)?)", str(value).lower())
        if match is None or float(match[1]) < (match[2] == "") or float(match[1]) <= 0:
            self.fail(f"{value} is no size; give it as 512M, 2GiB or 50%", param, ctx)
        number, unit = float(match[1]), match[2]
        if unit == "%":
            if number > _WHOLE:
                self.fail(f"{value} is more than there is", param, ctx)
            return number / _WHOLE
        power = "kmgt".find(unit[:1]) + 1 if unit[:1] in set("kmgt") else 0
        # As in dd and GNU sort: M and MiB count in 1024, MB in 1000.
        base = 1000 if unit.endswith("b") and "i" not in unit and power else 1024
        return int(number * base**power)


def _together(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


sources = _together(
    click.argument("sources", metavar="[SRC]...", nargs=-1, type=click.Path()),
    click.option(
        "--files-from",
        metavar="FILE",
        type=click.Path(dir_okay=False, allow_dash=True),
        help="Also take the files named in FILE, one a line (or ended by NUL); - is stdin.",
    ),
    click.option("-r", "--recursive", is_flag=True, help="Search the folders inside SRC too."),
    click.option("--include", metavar="GLOB", multiple=True, help="Only files that match."),
    click.option("--exclude", metavar="GLOB", multiple=True, help="No files that match."),
)
"""Which files."""

layer = _together(
    click.option(
        "--gamma",
        metavar="NUMBER|random|FILE.npy",
        default="1",
        show_default=True,
        help="Scale, of shape (w, h, c).",
    ),
    click.option(
        "--beta",
        metavar="NUMBER|random|FILE.npy",
        default="0",
        show_default=True,
        help="Shift, of shape (w, h, c).",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of everything random.",
    ),
    click.option(
        "--eps", type=float, default=1e-8, show_default=True, help="Added to the variance, > 0."
    ),
)
"""Gamma, beta and eps."""

opening = _together(
    click.option(
        "--frames",
        type=click.Choice(FRAMES),
        default="error",
        show_default=True,
        help="What to do with a file of several frames: refuse it, or take the first or all.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=MAX_PIXELS,
        show_default=True,
        help="Refuse larger pictures unread.",
    ),
)
"""Which pictures of a file."""

reading = _together(
    click.option(
        "--mode",
        type=click.Choice(MODES),
        default="keep",
        show_default=True,
        help="Colour mode; keep wants all files to agree.",
    ),
    click.option(
        "--alpha",
        type=click.Choice(ALPHAS),
        default="keep",
        show_default=True,
        help="Copy the alpha channel through, drop it, or normalize it like the others.",
    ),
    click.option(
        "--resize", type=Size(), help="Bring every picture to this size; else sizes must agree."
    ),
    opening,
)
"""How files become arrays."""

writing = _together(
    click.option(
        "--scale",
        metavar="minmax|image|sigma:K|LO:HI|none",
        show_default="minmax",
        help="Which y are black and white: the least and greatest of the batch, or of each "
        "picture; mean -/+ K standard deviations; LO and HI; 0 and 1.",
    ),
    click.option(
        "--format",
        type=click.Choice(FORMATS),
        default="png",
        show_default=True,
        help="Of the results.",
    ),
    click.option(
        "--depth", type=click.Choice(DEPTHS), default="auto", show_default=True, help="Bits of PNG."
    ),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        default="float64",
        show_default=True,
        help="Of arrays written.",
    ),
)
"""How y is written."""

_on_error = click.option(
    "--on-error",
    type=click.Choice(("fail", "skip")),
    default="fail",
    show_default=True,
    help="Refuse the batch, or go on without the files that cannot be used (exit 3).",
)

resources = _together(
    click.option(
        "--jobs", type=Jobs(), default="auto", show_default=True, help="How many threads."
    ),
    click.option(
        "--max-memory",
        type=Memory(),
        default="auto",
        show_default=True,
        help="Memory the run may take: 512M, 2GiB, 50% of what is available.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run."),
    click.option("-n", "--dry-run", is_flag=True, help="Decode and check all, write nothing."),
)
"""How a run goes, that takes no faults."""

running = _together(_on_error, resources)
"""How a run goes."""

resume = click.option(
    "--resume",
    is_flag=True,
    help="Go on with the same run where it was broken off; keep what is whole if this one is.",
)
"""Whether a run goes on."""

engine = _together(
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="local",
        show_default=True,
        help="Where pictures are read and written: on threads, in processes that may crash or "
        "stall, or on a Dask cluster.",
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        show_default="60",
        help="What one file may take, with --engine processes.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Of the Dask cluster; without it, workers are started on this machine.",
    ),
    click.option("--tls-ca", metavar="FILE", type=click.Path(), help="Whom to trust, for tls://."),
    click.option("--tls-cert", metavar="FILE", type=click.Path(), help="Own certificate."),
    click.option("--tls-key", metavar="FILE", type=click.Path(), help="Own key."),
)
"""Where work runs."""

streams = _together(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and --json."),
    click.option("-v", "--verbose", is_flag=True, help="Say what was decided, on stderr."),
    click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        show_default=True,
        help="Colours and boxes; auto wants a terminal and no NO_COLOR.",
    ),
    click.option(
        "--progress",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        show_default=True,
        help="A bar on a terminal, else a line on stderr every 30 s.",
    ),
    click.option("--debug", is_flag=True, help="Show the trace of a bug."),
)
"""What is printed."""


def all_sources(named: tuple[str, ...], files_from: str | None) -> list[str]:
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
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line) for line in content.split(separator) if line.strip()]
