"""Pictures that Pillow would spoil: 16-bit and floating-point colour, at full depth.

PNG is read by imagecodecs and TIFF by tifffile (the extra ``codecs``), but for TIFF files that are
bncli's own; raw 16-bit PNM is nothing but big-endian numbers behind a header and needs no library.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.errors import ImageError
from bncli.images.no_data import TAG as NO_DATA, check_no_data
from bncli.images.tiff import decode_own, own_layout
from bncli.travels import travels

_REMEDY = "pip install 'bncli[codecs]' reads it whole"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION_TAG = 274
_ICC_TAG = 34675
_FIRST_TURNED = 5
_DIFFERENCES = 2
_UNSPECIFIED, _ASSOCIATED_ALPHA = 0, 1
_QUOTED = 20
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64", "int8", "int16", "int32", "uint32")
_FULL_SCALE = ("uint8", "uint16")
_COLOURS = {("MINISBLACK", 1): "L", ("MINISWHITE", 1): "L", ("RGB", 3): "RGB"}


@travels
@dataclass(frozen=True, slots=True)
class PixelKind:
    """What the pixels of a picture are.

    Attributes:
        mode: ``L`` or ``RGB``.
        alpha: whether there is an alpha channel or a transparent colour.
        dtype: an integer of 8 to 32 bits or a floating-point type, in the machine's byte order.
    """

    mode: str
    alpha: bool
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What tifffile says of one page: upright size, kind, and what is left to do.

    Attributes:
        size: (width, height) as seen upright.
        kind: colour mode, alpha and dtype.
        orientation: as in EXIF, still to be applied.
        inverted: whether 0 is white.
        largest: the value of white, of integers.
        premultiplied: whether the colours are multiplied by alpha.
        unspecified: whether nothing says that the channel after the colours is alpha.
    """

    size: tuple[int, int]
    kind: PixelKind
    orientation: int
    inverted: bool
    largest: int
    premultiplied: bool
    unspecified: bool = False


def require(module: str, fact: str) -> None:
    """Raise ImageError with *fact* and the remedy unless *module* is installed."""
    if importlib.util.find_spec(module) is None:
        raise ImageError(f"{fact}; {_REMEDY}")


def is_tiff(file: BinaryIO) -> bool:
    """Whether the file begins as a TIFF does."""
    file.seek(0)
    return file.read(4) in _TIFF_SIGNATURES


def read_tiff_header(file: BinaryIO) -> TiffHeader:
    """What the first page of a file holds.

    Raises:
        ImageError: its pixels have no rule here, or tifffile is not installed.
    """
    layout = own_layout(file)
    if layout is not None:
        return _own_header(*layout)
    require("tifffile", "it is a TIFF of more bits or channels than Pillow reads without loss")
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        return _page_header(tiff.pages[0])


def decode_tiff(content: bytes) -> tuple[NDArray[Any], int, bytes | None]:
    """Pixels (h, w, channels with alpha last), the EXIF orientation to be applied, and the ICC."""
    own = decode_own(content)
    if own is not None:
        return own, 1, None
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        page: Any = tiff.pages[0]
        header = _page_header(page)
        # (planes, depth, h, w, channels of a plane), of which planes or channels is 1
        planes: NDArray[Any] = page.asarray(squeeze=False)[:, 0]
        icc = page.tags.valueof(_ICC_TAG)
        no_data, summed = page.tags.valueof(NO_DATA), page.predictor == _DIFFERENCES
    pixels = np.moveaxis(planes, 0, -1).reshape(*planes.shape[1:3], -1)
    pixels = pixels.astype(header.kind.dtype, copy=False)
    scaled = pixels.dtype.name in _FULL_SCALE and header.largest < np.iinfo(pixels.dtype).max
    if summed and scaled:  # tifffile leaves what is carried
        pixels = pixels & pixels.dtype.type(header.largest)
    check_no_data(pixels[..., :-1] if header.kind.alpha else pixels, no_data)
    if scaled:
        pixels = at_full_scale(pixels, header.largest)
    if header.inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    if header.premultiplied:
        pixels = _divided_by_alpha(pixels)
    return pixels, header.orientation, icc if isinstance(icc, bytes) else None


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
        raise ImageError("it ends before its last pixel: it is incomplete; fetch or save it anew")
    values = np.frombuffer(content, ">u2", count, offset).astype(np.uint16)
    return at_full_scale(values, largest).reshape(height, width, 3)


def at_full_scale(values: NDArray[Any], largest: int) -> NDArray[Any]:
    """Integers of which *largest* is white, rounded to the whole range of their dtype.

    Raises:
        ImageError: one is above *largest*.
    """
    if largest == np.iinfo(values.dtype).max:
        return values
    if int(values.max()) > largest:
        raise ImageError(f"it holds values above the {largest} that it declares; save it anew")
    white = np.uint32(np.iinfo(values.dtype).max)
    scaled = (values.astype(np.uint32) * white + np.uint32(largest // 2)) // np.uint32(largest)
    return scaled.astype(values.dtype)


def _divided_by_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Colours as they are without the alpha that they were multiplied by."""
    colours, alpha = pixels[..., :-1].astype(np.float64), pixels[..., -1:].astype(np.float64)
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    np.divide(colours * white, alpha, out=colours, where=alpha != 0)
    if pixels.dtype.kind == "u":
        colours = np.clip(np.rint(colours), 0, white)
    return np.concatenate([colours.astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _own_header(width: int, height: int, channels: int) -> TiffHeader:
    mode, alpha = {1: ("L", False), 2: ("L", True), 3: ("RGB", False), 4: ("RGB", True)}[channels]
    kind = PixelKind(mode, alpha, np.dtype(np.float32))
    return TiffHeader((width, height), kind, 1, inverted=False, largest=0, premultiplied=False)


def _page_header(page: Any) -> TiffHeader:
    stated = len(page.extrasamples)
    extras = stated
    if not stated and page.samplesperpixel in {2, 4}:  # who forgets the tag says nothing either
        extras = 1
    colours = page.samplesperpixel - extras
    # What is no known one comes as the file has it, which may be anything.
    photometric = getattr(page.photometric, "name", repr(page.photometric)[:_QUOTED])
    mode = _COLOURS.get((photometric, colours))
    inverted = photometric == "MINISWHITE"
    dtype = np.dtype(page.dtype) if page.dtype is not None else np.dtype(object)
    premultiplied = stated == 1 and page.extrasamples[0] == _ASSOCIATED_ALPHA
    usable = dtype.name in _DTYPES
    if dtype.kind != "f" and dtype.name not in _FULL_SCALE:  # numbers that have no white
        usable = usable and not inverted and not premultiplied
    if extras > 1 and mode is not None:
        raise ImageError(
            f"it is a TIFF of {page.samplesperpixel} x {dtype} ({photometric}): {extras} channels "
            "beside its colours, where at most one is supported; convert it to one of fewer"
        )
    if mode is None or not usable or (inverted and dtype.kind == "f"):
        raise ImageError(
            f"it is a TIFF of {page.samplesperpixel} x {dtype} ({photometric}), "
            "which is not supported; convert it to integers of at most 32 bits or floating-point "
            "numbers, grey or RGB, 0 as black"
        )
    orientation = page.tags.valueof(_ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    size = (page.imagewidth, page.imagelength)
    if orientation >= _FIRST_TURNED:
        size = size[::-1]
    kind = PixelKind(mode, extras == 1, dtype.newbyteorder("="))
    largest = (1 << page.bitspersample) - 1
    unspecified = extras == 1 and (not stated or page.extrasamples[0] == _UNSPECIFIED)
    return TiffHeader(size, kind, orientation, inverted, largest, premultiplied, unspecified)
