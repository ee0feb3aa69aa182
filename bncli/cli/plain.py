"""Text for any reader: names made harmless, one line for an error, one document of JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from bncli.errors import OutputError
from bncli.text import json_pieces, printable

__all__ = [
    "pictures",
    "print_aside",
    "print_document",
    "print_error",
    "print_note",
    "print_result",
    "print_warning",
    "printable",
]


_PIECES = 1 << 12
"""Of a document that are written at once."""


def pictures(count: int) -> str:
    """How many pictures, in words."""
    return f"{count:,} picture{'' if count == 1 else 's'}"


def print_error(line: str) -> None:
    """One line on stderr."""
    _say("Error", line)


def print_warning(line: str) -> None:
    """One line on stderr."""
    _say("Warning", line)


def print_note(line: str) -> None:
    """One line on stderr."""
    _say("Note", line)


def print_aside(line: str) -> None:
    """One line on stderr, of our own words alone."""
    _write_aside(line + "\n")


def print_result(text: str) -> None:
    """Text on stdout.

    Raises:
        OutputError: stdout cannot be written; what the run wrote is there all the same.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, AttributeError) as error:  # stdout is None where it was closed at the start
        reason = getattr(error, "strerror", None) or "it is closed"
        raise OutputError(f"stdout cannot be written: {reason}; the results are whole") from error


def print_document(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, in ASCII."""
    pieces = (piece.decode("ascii") for piece in json_pieces(document))
    while text := "".join(islice(pieces, _PIECES)):
        print_result(text)


def _say(kind: str, line: str) -> None:
    _write_aside(f"{kind}: {printable(line)}\n")


def _write_aside(text: str) -> None:
    # Where stderr is closed or full there is nowhere left to say so: the exit code has to do.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()
