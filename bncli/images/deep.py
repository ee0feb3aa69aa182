"""Pictures that Pillow would spoil: 16-bit and floating-point colour, at full depth.

PNG is read by imagecodecs and TIFF by tifffile (the extra ``codecs``); raw 16-bit PNM is nothing
but big-endian numbers behind a header, so it needs no library.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.errors import ImageError

_REMEDY = "Pillow would cut it to 8 bits; pip install 'bncli[codecs]' reads it at full depth"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION_TAG = 274
_FIRST_TURNED = 5
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_COLOURS = {("MINISBLACK", 1): "L", ("MINISWHITE", 1): "L", ("RGB", 3): "RGB"}


@dataclass(frozen=True, slots=True)
class PixelKind:
    """What the pixels of a picture are.

    Attributes:
        mode: ``L`` or ``RGB``.
        alpha: whether there is an alpha channel or a transparent colour.
        dtype: uint8, uint16 or a floating-point type, in the machine's byte order.
    """

    mode: str
    alpha: bool
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What tifffile says of one page: upright size, kind, and what is left to do."""

    size: tuple[int, int]
    kind: PixelKind
    orientation: int
    inverted: bool


def require(module: str, fact: str) -> None:
    """Raise ImageError with *fact* and the remedy unless *module* is installed."""
    if importlib.util.find_spec(module) is None:
        raise ImageError(f"{fact}; {_REMEDY}")


def is_tiff(file: BinaryIO) -> bool:
    """Whether the file begins as a TIFF does."""
    file.seek(0)
    return file.read(4) in _TIFF_SIGNATURES


def read_tiff_header(file: BinaryIO, frame: int) -> tuple[int, TiffHeader]:
    """The number of pages and what page *frame* holds.

    Raises:
        ImageError: its pixels have no rule here, or tifffile is not installed.
    """
    require("tifffile", "it is a TIFF with more than 8 bits per channel in colour or with alpha")
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page: Any = tiff.pages[frame]
        return len(tiff.pages), _page_header(page)


def decode_tiff(content: bytes, frame: int) -> tuple[NDArray[Any], int]:
    """Pixels (h, w, channels with alpha last) and the EXIF orientation still to be applied."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        page: Any = tiff.pages[frame]
        header = _page_header(page)
        pixels: NDArray[Any] = page.asarray()
        planar = page.planarconfig is not None and page.planarconfig.name == "SEPARATE"
    if pixels.ndim == 2:  # noqa: PLR2004 - a page without a channel axis
        pixels = pixels[..., None]
    elif planar:
        pixels = np.moveaxis(pixels, 0, -1)
    if header.inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels.astype(header.kind.dtype, copy=False), header.orientation


def decode_png(content: bytes) -> NDArray[Any]:
    """Pixels (h, w, channels with alpha last), uint16."""
    import imagecodecs

    pixels: NDArray[Any] = imagecodecs.png_decode(content)
    return pixels if pixels.ndim == 3 else pixels[..., None]  # noqa: PLR2004 - channel axis


def decode_pnm(content: bytes, offset: int, size: tuple[int, int], largest: int) -> NDArray[Any]:
    """Pixels (h, w, 3), uint16, of a raw 16-bit PPM whose numbers begin at *offset*."""
    width, height = size
    if not content.startswith(b"P6"):
        raise ImageError("it is a 16-bit PPM written as text; save it in the raw form (P6)")
    count = width * height * 3
    if len(content) - offset < 2 * count:
        raise ImageError("it ends before its last pixel: it is incomplete")
    values = np.frombuffer(content, ">u2", count, offset).astype(np.uint32)
    if int(values.max()) > largest:
        raise ImageError(f"it holds values above the {largest} that it declares")
    scaled = (values * np.uint32(65535) + np.uint32(largest // 2)) // np.uint32(largest)
    return scaled.astype(np.uint16).reshape(height, width, 3)


def _page_header(page: Any) -> TiffHeader:
    extras = len(page.extrasamples)
    colours = page.samplesperpixel - extras
    mode = _COLOURS.get((page.photometric.name, colours))
    inverted = page.photometric.name == "MINISWHITE"
    dtype = np.dtype(page.dtype) if page.dtype is not None else np.dtype(object)
    usable = dtype.name in _DTYPES and not (inverted and dtype.kind == "f")
    if mode is None or extras > 1 or not usable or page.imagedepth > 1:
        raise ImageError(
            f"it is a TIFF of {page.samplesperpixel} x {dtype} ({page.photometric.name}), "
            "which has no value scale; convert it to 8 or 16-bit or floating-point grey or RGB"
        )
    orientation = page.tags.valueof(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    size = (page.imagewidth, page.imagelength)
    if orientation >= _FIRST_TURNED:
        size = size[::-1]
    native = dtype.newbyteorder("=")
    return TiffHeader(size, PixelKind(mode, extras == 1, native), orientation, inverted)
