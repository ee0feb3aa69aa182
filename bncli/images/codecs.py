"""Which pictures this installation reads, and what decides how it reads and writes them."""

from __future__ import annotations

import zlib
from io import BytesIO

import PIL
from PIL import Image, features

from bncli.images.policy import PILLOW_FORMATS

_BEHIND_PILLOW = ("libjpeg_turbo", "libtiff", "webp", "zlib_ng", "zlib")
_DECIDING = ("libjpeg_turbo", "jpg", "libtiff", "webp", "littlecms2")
_EXTRAS = ("isal", "imagecodecs", "tifffile")
_SIZE = (3, 2)


def readable_formats() -> dict[str, bool]:
    """Format -> whether a small picture of it, written in memory, could be read back."""
    return {name: _round_trip(name) for name in PILLOW_FORMATS}


def library_versions() -> dict[str, str]:
    """The libraries that Pillow was built with, and their versions."""
    found = {name: features.version(name) for name in _BEHIND_PILLOW if features.check(name)}
    return {name: version for name, version in found.items() if version is not None}


def codec_versions() -> dict[str, str]:
    """Library -> version, of all that decides which pixels a file becomes, or their bytes again."""
    from importlib.metadata import PackageNotFoundError, version  # takes long to load

    found = {"Pillow": PIL.__version__}
    for name in _DECIDING:
        found[name] = str(features.version(name) or "none")
    for name in _EXTRAS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    # Without isal the bytes of a PNG are those of whatever zlib this Python has.
    found["zlib"] = zlib.ZLIB_RUNTIME_VERSION if found["isal"] == "none" else "not used"
    return found


def _round_trip(name: str) -> bool:
    paper = BytesIO()
    try:
        Image.new("RGB", _SIZE, (200, 100, 50)).save(paper, name)
        with Image.open(BytesIO(paper.getvalue()), formats=[name]) as image:
            image.load()
            return image.size == _SIZE
    except Exception:  # noqa: BLE001 - whatever a broken library does is the answer
        return False
