"""Stacks of TIFF pictures written byte by byte, in the forms of several programs."""

from __future__ import annotations

import struct

import numpy as np

_CODES = {2: "s", 3: "H", 4: "I", 16: "Q"}


def one_directory(frames, description=None, *, order=">", more=None, tail=b""):
    """All frames behind each other and one directory, which is of the first.

    Args:
        frames: (n, h, w) or (n, h, w, channels).
        description: bytes, as the writer leaves them.
        order: of the bytes.
        more: further tags, {tag: (type, values)}.
        tail: what follows the last frame.
    """
    height, width = frames.shape[1:3]
    samples = frames.shape[3] if frames.ndim == 4 else 1
    bits = 8 * frames.dtype.itemsize
    data = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: (3, (width,)),
        257: (3, (height,)),
        258: (3, (bits,) * samples),
        259: (3, (1,)),
        262: (3, (2 if samples == 3 else 1,)),
        273: (4, (8,)),
        277: (3, (samples,)),
        278: (3, (height,)),
        279: (4, (frames[0].nbytes,)),
        339: (3, ({"u": 1, "i": 2, "f": 3}[frames.dtype.kind],) * samples),
        **(more or {}),
    }
    if description is not None:
        tags[270] = (2, description + b"\0")
    start = 8 + len(data) + len(tail)
    table, overflow = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        count = len(values)
        packed = values if kind == 2 else struct.pack(f"{order}{count}{_CODES[kind]}", *values)
        if len(packed) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(overflow)
            overflow += packed
            packed = struct.pack(f"{order}I", place)
        table += struct.pack(f"{order}HHI", tag, kind, count) + packed.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}2sHI", mark, 42, start)
    return head + data + tail + struct.pack(f"{order}H", len(tags)) + table + bytes(4) + overflow


def imagej(count):
    """The description of ImageJ."""
    return f"ImageJ=1.54f\nimages={count}\nframes={count}\nloop=false\n".encode()


def ramp(shape, dtype="uint16"):
    """Numbers that differ from frame to frame."""
    return (np.arange(int(np.prod(shape))) * 7 % 251).reshape(shape).astype(dtype)
