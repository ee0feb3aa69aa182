"""Options that two or more commands share, and the types of their values."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from bncli.cli.help_page import section
from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES
from bncli.pipeline.choices import DEPTHS, DTYPES, FORMATS

_WHOLE = 100.0


class OneOf(click.ParamType[str]):
    """Text that may be one of some words, which the shell completes; it is checked elsewhere.

    Args:
        name: all that it may be, as the help shows it; small letters are words, ``FILE`` a file.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words that begin so, else files."""
        del ctx, param
        words = [re.sub("[A-Z]+$", "", word) for word in self.name.split("|")]
        fitting = [word for word in words if word.islower() and word.startswith(incomplete)]
        found = [CompletionItem(word) for word in fitting if "." not in word]
        if not found and "FILE" in self.name:
            found = [CompletionItem(incomplete, type="file")]
        return found


class Size(click.ParamType[tuple[int, int]]):
    """``WxH``: a width and a height in pixels."""

    name = "WxH"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: the x is small."""
        del param, ctx
        return self.name

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

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

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

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

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


sources = section(
    "Input",
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

layer = section(
    "Layer",
    click.option(
        "--gamma",
        type=OneOf("NUMBER|random|FILE.npy"),
        default="1",
        help="Scale, of shape (w, h, c).",
    ),
    click.option(
        "--beta",
        type=OneOf("NUMBER|random|FILE.npy"),
        default="0",
        help="Shift, of shape (w, h, c).",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, help="Of everything random."),
    click.option("--eps", type=float, default=1e-8, help="Added to the variance, above 0."),
)
"""Gamma, beta and eps."""

opening = section(
    "Input",
    click.option(
        "--frames",
        type=click.Choice(FRAMES),
        default="error",
        help="What to do with a file of several frames: refuse it, or take the first or all.",
    ),
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=MAX_PIXELS,
        help="Refuse larger pictures unread.",
    ),
)
"""Which pictures of a file."""

reading = section(
    "Input",
    click.option(
        "--mode",
        type=click.Choice(MODES),
        default="keep",
        help="Colour mode; keep wants all files to agree.",
    ),
    click.option(
        "--alpha",
        type=click.Choice(ALPHAS),
        default="keep",
        help="Copy the alpha channel through, drop it, or normalize it like the others.",
    ),
    click.option(
        "--resize", type=Size(), help="Bring every picture to this size; else sizes must agree."
    ),
    opening,
)
"""How files become arrays."""

writing = section(
    "Output",
    click.option(
        "--scale",
        type=OneOf("minmax|image|sigma:K|LO:HI|none"),
        show_default="minmax",
        help="Which y are black and white: the least and greatest of the batch, or of each "
        "picture; mean -/+ K standard deviations; LO and HI; 0 and 1.",
    ),
    click.option("--format", type=click.Choice(FORMATS), default="png", help="Of the results."),
    click.option("--depth", type=click.Choice(DEPTHS), default="auto", help="Bits of PNG."),
    click.option("--dtype", type=click.Choice(DTYPES), default="float64", help="Of all arrays."),
)
"""How y is written."""

skipping = section(
    "Running",
    click.option(
        "--on-error",
        type=click.Choice(("fail", "skip")),
        default="fail",
        help="Refuse the batch, or go on without the files that cannot be used (exit 3).",
    ),
)
"""What becomes of a batch with faults."""

resuming = section(
    "Running",
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with the same run where it was broken off; keep what is whole if this one is.",
    ),
)
"""What becomes of a run that was broken off."""

running = section(
    "Running",
    click.option("--jobs", type=Jobs(), default="auto", help="How many threads."),
    click.option(
        "--max-memory",
        type=Memory(),
        default="auto",
        help="Memory the run may take: 512M, 2GiB, 50% of what is available.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run."),
    click.option("-n", "--dry-run", is_flag=True, help="Decode and check all, write nothing."),
)
"""How a run goes."""

streams = section(
    "Streams",
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option(
        "-q", "--quiet", is_flag=True, help="Print nothing but warnings, errors and --json."
    ),
    click.option("-v", "--verbose", is_flag=True, help="Say what was decided, on stderr."),
    click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        help="Colours and boxes; auto wants a terminal, and minds NO_COLOR and FORCE_COLOR.",
    ),
    click.option(
        "--progress",
        type=click.Choice(("auto", "always", "never")),
        default="auto",
        help="A bar on a terminal, else a line on stderr every 30 s; always: also with -q.",
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
