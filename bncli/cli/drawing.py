"""The options by which a run is drawn, and the command line that its page tells."""

from __future__ import annotations

import shlex
import sys

import click

from bncli.cli.help_page import section

showing = section(
    "Drawings",
    click.option(
        "--contact-sheet",
        metavar="FILE.png",
        type=click.Path(readable=False),
        help="Draw some pictures before and after, mean, deviation and gradients.",
    ),
    click.option(
        "--report",
        metavar="FILE.html",
        type=click.Path(readable=False),
        help="Write a page to read: numbers, pictures, histograms, hashes (extra: report).",
    ),
)
"""What is drawn of a run."""


def command_line() -> str:
    """The command that is running, as a shell would read it."""
    return shlex.join(["bncli", *sys.argv[1:]])
