"""One array to the bytes of one file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.images.layout import Shape, to_file_order
from bncli.images.png import encode_png
from bncli.images.tiff import encode_tiff

SUFFIX = {"png": ".png", "tiff": ".tiff"}


def output_name(name: str, picture_format: str) -> str:
    """The output of a picture: its relative path with the new suffix; frame 3 of a.gif is a-3."""
    stem, mark, frame = name.rpartition("#")
    numbered = bool(mark) and frame.isascii() and frame.isdigit()
    folder, slash, last = (stem if numbered else name).rpartition("/")
    bare = last.rpartition(".")[0] or last
    number = f"-{frame}" if numbered else ""
    return f"{folder}{slash}{bare}{number}{SUFFIX[picture_format]}"


def png_bytes(
    levels: NDArray[Any], alpha: NDArray[Any] | None, shape: Shape, icc: bytes | None
) -> bytes:
    """A PNG file of the depth of *levels*.

    Args:
        levels: (pixels,), uint8 or uint16, in file order.
        alpha: (h * w,), the channel to copy through, or None.
        shape: (w, h, c) of the levels.
        icc: a colour profile, or None.
    """
    return encode_png(_with_alpha(to_file_order(levels, shape), alpha), icc)


def tiff_bytes(y: NDArray[Any], alpha: NDArray[Any] | None, shape: Shape) -> bytes:
    """A float32 TIFF file of y; an alpha channel is scaled to [0, 1]."""
    if alpha is not None and alpha.dtype.kind == "u":
        alpha = alpha / np.float64(np.iinfo(alpha.dtype).max)
    return encode_tiff(_with_alpha(to_file_order(y, shape), alpha))


def _with_alpha(pixels: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    if alpha is None:
        return pixels
    plane = alpha.reshape(*pixels.shape[:2], 1)
    if pixels.dtype.kind == "u" and plane.dtype != pixels.dtype:
        plane = _at_depth(plane, pixels.dtype)
    return np.concatenate([pixels, plane.astype(pixels.dtype)], axis=2)


def _at_depth(plane: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Alpha of one integer depth, or of [0, 1], at another depth, rounded."""
    old = np.iinfo(plane.dtype).max if plane.dtype.kind == "u" else 1
    return np.clip(np.rint(plane * (np.iinfo(dtype).max / old)), 0, np.iinfo(dtype).max)
