"""Text for anybody: numbers as people write them, names in JSON, nothing that moves a cursor."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_ESCAPED_BYTE = range(0xDC80, 0xDD00)  # how Python holds the bytes of a name that is no UTF-8
_LONE = re.compile(
    r"\\\\"  # an escaped backslash, whatever follows it
    r"|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"  # a whole pair: a character
    r"|\\udc([89a-f][0-9a-f])"
)


def parse_number(text: str) -> float | None:
    """The number that *text* is, or None; Python's own ``1_0`` and foreign digits are none."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def json_pieces(document: Mapping[str, Any]) -> Iterator[bytes]:
    """A JSON object in ASCII, indented; an iterator in it is a list, which is never held whole.

    A file name may hold bytes that are no UTF-8: see :func:`with_whole_names`.
    """
    start = "{"
    for key, value in document.items():
        yield f"{start}\n  {json.dumps(key)}: ".encode()
        yield from _json_rows(value) if isinstance(value, Iterator) else [_json(value, 1)]
        start = ","
    yield b"\n}\n"


def with_whole_names(text: str) -> str:
    """JSON in ASCII, as the standard library writes it, valid for the strictest reader.

    A file name may hold bytes that are no UTF-8. Python keeps such a byte as half of a surrogate
    pair, which is no character, and which many readers of JSON refuse. In a document it is the
    character U+0000 followed by the character of the byte's number: no name holds U+0000, so the
    way back is plain.
    """
    return _LONE.sub(_marked, text) if "\\udc" in text else text


def printable(text: str, keep: str = "") -> str:
    """*text* with everything but printable characters, and those of *keep*, escaped."""
    return "".join(c if c.isprintable() or c in keep else escaped(c) for c in text)


def escaped(character: str) -> str:
    """One character as a string literal would have it, or as the byte that it stands for."""
    code = ord(character)
    if code in _ESCAPED_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _json_rows(rows: Iterator[Any]) -> Iterator[bytes]:
    start = b"["
    for row in rows:
        yield start + b"\n    " + _json(row, 2)
        start = b","
    yield b"[]" if start == b"[" else b"\n  ]"


def _json(value: Any, depth: int) -> bytes:
    text = with_whole_names(json.dumps(value, indent=2, allow_nan=False))
    return text.replace("\n", "\n" + "  " * depth).encode("ascii")


def _marked(match: re.Match[str]) -> str:
    return match[0] if match[1] is None else rf"\u0000\u00{match[1]}"
