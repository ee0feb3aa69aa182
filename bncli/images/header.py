"""What a file says of itself before any pixel is decoded."""

from __future__ import annotations

import functools
import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from bncli.errors import BncliError, ImageError, LimitError
from bncli.files import packed_size
from bncli.images import deep, tiff_kinds
from bncli.images.deep import PixelKind
from bncli.images.foreign import refuse_raw, undecodable, unidentified
from bncli.images.metadata import kinds_of
from bncli.images.pages import Page, Stack, read_page, read_stack
from bncli.images.png import late_exif
from bncli.images.pnm import check_alone
from bncli.images.policy import PILLOW_FORMATS, ReadPolicy
from bncli.images.stores import open_file
from bncli.travels import travels

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
_BYTE_BITS = 8


@travels
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
        page: where a picture of a TIFF file that holds more than it stands, else None.
        digest: SHA-256 of a file of several pictures, hexadecimal, so that it is taken once; else
            None.
        left_out: pages of the file that are masks or overviews; told with its first picture.
        missing: pictures that the file declares and does not hold; likewise.
        metadata: what the file says besides, of ``metadata.KINDS``.
    """

    path: str
    name: str
    frame: int
    size: tuple[int, int]
    kind: PixelKind
    deep: bool
    state: bytes
    page: Page | None = None
    digest: str | None = None
    left_out: int = 0
    missing: int = 0
    metadata: tuple[str, ...] = ()

    @property
    def is_animation(self) -> bool:
        """Whether it is one of several frames of a file that is no TIFF."""
        return self.digest is not None and self.page is None

    @property
    def bytes_read(self) -> int:
        """How much is read to decode it."""
        return packed_size(self.state) if self.page is None else self.page.size


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
        image = _opened(file, path)
        if image is not None:
            refuse_raw(path, file, getattr(image, "tag_v2", {}))
        stack = read_stack(file, state.size, first=policy.frames == "first")
        if stack is not None and stack.pages:
            frames = len(stack.pages)
            _check_frames(frames, stack.declared, policy)
            facts = _page_facts(file, state.size, stack, policy)
        else:
            frames = 1 if stack is not None else getattr(image, "n_frames", 1)
            if policy.frames != "first" and image is not None and image.format == "PPM":
                check_alone(file, image, wide=sixteen_bit_maximum(image) is not None)
            facts = _all_facts(image, file, frames, policy)
            _check_frames(frames, frames, policy)
        stack = stack or Stack()
        metadata = _alike(kinds_of(image, file))
        several = bool(stack.pages) or frames > 1
        digest = _digest_of(file) if several else None
    packed, numbered = state.packed(), frames > 1 and policy.frames == "all"
    pages: Sequence[Page | None] = stack.pages or [None] * len(facts)
    headers = [
        Header(
            path,
            f"{name}#{frame}" if numbered else name,
            frame,
            *fact,
            packed,
            page,
            digest,
            metadata=metadata,
        )
        for frame, (fact, page) in enumerate(zip(facts, pages, strict=True))
    ]
    headers[0] = replace(
        headers[0],
        left_out=stack.left_out,
        missing=max(0, stack.declared - frames) if policy.frames == "all" else 0,
    )
    return headers


def _check_frames(frames: int, declared: int, policy: ReadPolicy) -> None:
    if frames > 1 and policy.frames == "error":
        more = f" of the {declared:,} that it declares" if declared > frames else ""
        raise ImageError(f"it has {frames} frames{more}; choose --frames first or --frames all")


_Facts = tuple[tuple[int, int], PixelKind, bool]


def _opened(file: BinaryIO, path: str) -> ImageFile.ImageFile | None:
    """A picture as Pillow opens it; None for a TIFF that it does not know."""
    try:
        return open_picture(file)
    except UnidentifiedImageError as error:
        if not deep.is_tiff(file):
            raise unidentified(file, path) from error
        return None


def _all_facts(
    image: ImageFile.ImageFile | None, file: BinaryIO, frames: int, policy: ReadPolicy
) -> list[_Facts]:
    """What those pictures are that are wanted of a file that is no stack of TIFF."""
    facts = []
    for frame in range(frames if policy.frames == "all" else 1):
        facts.append(_shared(*_frame_facts(image, file, frame, policy)))
        # Before the next frame, for the sake of which Pillow may decode this one.
        _check_size(facts[-1][0], policy)
    return facts


def _page_facts(file: BinaryIO, size: int, stack: Stack, policy: ReadPolicy) -> list[_Facts]:
    """What the pages of a stack are; those that are alike are looked at once."""
    facts: list[_Facts] = []
    for page, like in zip(stack.pages, stack.alike, strict=True):
        if like < len(facts):
            facts.append(facts[like])
            continue
        alone = io.BytesIO(read_page(file, size, page, pixels=False))
        facts += _all_facts(_opened(alone, ""), alone, 1, policy)
    return facts


def _digest_of(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


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
    image: ImageFile.ImageFile | None, file: BinaryIO, frame: int, policy: ReadPolicy
) -> tuple[tuple[int, int], PixelKind, bool]:
    if image is not None and frame:
        image.seek(frame)
    if image is None or (image.format == "TIFF" and tiff_kinds.is_deep(image)):
        found = deep.read_tiff_header(file)
        if found.unspecified:
            _check_unspecified(policy)
        return found.size, found.kind, True
    width, height = image.size
    if orientation_of(image) >= _FIRST_TURNED:
        width, height = height, width
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
    kind = _kind_of(image, policy)
    if image.format == "GIF":
        # Pillow calls it grey where the palette happens to be a ramp, but its later frames colour.
        kind = _COLOUR
    return (width, height), PixelKind(kind.mode, kind.alpha or transparent, kind.dtype), False


def _rawmode(image: ImageFile.ImageFile) -> str:
    return str(image.tile[0].args) if image.tile else ""


def _kind_of(image: ImageFile.ImageFile, policy: ReadPolicy) -> PixelKind:
    """What a picture of Pillow's mode becomes."""
    kind = _KINDS.get(image.mode)
    if image.format == "TIFF":
        kind = tiff_kinds.integer_kind(image) or kind
        if tiff_kinds.has_nameless_channel(image):
            _check_unspecified(policy)
    if kind is None:
        raise ImageError(
            f"its pixels are of Pillow's mode {image.mode}, which has no value scale; "
            "convert it to 8 or 16-bit grey or RGB, or to floating-point grey"
        )
    return kind


def _check_unspecified(policy: ReadPolicy) -> None:
    """Raise ImageError if a channel of unknown meaning would be copied through as alpha."""
    if policy.alpha == "keep":
        raise ImageError(
            "nothing says that its last channel is transparency (ExtraSamples 0), so that it can "
            "be near infrared or anything; choose --alpha normalize or --alpha drop"
        )


def _check_size(size: tuple[int, int], policy: ReadPolicy) -> None:
    width, height = size
    if min(size) < 1:
        raise ImageError(f"it is {width}x{height}: it has no pixels")
    if width * height > policy.max_pixels:
        raise LimitError(
            f"it is {width}x{height}, {width * height:,} pixels, above the limit of "
            f"{policy.max_pixels:,}; raise --max-pixels if you trust it"
        )
