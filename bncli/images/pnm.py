"""PNM files that hold several pictures, one after the other, of which Pillow sees the first."""

from __future__ import annotations

import re
from typing import BinaryIO

from PIL import ImageFile

from bncli.errors import ImageError

_PLANES = {b"P5": 1, b"P6": 3}
_BITS, _BYTE_BITS = b"P4", 8
_NEXT = re.compile(rb"\s*P[1-6]\s")
_LOOKED_AT = 16


def check_alone(file: BinaryIO, image: ImageFile.ImageFile, *, wide: bool) -> None:
    """Raise ImageError if another picture begins where the pixels of the first end.

    Args:
        file: open for reading.
        image: of it, not yet loaded.
        wide: whether its values take two bytes.
    """
    file.seek(0)
    kind = file.read(2)
    width, height = image.size
    if kind == _BITS:
        size = -(-width // _BYTE_BITS) * height
    elif kind in _PLANES:
        size = width * height * _PLANES[kind] * (2 if wide else 1)
    else:
        return  # numbers in words, where what follows is more of them
    file.seek(image.tile[0].offset + size)
    if _NEXT.match(file.read(_LOOKED_AT)):
        raise ImageError(
            "more than one picture stands in it, which is not supported; split it, or choose "
            "--frames first"
        )
