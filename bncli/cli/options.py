"""Options that two or more commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bncli.cli.help_page import section

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
)
"""Which files."""

out_folder = click.option(
    "-o",
    "--out",
    metavar="OUT",
    required=True,
    type=click.Path(readable=False),
    help="Folder for the results.",
)
"""Where the results go."""

out_statistics = click.option(
    "-o",
    "--out",
    metavar="FILE.npz",
    required=True,
    type=click.Path(readable=False),
    help="The file to write.",
)
"""Where statistics go."""

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
