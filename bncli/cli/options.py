"""Options that two or more commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bncli.cli.help_page import section
from bncli.cli.values import Jobs, Memory, Number, OneOf, Size, Whole
from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES
from bncli.pipeline.choices import DEPTHS, DTYPES, ENGINES, FORMATS

_UTF_16, _UTF_8_MARK = (b"\xff\xfe", b"\xfe\xff"), b"\xef\xbb\xbf"


sources = section(
    "Input",
    click.argument("sources", metavar="[SRC]...", nargs=-1, type=click.Path(readable=False)),
    click.option(
        "--files-from",
        metavar="FILE",
        type=click.Path(dir_okay=False, readable=False, allow_dash=True),
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
    click.option("--seed", type=Whole(min=0), default=0, help="Of everything random."),
    click.option("--eps", type=Number(), default=1e-8, help="Added to the variance, above 0."),
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
        type=Whole(min=1),
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

out_folder = click.option(
    "-o",
    "--out",
    metavar="OUT",
    required=True,
    type=click.Path(readable=False),
    help="Folder for the results.",
)
"""Where the results go."""

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

engine = section(
    "Running",
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="local",
        help="Where pictures are read and written: on threads, in processes that may crash or "
        "stall, or on a Dask cluster.",
    ),
    click.option(
        "--timeout",
        type=Number(),
        metavar="SECONDS",
        show_default="60",
        help="What one file may take, with --engine processes.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Of the Dask cluster; without it, workers are started on this machine.",
    ),
    click.option(
        "--tls-ca",
        metavar="FILE",
        type=click.Path(readable=False),
        help="Whom to trust, for tls://.",
    ),
    click.option(
        "--tls-cert", metavar="FILE", type=click.Path(readable=False), help="Own certificate."
    ),
    click.option("--tls-key", metavar="FILE", type=click.Path(readable=False), help="Own key."),
)
"""Where work runs."""

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
