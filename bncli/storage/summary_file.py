"""The summary.json of a run: written, found again, and read for what it says of the pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bncli.errors import ArrayError, DataError
from bncli.files import open_regular
from bncli.storage.arrays import naming
from bncli.text import with_whole_names

_LARGEST = 1 << 30
_SCHEMAS = ("bncli.normalize/1", "bncli.apply/1")
_STATISTICS = "stats.npz"


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What a run of normalize or apply left word of.

    Attributes:
        path: of the summary.
        scale: how y became pixel values: ``minmax``, ``image``, ``sigma``, ``range`` or ``none``.
        low, high: the y that are black and white, or None.
        clipped: how many values were clipped.
        statistics_sha256: of the stats.npz the pictures were made with.
        sources: what each picture was called, in order.
    """

    path: Path
    scale: str
    low: float | None
    high: float | None
    clipped: int
    statistics_sha256: str
    sources: tuple[str, ...]


def summary_pieces(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The bytes of a JSON file, indented; an iterator in it may be long, and is never held."""
    start = "{"
    for key, value in document.items():
        yield f"{start}\n  {json.dumps(key)}: ".encode()
        yield from _json_rows(value) if isinstance(value, Iterator) else [_json(value, 1)]
        start = ","
    yield b"\n}\n"


def find_summary(path: Path) -> Any:
    """The document of a file that may not be there, or not be JSON; None where it is neither."""
    try:
        with open_regular(path) as (file, state):
            return json.load(file) if state.size < _LARGEST else None
    except (DataError, OSError, ValueError, RecursionError):
        return None


def read_summary(path: Path) -> EarlierRun:
    """Read the summary.json of a run of normalize or apply, which anybody may have made.

    Raises:
        ArrayError: it is no such file, or something in it cannot be.
    """
    with naming(path):
        with open_regular(path) as (file, state):
            if state.size > _LARGEST:
                raise ArrayError(f"it has {state.size:,} bytes, too many for a summary")
            content = file.read(_LARGEST + 1)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ArrayError("it is no JSON; it is damaged or not bncli's") from error
        try:
            return _checked(path, document)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArrayError("it lacks what bncli's summaries hold") from error


def _json_rows(rows: Iterator[Any]) -> Iterator[bytes]:
    start = b"["
    for row in rows:
        yield start + b"\n    " + _json(row, 2)
        start = b","
    yield b"[]" if start == b"[" else b"\n  ]"


def _json(value: Any, depth: int) -> bytes:
    text = with_whole_names(json.dumps(value, indent=2, allow_nan=False))
    return text.replace("\n", "\n" + "  " * depth).encode("ascii")


def _checked(path: Path, document: Any) -> EarlierRun:
    schema = document["schema"]
    if schema not in _SCHEMAS:
        raise ArrayError(f"its schema is {schema!r:.40}; it must be of normalize or apply")
    scale = document["scale"]
    low, high = (_number(scale[name]) for name in ("low", "high"))
    if schema == _SCHEMAS[0]:
        arrays = {str(array["path"]): array["sha256"] for array in document["arrays"]}
        digest = arrays[_STATISTICS]
    else:
        digest = document["statistics"]["sha256"]
    return EarlierRun(
        path=path,
        scale=str(scale["kind"]),
        low=low,
        high=high,
        clipped=int(document["clipped_values"]),
        statistics_sha256=str(digest),
        sources=tuple(_name(output["source"]) for output in document["outputs"]),
    )


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ArrayError(f"its scale holds {value!r:.40}")
    return float(value)


def _name(value: Any) -> str:
    """A name below a folder: files will be called so."""
    parts = PurePosixPath(value).parts
    sound = isinstance(value, str) and value and "\0" not in value and ".." not in parts
    if not sound or value.startswith("/") or value.endswith("/"):
        raise ArrayError(f"it calls a picture {value!r:.60}, which is no name below a folder")
    return str(value)
