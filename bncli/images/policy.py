"""What to make of a picture's mode, alpha, frames and size, as the user said."""

from __future__ import annotations

from dataclasses import dataclass

PILLOW_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Pillow's names of the formats that are opened; everything else is refused unread."""

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib"}
    | {".mpo", ".btf", ".tf2", ".tf8", ".gif", ".webp", ".pnm", ".pbm", ".pgm", ".ppm", ".pfm"}
)
"""Files of other suffixes are counted, not read, unless they are named one by one."""

MODES = ("keep", "L", "RGB")
ALPHAS = ("keep", "drop", "normalize")
FRAMES = ("error", "first", "all")

MAX_PIXELS = 89_478_485
"""Width times height of the largest picture that is opened unasked: 0.25 GiB of 24-bit pixels."""


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """How pictures become arrays.

    Attributes:
        mode: ``keep`` (all must agree), or convert to ``L`` or ``RGB``.
        alpha: ``keep`` (copied through), ``drop``, or ``normalize`` (a channel like the others).
        frames: ``error`` (a file with several frames is refused), ``first`` or ``all``.
        resize: (width, height) that every picture is brought to, or None.
        max_pixels: width times height above which a file is refused unread.
        keep_metadata: whether EXIF, XMP and resolution are read, to be copied.
    """

    mode: str = "keep"
    alpha: str = "keep"
    frames: str = "error"
    resize: tuple[int, int] | None = None
    max_pixels: int = MAX_PIXELS
    keep_metadata: bool = False
