"""Transparency that a BMP file declares and Pillow passes over."""

from __future__ import annotations

import struct

import numpy as np

from bncli.errors import ImageError

_WITH_ALPHA = (56, 108, 124)
"""Bytes of the headers that have a place for the mask of alpha: of versions 3, 4 and 5."""

_BITFIELDS = 3


def check_no_alpha(content: bytes) -> None:
    """Raise ImageError if there is an alpha channel that Pillow passes over, and it says something.

    Args:
        content: of a BMP file that Pillow opens.
    """
    start, header = struct.unpack_from("<II", content, 10)
    if header not in _WITH_ALPHA:
        return
    width, height, bits, compression = struct.unpack_from("<ii2xHI", content, 18)
    mask = struct.unpack_from("<I", content, 66)[0]
    read_by_pillow = bits == 32 and compression == _BITFIELDS  # noqa: PLR2004 - bits
    if not mask or bits not in {16, 32} or compression not in {0, _BITFIELDS} or read_by_pillow:
        return
    row_bytes = (width * bits + 31) // 32 * 4
    rows = np.frombuffer(content, np.uint8, row_bytes * abs(height), start)
    values = rows.reshape(abs(height), row_bytes).view(f"<u{bits // 8}")[:, :width]
    alpha = values & values.dtype.type(mask & ((1 << bits) - 1))
    if alpha.min() != alpha.max():  # where it is all one, it is unused
        raise ImageError(
            f"its alpha channel of {mask.bit_count()} bits in {bits} is not supported; choose "
            "--alpha drop, or convert it to PNG"
        )
