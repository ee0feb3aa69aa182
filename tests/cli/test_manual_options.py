"""The manual's options are those that are declared, with their defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from bncli.runs.options import COMMANDS, Config, Opt, Streams

README = (Path(__file__).parents[2] / "README.md").read_text()
FOREIGN = {
    "--quiet", "--cpus-per-task", "--mem", "--array", "--parsable", "--dependency", "--wrap",
    "--scheduler-file", "--count", "--help", "--version", "--strict",
}  # fmt: skip
"""Options of pip, sbatch, Dask, mypy and the fuzzer, and those that every program has."""

TABLES = {"bncli normalize": "normalize", "bncli fit": "fit", "bncli invert": "invert",
          "Options of every command": "merge", "Checking your own layer": "gradcheck"}  # fmt: skip
"""Beginning of a heading -> the command whose options stand under it."""

IN_WORDS = {
    ("normalize", "--max-pixels"): "89 million", ("invert", "--scale"): "from `summary.json`",
    ("gradcheck", "--eps"): "the target's or `1e-8`", ("gradcheck", "--tolerance"): "derived",
    ("invert", "--format"): "`auto`", ("gradcheck", "--limit"): "what takes a minute",
}  # fmt: skip
"""Defaults that the manual says in other words than the help."""


def declared(command):
    return {
        "--" + name.replace("_", "-"): fact
        for part in COMMANDS[command]
        for name, hint in get_type_hints(part, include_extras=True).items()
        for fact in get_args(hint)[1:]
        if isinstance(fact, Opt)
    }


def rows(manual):
    """(command, its options, the cell with their defaults) of each line of a table of options."""
    heading = ""
    for line in manual.splitlines():
        if line.startswith("#"):
            heading = line.strip("# `")
        elif line.startswith("| `-"):
            cells = line.split(" | ")
            (command,) = [name for start, name in TABLES.items() if heading.startswith(start)]
            yield command, re.findall(r"`(--[a-z-]+)`", cells[0]), cells[1]


def faults(manual):
    """What the tables of a manual say of options that is not so."""
    wrong = []
    for command, names, cell in rows(manual):
        known, usual = declared(command), []
        said = cell
        for name in names:
            if name not in known:
                wrong.append(f"{command} has no {name}")
            elif (command, name) in IN_WORDS:
                if IN_WORDS[command, name] not in said:
                    wrong.append(f"{command} {name}: default {said}")
                said = said.replace(IN_WORDS[command, name], "")
            elif known[name].takes is bool:
                if "off" not in said:
                    wrong.append(f"{command} {name}: it is off")
            elif known[name].shown or known[name].default not in {None, ()}:
                usual.append(known[name].shown or str(known[name].default).replace("e-0", "e-"))
        if " ".join(re.findall(r"`([^`]*)`", said)) != " ".join(usual):
            wrong.append(f"{command} {', '.join(names)}: default {cell}, not {usual}")
    return wrong


def test_tables_say_what_is_declared():
    """Each option of a table is one of its command, with its default."""
    assert len(list(rows(README))) > 40
    assert faults(README) == []


@pytest.mark.parametrize(
    "line",
    [
        "| `--gama` | `1` | an option that there is not |",
        "| `--ddof` | none | one of fit |",
        "| `--gamma` | `2` | another default |",
        "| `--gamma`, `--beta` | `0`, `1` | the defaults of each other |",
        "| `--gamma` | none | no default |",
        "| `--delta` | `ones` | a default of an option that has none |",
        "| `--update` | `on` | a flag |",
        "| `--max-pixels` | 90 million | a default in words |",
    ],
)
def test_a_manual_that_is_wrong_is_found(line):
    """The comparison can fail."""
    assert faults(f"### `bncli normalize`\n{line}\n") != []


@pytest.mark.parametrize(
    ("command", "elsewhere"),
    [("normalize", ()), ("fit", ("normalize",)), ("invert", ("normalize",)),
     ("apply", ("normalize",)), ("gradcheck", ())],
)  # fmt: skip
def test_tables_leave_nothing_out(command, elsewhere):
    """Every option of a command stands in its table, in that it refers to, or among the common."""
    told = {name for where, names, _ in rows(README) for name in names
            if where in {command, "merge", *elsewhere}}  # fmt: skip
    assert declared(command).keys() <= told


def test_every_option_that_the_manual_names_exists():
    """Also in its text and its examples, but for options of other programs."""
    known = {name for command in COMMANDS for name in declared(command)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", README))
    assert named - known - FOREIGN == set()


def test_common_options_are_common():
    """Streams and --config are of every command that shows results."""
    for command in set(COMMANDS) - {"completion"}:
        assert {Streams, Config} <= set(COMMANDS[command])
