"""``bncli doctor``."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from bncli.cli.declared import as_declared
from bncli.cli.display import (
    Display,
    colours_forced,
    colours_unwanted,
    facts_table,
    is_dumb,
    is_terminal,
)
from bncli.cli.plain import print_error, print_result, printable

if TYPE_CHECKING:
    from bncli.runs.installation import Installation, Package

_READS = {"PPM": "PNM"}
"""Pillow's names of formats, where ours differ."""


@as_declared("doctor")
def command(display: Display) -> int:
    """Say what this installation can do: versions, formats, extras, cores, memory, terminal.

    It touches no network and no picture of yours. Exit code 0: all that bncli needs is there; 2:
    something is missing, broken or too old, and the message says how to mend it.

    \b
    Examples:
      bncli doctor
      bncli doctor --json
    """
    from bncli.runs.installation import examine_installation

    installation = examine_installation()
    _show(display, installation)
    return installation.exit_code


def _show(display: Display, found: Installation) -> None:
    """Print the facts, and what is wrong on stderr."""
    display.document({**found.document(), "terminal": _terminal()})
    if display.wants_tables:
        try:
            display.table(facts_table(_rows(found)))
        except ImportError:  # without rich it has to say that there is no rich
            print_result("".join(f"{name:16}{printable(words)}\n" for name, words in _rows(found)))
    for problem in found.problems:
        print_error(problem)


def _rows(found: Installation) -> list[tuple[str, str]]:
    needed = ", ".join(f"{p.name} {p.found or 'missing'}" for p in found.packages)
    formats = [_READS.get(name, name) for name, can in found.formats.items() if can]
    libraries = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
    encoder = {"isal": "isal", "zlib": "zlib, slower than the extra fast"}
    rows = [
        ("bncli", f"{found.bncli}, Python {found.python}, {found.system}"),
        ("packages", needed or "unknown: bncli runs from a folder, it is not installed"),
        ("reads", " ".join(formats) or "nothing"),
        ("by", libraries or "Pillow alone"),
        ("writes PNG by", encoder.get(found.png_encoder or "", "nothing")),
    ]
    rows += [(f"extra {extra}", _extra_words(extra, p)) for extra, p in found.extras.items()]
    limits = ", ".join(f"{name} {cores}" for name, cores in found.core_limits.items())
    memory = f"{found.memory / 1e9:,.1f} GB, of which a run takes half at most unasked"
    terminal = _terminal()
    return [
        *rows,
        ("cores", f"{found.cores} (the least of {limits})"),
        ("memory", memory),
        ("temporary", found.temporary or "no folder can be written"),
        ("terminal", ", ".join(_terminal_words(terminal))),
        ("verdict", "all that bncli needs is there" if found.exit_code == 0 else "broken"),
    ]


def _extra_words(extra: str, packages: tuple[Package, ...]) -> str:
    here = [f"{p.name} {p.found}" for p in packages if p.usable]
    lacking = [
        p.name + (f" {p.found}, too old" if p.found else "") for p in packages if not p.usable
    ]
    if not lacking:
        return ", ".join(here)
    return f"absent ({', '.join(lacking)}): pip install 'bncli[{extra}]'"


def _terminal() -> dict[str, Any]:
    """Of stdout."""
    terminal = is_terminal(sys.stdout)
    return {
        "is_terminal": terminal,
        "width": shutil.get_terminal_size().columns,
        "encoding": getattr(sys.stdout, "encoding", None),
        "term": os.environ.get("TERM"),
        "colour": colours_forced() or (terminal and not colours_unwanted()),
        "moves_cursor": terminal and not is_dumb(),
    }


def _terminal_words(facts: dict[str, Any]) -> list[str]:
    return [
        "a terminal" if facts["is_terminal"] else "a file or pipe",
        f"{facts['width']} columns",
        str(facts["encoding"]),
        f"TERM {facts['term'] or 'not set'}",
        "colours" if facts["colour"] else "no colours",
    ]
