"""Help pages, and what is said to a slip of the hand."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from oracle import bncli

from bncli.cli.entry import bncli as group

CONTEXT = click.Context(group)
COMMANDS = group.list_commands(CONTEXT)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_pages_fit_eighty_columns(arguments):
    """No line of a help page is longer than a terminal of 80 columns."""
    run = bncli(*arguments, "--help", env={**os.environ, "COLUMNS": "200"})

    assert run.code == 0
    assert max(map(len, run.out.splitlines())) <= 80
    narrow = bncli(*arguments, "--help", env={**os.environ, "COLUMNS": "40"})
    assert narrow.code == 0
    assert max(map(len, narrow.out.splitlines())) < 70


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_come_first(name):
    """Usage, one paragraph, then examples; options only after them."""
    page = bncli(name, "--help").out
    blocks = page.split("\n\n")

    assert blocks[0].startswith(f"Usage: bncli {name}")
    assert blocks[2].startswith("  Examples:\n    bncli ")
    assert page.index("Examples:") < page.index("--help")
    assert "\b" not in page


def test_options_stand_in_sections():
    """Under what they are about, with their defaults, and each exactly once."""
    page = bncli("normalize", "--help").out
    titles = [line for line in page.splitlines() if line.endswith(":") and line[0] != " "]

    assert titles == [
        "Input:",
        "Layer:",
        "Output:",
        "Running:",
        "Drawings:",
        "Streams:",
        "Options:",
    ]
    assert "[default 1e-08]" in " ".join(page.split())
    assert "[required]" in page
    assert "INTEGER" not in page
    command = group.get_command(CONTEXT, "normalize")
    for option in (
        parameter for parameter in command.params if isinstance(parameter, click.Option)
    ):
        longest = max(option.opts, key=len)
        terms = [line[:34] + " " for line in page.splitlines() if line.startswith("  -")]
        starts = [term for term in terms if f"{longest} " in term]
        assert len(starts) == 1, longest


def test_help_as_a_word():
    """bncli help COMMAND is bncli COMMAND --help; by itself the page of all, with exit codes."""
    assert bncli("help", "normalize").out == bncli("normalize", "--help").out
    page = bncli("help")
    assert page == bncli("--help")
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 70):
        assert f"\n  {code} " in page.out
    assert bncli("help", "normalise").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["normalise"], "There is no command normalise; did you mean normalize?"),
        (["pictures", "-o", "out"], "There is no command pictures; there are normalize, fit, "),
        (["normalize", "--gama", "1"], "There is no option --gama; did you mean --gamma?"),
        (["normalize", "x", "--quiett"], "There is no option --quiett; did you mean --quiet?"),
        (["normalize", "x", "--zzz"], "There is no option --zzz (try bncli normalize --help)"),
        (["normalize", "x", "-o", "y", "--mode", "rgb"], "did you mean RGB?"),
        (["gradcheck", "--dtype", "flaot32"], "did you mean float32?"),
        (["normalize", "x", "-o", "y", "-q", "-v"], "--quiet and --verbose contradict"),
        (["normalize", "-o", "y"], "give a folder, files, or --files-from"),
        (["normalize", "x", "--gam\x1b[2Jma", "1"], "There is no option --gam\\x1b[2Jma"),
    ],
)
def test_slips_of_the_hand(arguments, words):
    """One line that names the nearest word, exit code 2, nothing on stdout."""
    run = bncli(*arguments)

    assert (run.code, run.out) == (2, "")
    assert run.err.count("\n") == 1
    assert words in run.err


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["help", "fit"], ["fit", "--help"]])
def test_a_page_that_cannot_be_written(words):
    """A full disk behind stdout is told as such, and is no bug."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bncli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 6
    assert done.stderr == b"Error: stdout cannot be written: No space left on device\n"
