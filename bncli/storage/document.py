"""A JSON document on disk, however long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from bncli.names import with_whole_names


def write_document(file: BinaryIO, document: Mapping[str, Any]) -> None:
    """Write it indented; of a value that is an iterator one element at a time: it may be long."""
    file.writelines(document_pieces(document))


def document_pieces(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The bytes of such a file, piece by piece."""
    start = "{"
    for key, value in document.items():
        yield f"{start}\n  {json.dumps(key)}: ".encode()
        yield from _json_rows(value) if isinstance(value, Iterator) else [_json(value, 1)]
        start = ","
    yield b"\n}\n"


def _json_rows(rows: Iterator[Any]) -> Iterator[bytes]:
    start = b"["
    for row in rows:
        yield start + b"\n    " + _json(row, 2)
        start = b","
    yield b"[]" if start == b"[" else b"\n  ]"


def _json(value: Any, depth: int) -> bytes:
    text = with_whole_names(json.dumps(value, indent=2, allow_nan=False))
    return text.replace("\n", "\n" + "  " * depth).encode("ascii")
