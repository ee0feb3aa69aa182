"""What decides which pixels a file becomes, and which bytes they become again."""

from __future__ import annotations

import zlib

import PIL
from PIL import features

_LIBRARIES = ("libjpeg_turbo", "jpg", "libtiff", "webp", "littlecms2")
_EXTRAS = ("isal", "imagecodecs", "tifffile")


def codec_versions() -> dict[str, str]:
    """Library -> version, of the decoders and encoders that this process uses."""
    from importlib.metadata import PackageNotFoundError, version  # takes long to load

    found = {"Pillow": PIL.__version__}
    for name in _LIBRARIES:
        found[name] = str(features.version(name) or "none")
    for name in _EXTRAS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    # Without isal the bytes of a PNG are those of whatever zlib this Python has.
    found["zlib"] = zlib.ZLIB_RUNTIME_VERSION if found["isal"] == "none" else "not used"
    return found
