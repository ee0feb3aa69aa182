"""What a process that works for another one answers: data, and never code.

A file may have taken the process over, so whoever reads believes nothing. An answer is one frame::

    4 bytes    bnc1
    1 byte     what it tells: BEGUN, DONE or RAISED
    8 bytes    bytes of the text, little-endian
    8 bytes    bytes of all blocks
    text       JSON, UTF-8
    blocks     the contents of arrays and bytes, in the order in which the text speaks of them

In the text None, booleans, numbers, strings and dictionaries stand for themselves, and all else is
a list that begins with a word: one of those below, or the name of a class that was declared to
travel, with its fields in order. What occurs twice is told once, so that it is in memory once.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from bncli.engines.kinds import fields_of
from bncli.machine import allowed_memory
from bncli.travels import TRAVELLING

BEGUN, DONE, RAISED = range(3)

_HEAD = struct.Struct("<4sBQQ")
_MAGIC = b"bnc1"
_NUMBER = struct.Struct("<d")
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

_WEIGHT = 32
"""Bytes of memory that one byte of text can become."""

_SMALL = 1 << 22
"""Bytes that any machine has."""

_PIECE = 1 << 26
"""Bytes after which the memory that is left is looked at again."""

_PLAIN = frozenset({type(None), bool, int})
_MOST_AXES = 32
_LONGEST = 1 << 60

_SHORT = 16
"""Characters of a string that may as well be told again."""

_DTYPES: dict[str, np.dtype[Any]] = {
    dtype.str: np.dtype(dtype.str)
    for code in "?bhilqBHILQefdg"
    for dtype in (np.dtype(code), np.dtype(code).newbyteorder())
}
"""The dtypes that travel: plain numbers of either byte order."""


class AnswerError(Exception):
    """What was read is no answer of bncli."""


def write_answer(out: BinaryIO, kind: int, value: Any) -> None:
    """Write one answer; nothing of it is written where it cannot be told.

    Raises:
        TypeError: something in it does not travel.
    """
    telling = _Telling()
    words = _JSON.encode(telling.told(value))
    text = words.encode("utf-8", "surrogatepass")  # names of files may hold any bytes
    size = sum(len(block) for block in telling.blocks)
    out.write(_HEAD.pack(_MAGIC, kind, len(text), size))
    out.write(text)
    out.writelines(telling.blocks)
    out.flush()


def read_answer(stream: BinaryIO) -> tuple[int, Any]:
    """Read one answer: what kind it is of, and what it tells.

    Raises:
        EOFError: the stream ends before it does.
        AnswerError: it is none, or takes more memory than there is.
    """
    magic, kind, length, size = _HEAD.unpack(_read(stream, _HEAD.size))
    if magic != _MAGIC or kind not in {BEGUN, DONE, RAISED}:
        raise AnswerError("it does not begin as an answer does")
    _check_room(length * _WEIGHT + size)
    hearing = _Hearing(stream, size)
    try:
        told = json.loads(_read(stream, length).decode("utf-8", "surrogatepass"))
        value = hearing.made(told)
    except (ValueError, RecursionError) as error:
        raise AnswerError("it cannot be understood") from error
    if hearing.left:
        raise AnswerError("it is longer than what it tells")
    return kind, value


def _check_room(size: int) -> None:
    if size > _SMALL and size > allowed_memory():
        raise AnswerError("it takes more memory than there is")


def _read(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EOFError
    return content


class _Telling:
    """One value on its way into a frame.

    Attributes:
        blocks: of arrays and bytes.
    """

    def __init__(self) -> None:
        self.blocks: list[bytes | memoryview] = []
        self._places: dict[int, int] = {}
        """Identity -> number of what was told; all of it stays alive until the frame is written."""

    def told(self, value: Any) -> Any:
        """A value as JSON knows it."""
        kind = type(value)
        if kind in _PLAIN or (kind is str and len(value) <= _SHORT):
            return value
        if kind is list:
            return ["list", *self._each(value)]
        if kind is float:
            return value if math.isfinite(value) else ["float", _NUMBER.pack(value).hex()]
        if isinstance(value, (np.ndarray, np.generic, np.dtype)):
            return self._number(value)
        place = self._places.get(id(value))
        if place is not None:
            return ["same", place]
        words = self._whole(value, kind)
        self._places[id(value)] = len(self._places)
        return words

    def _each(self, values: Iterable[Any]) -> list[Any]:
        return [one if type(one) in _PLAIN else self.told(one) for one in values]

    def _whole(self, value: Any, kind: type) -> Any:
        """What is told once: all that holds more than a few bytes, but lists and arrays."""
        if kind is str:
            return value
        if kind is bytes:
            self.blocks.append(value)
            return ["bytes", len(value)]
        if kind is tuple:
            return ["tuple", *self._each(value)]
        if kind is dict and all(type(name) is str for name in value):
            return dict(zip(value, self._each(value.values()), strict=True))
        if TRAVELLING.get(kind.__name__) is not kind:
            raise TypeError(f"an instance of {kind.__name__} does not travel: declare its class")
        fields = [getattr(value, name) for name, _, _ in fields_of(kind)]
        return [kind.__name__, *self._each(fields)]

    def _number(self, value: Any) -> list[Any]:
        dtype = value if isinstance(value, np.dtype) else value.dtype
        plain = type(value) is np.ndarray or not isinstance(value, np.ndarray)
        if dtype.str not in _DTYPES or not plain:
            raise TypeError(f"{type(value).__name__} of {dtype} does not travel")
        if dtype is value:
            return ["dtype", dtype.str]
        if isinstance(value, np.generic):
            self.blocks.append(value.tobytes())
            return ["scalar", dtype.str]
        flat = np.asarray(value, order="C").reshape(-1)
        self.blocks.append(flat.view(np.uint8).data)
        return ["array", dtype.str, *value.shape]


class _Hearing:
    """One value on its way out of a frame.

    Args:
        stream: at the first block.
        left: bytes of blocks that are still to be read.
    """

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream = stream
        self.left = left
        self._heard: list[Any] = []

    def made(self, told: Any) -> Any:
        """The value of which JSON tells."""
        kind = type(told)
        if kind is list:
            return self._of_words(told)
        if kind is dict:
            made = self._each(told.values())
            return self._whole(dict(zip(told, made, strict=True)))
        if kind is str and len(told) > _SHORT:
            return self._whole(told)
        return told

    def _of_words(self, told: list[Any]) -> Any:
        word = told[0] if told else None
        if type(word) is not str:
            raise AnswerError("a list in it begins with no word")
        if word in TRAVELLING:
            return self._instance(TRAVELLING[word], told)
        if word == "list":
            return self._each(told[1:])
        if word == "tuple":
            return self._whole(tuple(self._each(told[1:])))
        maker = _MAKERS.get(word)
        if maker is None:
            raise AnswerError("it tells of what does not travel")
        try:
            return maker(self, *told[1:])
        except (TypeError, struct.error) as error:
            raise AnswerError(f"it tells of a {word} in other words") from error

    def _each(self, told: Iterable[Any]) -> list[Any]:
        return [one if type(one) in _PLAIN else self.made(one) for one in told]

    def _whole(self, value: Any) -> Any:
        self._heard.append(value)
        return value

    def same(self, place: int) -> Any:
        """What it has spoken of before, by its number."""
        _check_length(place)
        if place >= len(self._heard):
            raise AnswerError("it speaks again of what it has not spoken of")
        return self._heard[place]

    def float(self, bits: str) -> float:
        """A number that JSON does not know, by its bits."""
        number: float = _NUMBER.unpack(bytes.fromhex(bits))[0]
        return number

    def dtype(self, name: str) -> np.dtype[Any]:
        """What kind of numbers."""
        dtype = _DTYPES.get(name)
        if dtype is None:
            raise AnswerError("it tells of numbers of another kind")
        return dtype

    def bytes(self, size: int) -> Any:
        """The next bytes of the blocks."""
        self._take(size)
        return self._whole(_read(self._stream, size))

    def scalar(self, name: str) -> Any:
        """One number of numpy's."""
        return self.array(name)[()]

    def array(self, name: str, *shape: int) -> Any:
        """Many, of a shape."""
        dtype = self.dtype(name)
        if len(shape) > _MOST_AXES:
            raise AnswerError("an array in it has too many axes")
        for length in shape:
            _check_length(length)
        self._take(math.prod(shape) * dtype.itemsize)
        array = np.empty(shape, dtype)
        self._fill(array.reshape(-1).view(np.uint8).data)
        return array

    def _instance(self, kind: type, told: list[Any]) -> Any:
        fields = fields_of(kind)
        if len(fields) != len(told) - 1:
            raise AnswerError(f"it tells of a {kind.__name__} of other fields")
        values = self._each(told[1:])
        plain = issubclass(kind, tuple)
        made: Any = tuple.__new__(kind, values) if plain else object.__new__(kind)
        put = object.__setattr__  # also where it is frozen
        for (name, types, fits), value in zip(fields, values, strict=True):
            if type(value) not in types and not fits(value):
                raise AnswerError(f"{name} of a {kind.__name__} in it is of another type")
            if not plain:
                put(made, name, value)
        return self._whole(made)

    def _take(self, size: int) -> None:
        """Count bytes of the blocks as read."""
        _check_length(size)
        if size > self.left:
            raise AnswerError("it tells of more than it holds")
        self.left -= size

    def _fill(self, content: memoryview) -> None:
        for start in range(0, len(content), _PIECE):
            _check_room(len(content) - start)
            piece = content[start : start + _PIECE]
            if self._stream.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                raise EOFError


_MAKERS: dict[str, Callable[..., Any]] = {
    "same": _Hearing.same,
    "float": _Hearing.float,
    "dtype": _Hearing.dtype,
    "bytes": _Hearing.bytes,
    "scalar": _Hearing.scalar,
    "array": _Hearing.array,
}
"""Word -> what makes a value of the rest of its list."""


def _check_length(length: Any) -> None:
    if type(length) is not int or not 0 <= length <= _LONGEST:
        raise AnswerError("a length in it is none")
