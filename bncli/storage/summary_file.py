"""The summary.json of a run: written, found again, and read for what it says of the pictures."""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from bncli.errors import ArrayError, DataError
from bncli.files import open_regular
from bncli.packed import Texts
from bncli.storage.arrays import naming

_PIECE, _LARGEST_PART = 1 << 16, 1 << 24
"""Bytes that are read at once, and at most of anything that is read whole."""

_TAIL = len("e+")

_BLANK = re.compile(r"[ \t\n\r]*")
_SCHEMAS = ("bncli.normalize/1", "bncli.apply/1")
_STATISTICS = "stats.npz"
_LACKS = "it lacks what bncli's summaries hold"


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
    sources: Sequence[str]


def find_summary(path: Path, take: Callable[[Any], None]) -> Any:
    """The document of a file that may not be there, or not be JSON; None where it is neither.

    Args:
        path: of the file.
        take: is given each output, which is then not in the document; what it raises is raised.
    """
    try:
        with open_regular(path) as (file, _):
            return _Reader(file).document({"outputs": take, "skipped": _forget})
    except (DataError, OSError, json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_summary(path: Path, most: int) -> EarlierRun:
    """Read the summary.json of a run of normalize or apply, which anybody may have made.

    Args:
        path: of the file.
        most: sources that are wanted of it; of more only the first are kept, and one.

    Raises:
        ArrayError: it is no such file, or something in it cannot be.
    """
    sources = Texts()

    def take(output: Any) -> None:
        name = _name(output["source"])
        if len(sources) <= most:
            sources.append(name)

    with naming(path), open_regular(path) as (file, _):
        try:
            document = _Reader(file).document({"outputs": take, "skipped": _forget})
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArrayError("it is no JSON; it is damaged or not bncli's") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ArrayError(_LACKS) from error
        try:
            return _checked(path, document, sources)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArrayError(_LACKS) from error


class _Reader:
    """Reads a JSON object of which some lists may be very long.

    Args:
        file: open for reading.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._decoder = json.JSONDecoder()
        self._file = file
        self._coded = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0

    def document(self, lists: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
        """The object, with those lists empty whose elements are given away one by one.

        Raises:
            JSONDecodeError, UnicodeDecodeError: it is none, or something in it is too long.
        """
        found: dict[str, Any] = {}

        def take_member() -> None:
            name = self._value()
            self._take(":")
            if name in lists and self._next() == "[":
                found[name] = []
                self._take("[")
                self._each("]", lambda: lists[name](self._value()))
            else:
                found[str(name)] = self._value()

        self._take("{")
        self._each("}", take_member)
        if self._next():
            raise self._no_json()
        return found

    def _each(self, end: str, take_one: Callable[[], None]) -> None:
        """What is separated by commas, up to its *end*."""
        if self._next() == end:
            self._take(end)
            return
        while True:
            take_one()
            if self._next() == end:
                self._take(end)
                return
            self._take(",")

    def _value(self) -> Any:
        """The value that comes next, whole."""
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_on():
                    raise
            else:
                length = end - self._at
                # A number may go on behind the text: "1e+" is read as 1 where it ends so.
                if end + _TAIL < len(self._text) or not self._read_on():
                    self._at += length
                    return value

    def _take(self, sign: str) -> None:
        if self._next() != sign:
            raise self._no_json()
        self._at += 1

    def _next(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            assert blank is not None  # noqa: S101 - it may be empty
            self._at = blank.end()
            if self._at < len(self._text) or not self._read_on():
                return self._text[self._at : self._at + 1]

    def _read_on(self) -> bool:
        """Read more, as much again as is waiting: what is long is not looked at too often."""
        rest = self._text[self._at :]
        if len(rest) > _LARGEST_PART:
            raise self._no_json()
        read = self._file.read(max(_PIECE, len(rest)))
        self._text, self._at = rest + self._coded.decode(read, final=not read), 0
        return bool(read)

    def _no_json(self) -> json.JSONDecodeError:
        return json.JSONDecodeError("no document of bncli's", "", 0)


def _forget(_element: Any) -> None:
    """Nobody wants it."""


def _checked(path: Path, document: Any, sources: Sequence[str]) -> EarlierRun:
    schema = document["schema"]
    if not isinstance(document["outputs"], list):
        raise TypeError
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
        sources=sources,
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
