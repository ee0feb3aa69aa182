"""What a file says of itself before any pixel is decoded."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, _imaging

from bncli.errors import BncliError, ImageError, LimitError
from bncli.images import deep
from bncli.images.deep import PixelKind
from bncli.images.foreign import refuse_raw, undecodable, unidentified
from bncli.images.metadata import kinds_of
from bncli.images.png import late_exif
from bncli.images.policy import PILLOW_FORMATS, ReadPolicy
from bncli.images.stores import open_file

# What they find strange they log, with text from the file in it: without a handler it would end on
# the terminal. Who has set up logging still gets it.
for _library in ("PIL", "imagecodecs", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

_U8 = np.dtype(np.uint8)
_GREY = PixelKind("L", alpha=False, dtype=_U8)
_GREY_ALPHA = PixelKind("L", alpha=True, dtype=_U8)
_GREY_16 = PixelKind("L", alpha=False, dtype=np.dtype(np.uint16))
_COLOUR = PixelKind("RGB", alpha=False, dtype=_U8)
_COLOUR_ALPHA = PixelKind("RGB", alpha=True, dtype=_U8)

_KINDS = {
    "1": _GREY,
    "L": _GREY,
    "LA": _GREY_ALPHA,
    "La": _GREY_ALPHA,
    "P": _COLOUR,
    "PA": _COLOUR_ALPHA,
    "RGB": _COLOUR,
    "RGBX": _COLOUR,
    "RGBA": _COLOUR_ALPHA,
    "RGBa": _COLOUR_ALPHA,
    "CMYK": _COLOUR,
    "YCbCr": _COLOUR,
    "I;16": _GREY_16,
    "I;16B": _GREY_16,
    "I;16L": _GREY_16,
    "F": PixelKind("L", alpha=False, dtype=np.dtype(np.float32)),
}
"""Pillow's mode -> what a picture of that mode becomes here."""

_ORIENTATION_TAG = 0x0112
_FIRST_TURNED = 5  # EXIF orientations 5 to 8 swap width and height
_BITS_TAG, _PHOTOMETRIC_TAG, _SAMPLES_TAG, _SAMPLE_FORMAT_TAG = 258, 262, 277, 339
_SIGNED, _WHITE_IS_ZERO = 2, 0
_BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class Header:
    """One picture as its file declares it.

    Attributes:
        path: the file.
        name: what it is called in messages and in the summary; ends in ``#K`` for frame K of many.
        frame: which frame of the file, from 0.
        size: (width, height) as seen upright, before any resizing.
        kind: colour mode, alpha and dtype.
        deep: whether Pillow would lose depth, so that the extra ``codecs`` reads it.
        state: of the file when it was looked at, packed.
        metadata: what the file says besides, of ``metadata.KINDS``.
    """

    path: str
    name: str
    frame: int
    size: tuple[int, int]
    kind: PixelKind
    deep: bool
    state: bytes
    metadata: tuple[str, ...] = ()


@contextmanager
def pillow_unlimited() -> Iterator[None]:
    """Silence Pillow's own pixel limit and its warnings; bncli has its own and tells in errors."""
    _unlimited.enter()
    try:
        yield
    finally:
        _unlimited.leave()


class _Unlimited:
    """Pillow without its limit, as long as any thread of the process wants it so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._restore = ExitStack()

    def enter(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
                self._restore.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module="PIL")
                self._restore.enter_context(_libtiff_silent())

    def leave(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._restore.close()


@contextmanager
def _libtiff_silent() -> Iterator[None]:
    """Keep libtiff from writing to the process's stderr, which it does past Python's."""
    try:
        # Pillow offers no way; the library that it has loaded does, where it can be got at.
        library = ctypes.CDLL(_imaging.__file__)
        setters = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
    except (AttributeError, OSError):  # Pillow with its own libtiff inside, as on Windows
        yield
        return
    for setter in setters:
        setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = [setter(None) for setter in setters]
    try:
        yield
    finally:
        for setter, handler in zip(setters, before, strict=True):
            with contextlib.suppress(OSError):
                setter(handler)


_unlimited = _Unlimited()


@contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError with the reason."""
    try:
        yield
    except BncliError:
        raise
    except MemoryError as error:
        raise LimitError("there is not enough memory to decode it; use smaller pictures") from error
    except Exception as error:  # decoders raise nearly every kind there is on damaged files
        raise undecodable(error) from error


def read_headers(path: str, name: str, policy: ReadPolicy) -> list[Header]:
    """The headers of those pictures in one file that the policy asks for.

    Raises:
        DataError: it cannot be used; the message does not name the file.
        LimitError: it has more pixels than the policy allows.
    """
    with open_file(path) as (file, state), decoding():
        image: ImageFile.ImageFile | None = None
        metadata: tuple[str, ...] = ()
        try:
            image = open_picture(file)
            refuse_raw(path, file, getattr(image, "tag_v2", {}))
            frames = getattr(image, "n_frames", 1)
            metadata = _alike(kinds_of(image, file))
        except UnidentifiedImageError as error:
            if not deep.is_tiff(file):
                raise unidentified(file, path) from error
            frames = deep.read_tiff_header(file, 0)[0]
            metadata = _alike(kinds_of(None, file))
        facts: list[tuple[tuple[int, int], PixelKind, bool]] = []
        for frame in range(frames if policy.frames == "all" else 1):
            facts.append(_shared(*_frame_facts(image, file, frame)))
            # Before the next frame, for the sake of which Pillow may decode this one.
            _check_size(facts[-1][0], policy)
    if frames > 1 and policy.frames == "error":
        raise ImageError(f"it has {frames} frames; choose --frames first or --frames all")
    numbered = frames > 1 and policy.frames == "all"
    return [
        Header(
            path, f"{name}#{frame}" if numbered else name, frame, *fact, state.packed(), metadata
        )
        for frame, fact in enumerate(facts)
    ]


def open_picture(file: BinaryIO) -> ImageFile.ImageFile:
    """Open an image of a known format; nothing is decoded."""
    image = Image.open(file, formats=PILLOW_FORMATS)
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow finds what stands after the pixels only once it has decoded them.
        exif = late_exif(file)
        if exif is not None:
            image.info["exif"] = exif
    return image


def orientation_of(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 to 8, that is still to be applied to *image*."""
    # Pillow turns TIFF itself while loading, and asking a PNG without the chunk would decode it.
    if image.format == "TIFF" or "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a mangled EXIF block says nothing about the pixels
        return 1
    return found if found in range(1, 9) else 1


def sixteen_bit_maximum(image: ImageFile.ImageFile) -> int | None:
    """The largest value a 16-bit PNM declares; None for all other pictures."""
    if image.format != "PPM" or not image.tile:
        return None
    arguments = image.tile[0].args
    if isinstance(arguments, tuple) and isinstance(arguments[-1], int):
        return arguments[-1] if arguments[-1] >= 1 << _BYTE_BITS else None
    return (1 << 16) - 1 if str(arguments).startswith("I;16") else None


@functools.lru_cache
def _alike(metadata: tuple[str, ...]) -> tuple[str, ...]:
    """The same kinds, in memory once for all files that have them."""
    return metadata


@functools.lru_cache
def _shared(
    size: tuple[int, int], kind: PixelKind, is_deep: bool
) -> tuple[tuple[int, int], PixelKind, bool]:
    """The same facts, in memory once for all files that share them."""
    return size, kind, is_deep


def _frame_facts(
    image: ImageFile.ImageFile | None, file: BinaryIO, frame: int
) -> tuple[tuple[int, int], PixelKind, bool]:
    if image is not None and frame:
        image.seek(frame)
    if image is None or (image.format == "TIFF" and _tiff_is_deep(image)):
        found = deep.read_tiff_header(file, frame)[1]
        return found.size, found.kind, True
    width, height = image.size
    if orientation_of(image) >= _FIRST_TURNED:
        width, height = height, width
    kind = _KINDS.get(image.mode)
    transparent = "transparency" in image.info
    if sixteen_bit_maximum(image) is not None:
        kind = PixelKind(
            image.mode if image.mode == "RGB" else "L", alpha=False, dtype=_GREY_16.dtype
        )
        return (width, height), kind, image.mode == "RGB"
    if image.format == "PNG" and image.mode != "I;16" and _rawmode(image).endswith(";16B"):
        deep.require(
            "imagecodecs",
            "it has 16 bits per channel in colour or with alpha, which Pillow would cut to 8",
        )
        if frame:
            raise ImageError("its later frames have 16 bits per channel; choose --frames first")
        mode, alpha = {"LA;16B": ("L", True), "RGBA;16B": ("RGB", True)}.get(
            _rawmode(image), ("RGB", transparent)
        )
        return (width, height), PixelKind(mode, alpha, _GREY_16.dtype), True
    if kind is None:
        raise ImageError(
            f"its pixels are of Pillow's mode {image.mode}, which has no value scale; "
            "convert it to 8 or 16-bit grey or RGB, or to floating-point grey"
        )
    if image.format == "GIF":
        # Pillow calls it grey where the palette happens to be a ramp, but its later frames colour.
        kind = _COLOUR
    return (width, height), PixelKind(kind.mode, kind.alpha or transparent, kind.dtype), False


def _rawmode(image: ImageFile.ImageFile) -> str:
    return str(image.tile[0].args) if image.tile else ""


def _tiff_is_deep(image: ImageFile.ImageFile) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    if _SIGNED in _as_tuple(tags.get(_SAMPLE_FORMAT_TAG, 1)):
        raise ImageError("it holds signed integers; convert it to unsigned 8 or 16-bit")
    if image.mode == "F" and tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:
        raise ImageError("it is floating-point grey with 0 as white; convert it to 0 as black")
    if tags.get(_SAMPLES_TAG, 1) > len(image.getbands()):
        return True
    return max(_as_tuple(tags.get(_BITS_TAG, 1))) > _BYTE_BITS and image.mode in {
        "LA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB",
    }  # fmt: skip


def _as_tuple(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check_size(size: tuple[int, int], policy: ReadPolicy) -> None:
    width, height = size
    if min(size) < 1:
        raise ImageError(f"it is {width}x{height}: it has no pixels")
    if width * height > policy.max_pixels:
        raise LimitError(
            f"it is {width}x{height}, {width * height:,} pixels, above the limit of "
            f"{policy.max_pixels:,}; raise --max-pixels if you trust it"
        )
