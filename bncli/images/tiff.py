"""Floating-point TIFF files, which Pillow cannot write in colour, and reading them back.

Format: TIFF, revision 6.0 (Adobe 1992), one uncompressed strip.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.errors import LimitError

_SHORT, _LONG = 3, 4
_IEEE_FLOAT = 3
_MIN_IS_BLACK, _RGB = 1, 2
_UNASSOCIATED_ALPHA = 2
_ENTRY_BYTES = 12
_DATA_START = 8
_END_BYTES = 1024
"""More than what follows the numbers."""

_LARGEST_NUMBERS = (1 << 30) - 1024
"""float32 numbers that leave room for the rest below 4 GiB."""


def encode_tiff(pixels: NDArray[Any]) -> bytes:
    """The bytes of a little-endian float32 TIFF file.

    Args:
        pixels: (h, w, channels), any floats; 1 to 4 channels are grey, grey with alpha, RGB, RGBA.

    Raises:
        LimitError: it would be larger than a TIFF file can be.
    """
    height, width, channels = pixels.shape
    if pixels.size >= _LARGEST_NUMBERS:
        raise LimitError(
            f"a TIFF of {width}x{height}x{channels} would pass 4 GiB; use --format npy"
        )
    data = np.ascontiguousarray(pixels, "<f4").tobytes()
    directory = _DATA_START + len(data)
    header = struct.pack("<2sHI", b"II", 42, directory)
    return header + data + _end(width, height, channels)


def own_layout(file: BinaryIO) -> tuple[int, int, int] | None:
    """Width, height and channels of a file that :func:`encode_tiff` wrote; None of all others.

    Everything but the numbers must be, byte for byte, what the writer writes.
    """
    file.seek(0)
    magic, version, directory = struct.unpack("<2sHI", file.read(_DATA_START).ljust(8, b"\0"))
    if (magic, version) != (b"II", 42):
        return None
    file.seek(directory)
    end = file.read(_END_BYTES)
    places = [2 + _ENTRY_BYTES * entry + 8 for entry in (0, 1, 6)]
    if len(end) < max(places) + 4:
        return None
    width, height, channels = (struct.unpack_from("<I", end, place)[0] for place in places)
    size = width * height * channels
    if channels not in range(1, 5) or not 0 < size < _LARGEST_NUMBERS:
        return None
    whole = directory == _DATA_START + 4 * size and end == _end(width, height, channels)
    return (width, height, channels) if whole else None


def decode_own(content: bytes) -> NDArray[Any] | None:
    """Pixels (h, w, channels), float32, of a file that :func:`encode_tiff` wrote, else None."""
    layout = own_layout(io.BytesIO(content))
    if layout is None:
        return None
    width, height, channels = layout
    numbers = np.frombuffer(content, "<f4", width * height * channels, _DATA_START)
    return numbers.reshape(height, width, channels).astype(np.float32)


def _end(width: int, height: int, channels: int) -> bytes:
    """What follows the numbers."""
    colours = 3 if channels >= 3 else 1  # noqa: PLR2004 - RGB or grey
    size = 4 * width * height * channels
    entries = [
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (32,) * channels),
        (259, _SHORT, (1,)),
        (262, _SHORT, (_RGB if colours > 1 else _MIN_IS_BLACK,)),
        (273, _LONG, (_DATA_START,)),
        (277, _SHORT, (channels,)),
        (278, _LONG, (height,)),
        (279, _LONG, (size,)),
        (284, _SHORT, (1,)),
    ]
    if channels > colours:
        entries.append((338, _SHORT, (_UNASSOCIATED_ALPHA,)))
    entries.append((339, _SHORT, (_IEEE_FLOAT,) * channels))
    return _directory(entries, _DATA_START + size)


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
