"""Which pictures this installation can read and how it writes them, tried and not assumed."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, features

from bncli.images.png import encoder_name
from bncli.images.policy import PILLOW_FORMATS

_LIBRARIES = ("libjpeg_turbo", "libtiff", "webp", "zlib_ng", "zlib")
_SIZE = (3, 2)


def readable_formats() -> dict[str, bool]:
    """Format -> whether a small picture of it, written in memory, could be read back."""
    return {name: _round_trip(name) for name in PILLOW_FORMATS}


def library_versions() -> dict[str, str]:
    """The libraries that Pillow was built with, and their versions."""
    found = {name: features.version(name) for name in _LIBRARIES if features.check(name)}
    return {name: version for name, version in found.items() if version is not None}


def png_encoder() -> str:
    """``isal`` (the extra fast) or ``zlib``."""
    return encoder_name()


def _round_trip(name: str) -> bool:
    paper = BytesIO()
    try:
        Image.new("RGB", _SIZE, (200, 100, 50)).save(paper, name)
        with Image.open(BytesIO(paper.getvalue()), formats=[name]) as image:
            image.load()
            return image.size == _SIZE
    except Exception:  # noqa: BLE001 - whatever a broken library does is the answer
        return False
