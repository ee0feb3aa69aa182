"""Floating-point TIFF files, which Pillow cannot write in colour, and reading them back.

Format: TIFF, revision 6.0 (Adobe 1992), one uncompressed strip.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bncli.errors import LimitError
from bncli.images.metadata import Metadata, directory

_SHORT, _LONG = 3, 4
_IEEE_FLOAT = 3
_MIN_IS_BLACK, _RGB = 1, 2
_UNASSOCIATED_ALPHA = 2
_ENTRY_BYTES = 12
_DATA_START = 8
_END_BYTES = 1024
"""More than follows the numbers where nothing is carried, or than the table where something is."""

_CODES = {_SHORT: "H", _LONG: "I"}
_NOTHING = Metadata(b"", b"", None)
_XMP, _INCH = 700, 2
_PARTS = 400
"""Of a pixel per inch, in which resolution is told."""

_TELLING = frozenset({270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 33432, 34665, 34853})
"""Tags of EXIF that tell of the picture."""

_CARRIED = _TELLING | {_XMP}

_LARGEST_NUMBERS = (1 << 30) - 1024
"""float32 numbers that leave room for the rest below 4 GiB."""


def encode_tiff(pixels: NDArray[Any], metadata: Metadata | None = None) -> bytes:
    """The bytes of a float32 TIFF file, little-endian unless its EXIF is not.

    Args:
        pixels: (h, w, channels), any floats; 1 to 4 channels are grey, grey with alpha, RGB, RGBA.
        metadata: what is to be carried along.

    Raises:
        LimitError: it would be larger than a TIFF file can be.
    """
    height, width, channels = pixels.shape
    if pixels.size >= _LARGEST_NUMBERS:
        raise LimitError(
            f"a TIFF of {width}x{height}x{channels} would pass 4 GiB; use --format npy"
        )
    if metadata is not None and metadata != _NOTHING:
        return _encode_with(pixels, metadata)
    data = np.ascontiguousarray(pixels, "<f4").tobytes()
    directory = _DATA_START + len(data)
    header = struct.pack("<2sHI", b"II", 42, directory)
    return header + data + _end(width, height, channels)


def _encode_with(pixels: NDArray[Any], metadata: Metadata) -> bytes:
    """The same with EXIF, XMP and resolution.

    The file begins with the block of EXIF, whose offsets count from its start and so stay true; the
    directory of the picture has the entries of that of the block.
    """
    height, width, channels = pixels.shape
    block = metadata.exif or b"II*\0" + bytes(4)
    order = "<" if block[:2] == b"II" else ">"
    head = block.ljust(-(-len(block) // 8) * 8, b"\0")
    data = np.ascontiguousarray(pixels, f"{order}f4").tobytes()
    place = len(head) + len(data)
    told = dict(_entries_of(block))
    entries: list[tuple[int, int, int, bytes]] = []
    if metadata.dpi is not None:
        numbers = [round(dpi * _PARTS) for dpi in metadata.dpi]
        rationals = [struct.pack(f"{order}II", number, _PARTS) for number in numbers]
        entries += [(282, 5, 1, rationals[0]), (283, 5, 1, rationals[1])]
        entries.append((296, _SHORT, 1, struct.pack(f"{order}H", _INCH)))
    if metadata.xmp:
        entries.append((_XMP, 1, len(metadata.xmp), metadata.xmp))
    for tag, kind, values in _structure(width, height, channels, len(head)):
        packed = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        entries.append((tag, kind, len(values), packed))
    table, overflow = told, b""
    start = place + 2 + _ENTRY_BYTES * len(told | {entry[0]: b"" for entry in entries}) + 4
    for tag, kind, count, packed in entries:
        value = packed.ljust(4, b"\0")
        if len(packed) > 4:  # noqa: PLR2004 - what an entry holds in itself
            value = struct.pack(f"{order}I", start + len(overflow))
            overflow += packed + bytes(len(packed) % 2)
        table[tag] = struct.pack(f"{order}HHI", tag, kind, count) + value
    listed = b"".join(table[tag] for tag in sorted(table))
    directory = struct.pack(f"{order}H", len(table)) + listed + bytes(4) + overflow
    return b"".join([head[:4], struct.pack(f"{order}I", place), head[8:], data, directory])


def _entries_of(block: bytes) -> Iterator[tuple[int, bytes]]:
    """The entries of a block of EXIF that tell of the picture, and not of its pixels, by tag."""
    found = directory(block)
    if found is not None:
        order, start, count = found
        for place in range(start, start + _ENTRY_BYTES * count, _ENTRY_BYTES):
            (tag,) = struct.unpack_from(f"{order}H", block, place)
            if tag in _TELLING:
                yield tag, block[place : place + _ENTRY_BYTES]


def own_layout(file: BinaryIO) -> tuple[int, int, int] | None:
    """Width, height and channels of a file that :func:`encode_tiff` wrote; None of all others.

    Everything but the numbers, and what is carried along, must be what the writer writes.
    """
    found = _layout(file)
    return None if found is None else (found.width, found.height, found.channels)


def decode_own(content: bytes) -> NDArray[Any] | None:
    """Pixels (h, w, channels), float32, of a file that :func:`encode_tiff` wrote, else None."""
    found = _layout(io.BytesIO(content))
    if found is None:
        return None
    width, height, channels, start, order = found
    numbers = np.frombuffer(content, f"{order}f4", width * height * channels, start)
    return numbers.reshape(height, width, channels).astype(np.float32)


class _Layout(NamedTuple):
    """Where a file holds what: *start* of its numbers, and their byte order."""

    width: int
    height: int
    channels: int
    start: int
    order: str


def _layout(file: BinaryIO) -> _Layout | None:
    file.seek(0)
    head = file.read(_DATA_START)
    order = "<" if head[:2] == b"II" else ">"
    if len(head) < _DATA_START or struct.unpack_from(f"{order}H", head, 2) != (42,):
        return None
    (place,) = struct.unpack_from(f"{order}I", head, 4)
    file.seek(place)
    end = file.read(_END_BYTES)
    (count,) = struct.unpack_from(f"{order}H", end) if len(end) > 1 else (0,)
    table = {}
    for entry in range(2, min(2 + _ENTRY_BYTES * count, len(end) - _ENTRY_BYTES), _ENTRY_BYTES):
        tag, _, _, value = struct.unpack_from(f"{order}HHII", end, entry)
        table[tag] = value, end[entry : entry + _ENTRY_BYTES]
    try:
        width, height, start = (table[tag][0] for tag in (256, 257, 273))
        (channels,) = struct.unpack_from(f"{order}H", table[277][1], 8)
    except KeyError:
        return None
    size = 4 * width * height * channels
    if channels not in range(1, 5) or not 0 < size < 4 * _LARGEST_NUMBERS or place != start + size:
        return None
    found = _Layout(width, height, channels, start, order)
    if start == _DATA_START and order == "<" and not set(table) & _CARRIED:
        return found if end == _end(width, height, channels) else None
    return found if _is_structure(file, found, {t: e for t, (_, e) in table.items()}) else None


def _is_structure(file: BinaryIO, found: _Layout, table: dict[int, bytes]) -> bool:
    """Whether the entries that tell of the pixels are those that would be written."""
    structure = _structure(found.width, found.height, found.channels, found.start)
    for tag, kind, values in structure:
        packed = struct.pack(f"{found.order}{len(values)}{_CODES[kind]}", *values)
        entry = table.pop(tag, bytes(_ENTRY_BYTES))
        value = entry[8 : 8 + len(packed)]
        if len(packed) > 4:  # noqa: PLR2004 - what an entry holds in itself
            file.seek(*struct.unpack_from(f"{found.order}I", entry, 8))
            value = file.read(len(packed))
        if entry[:8] + value != struct.pack(f"{found.order}HHI", tag, kind, len(values)) + packed:
            return False
    turned = table.get(274, struct.pack(f"{found.order}HHIHH", 274, _SHORT, 1, 1, 0))
    return struct.unpack_from(f"{found.order}H", turned, 8) == (1,) and set(table) <= _CARRIED


def _end(width: int, height: int, channels: int) -> bytes:
    """What follows the numbers."""
    size = 4 * width * height * channels
    return _directory(_structure(width, height, channels, _DATA_START), _DATA_START + size)


def _structure(
    width: int, height: int, channels: int, start: int
) -> list[tuple[int, int, tuple[int, ...]]]:
    """The entries of a picture whose numbers begin at *start*."""
    colours = 3 if channels >= 3 else 1  # noqa: PLR2004 - RGB or grey
    size = 4 * width * height * channels
    entries = [
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (32,) * channels),
        (259, _SHORT, (1,)),
        (262, _SHORT, (_RGB if colours > 1 else _MIN_IS_BLACK,)),
        (273, _LONG, (start,)),
        (277, _SHORT, (channels,)),
        (278, _LONG, (height,)),
        (279, _LONG, (size,)),
        (284, _SHORT, (1,)),
    ]
    if channels > colours:
        entries.append((338, _SHORT, (_UNASSOCIATED_ALPHA,)))
    entries.append((339, _SHORT, (_IEEE_FLOAT,) * channels))
    return entries


def _directory(entries: list[tuple[int, int, tuple[int, ...]]], start: int) -> bytes:
    table, overflow = [], b""
    overflow_start = start + 2 + _ENTRY_BYTES * len(entries) + 4
    for tag, kind, values in entries:
        packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        if len(packed) > 4:  # noqa: PLR2004 - what an entry holds in itself
            place = struct.pack("<I", overflow_start + len(overflow))
            overflow += packed
        else:
            place = packed.ljust(4, b"\0")
        table.append(struct.pack("<HHI", tag, kind, len(values)) + place)
    return struct.pack("<H", len(entries)) + b"".join(table) + bytes(4) + overflow
