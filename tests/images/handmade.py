"""Picture files built byte by byte from their formats' specifications."""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLOUR_TYPES = {"grey": 0, "rgb": 2, "palette": 3, "grey+alpha": 4, "rgb+alpha": 6}
_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2)]  # fmt: skip


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values, colour, depth, *, before=(), after=(), interlaced=False):
    """A PNG of (h, w) or (h, w, channels) numbers; chunks are (kind, body) pairs."""
    values = np.asarray(values)
    values = values[..., None] if values.ndim == 2 else values
    height, width, _ = values.shape
    header = struct.pack(
        ">IIBBBBB", width, height, depth, COLOUR_TYPES[colour], 0, 0, int(interlaced)
    )
    parts = [values[y0::dy, x0::dx] for x0, y0, dx, dy in _PASSES] if interlaced else [values]
    scanlines = b"".join(_scanlines(part, depth) for part in parts if part.size)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(*pair) for pair in before),
            chunk(b"IDAT", zlib.compress(scanlines)),
            *(chunk(*pair) for pair in after),
            chunk(b"IEND"),
        ]
    )


def _scanlines(values, depth):
    rows = values.reshape(len(values), -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8)
    elif depth == 8:
        packed = rows.astype(np.uint8)
    else:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


def png_header(width, height):
    """The start of an 8-bit grey PNG of any claimed size, with hardly a byte of pixels in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + idat + chunk(b"IEND")


def tiff(data, tags, order="<"):
    """A one-strip TIFF; *tags* are {tag: (type, values)}, the strip's place is filled in."""
    codes = {1: "B", 3: "H", 4: "I", 7: "B"}
    tags = {**tags, 273: (4, (8,)), 279: (4, (len(data),))}
    data += b"\0" * (len(data) % 2)
    start = 8 + len(data)
    table, overflow = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{codes[kind]}", *values)
        if len(packed) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(overflow)
            overflow += packed
            packed = struct.pack(f"{order}I", place)
        table += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}2sHI", mark, 42, start)
    return head + data + struct.pack(f"{order}H", len(tags)) + table + bytes(4) + overflow


def grey_tiff(width, height, bits, photometric=1, **more):
    """The tags of a grey one-strip TIFF."""
    return {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits,)),
        259: (3, (1,)),
        262: (3, (photometric,)),
        277: (3, (1,)),
        278: (4, (height,)),
        **{int(tag[1:]): entry for tag, entry in more.items()},
    }


def exif(orientation):
    """An EXIF block that holds nothing but an orientation."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
