"""What a picture's file says besides its pixels: EXIF, GPS, XMP and resolution.

Formats: EXIF 2.32 (CIPA DC-008), whose block is a TIFF file without pixels; XMP (ISO 16684-1).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageFile

KINDS = ("EXIF", "GPS", "XMP", "resolution")

_ORIENTATION, _XMP = 274, 700
_RESOLUTION, _RESOLUTION_UNIT = (282, 283), 296
_INCHES = {2: 1.0, 3: 2.54}
"""Unit of resolution -> how many of it are an inch."""

_BIG = (b"\x2b\0", b"\0\x2b")
"""Of a TIFF above 4 GB."""

_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_DESCRIBING = (270, 271, 272, 305, 306, 315, 316, 33432)
"""Tags of a TIFF that tell of the picture, and not of its pixels."""

_PREFIX = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SHORT = 3
_XMP_TURNED = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
_FIRST_TURNED = 5
_LEAST, _MOST = 0.1, 1e7
"""Pixels per inch: less or more is no resolution, and does not fit a file."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is copied from a file to what is made of it.

    Attributes:
        exif: a block of EXIF, a TIFF header first, which says that the picture is upright; or
            empty.
        xmp: a packet of XMP, or empty.
        dpi: pixels per inch, across and down, or None.
    """

    exif: bytes
    xmp: bytes
    dpi: tuple[float, float] | None


def kinds_of(image: ImageFile.ImageFile | None, file: BinaryIO) -> tuple[str, ...]:
    """Which of KINDS a file has, as far as is known before it is decoded.

    Args:
        image: open, or None for a TIFF that Pillow does not open.
        file: that it is in.
    """
    tags = _tags(image, file)
    found = (
        bool(_block(image)) or _EXIF_DIRECTORY in tags,
        _GPS_DIRECTORY in tags,
        bool(_packet(image, tags)),
        _dpi(image, tags) is not None,
    )
    return tuple(kind for kind, there in zip(KINDS, found, strict=True) if there)


def metadata_of(
    image: ImageFile.ImageFile | None, file: BinaryIO, orientation: int, shrunk: tuple[float, float]
) -> Metadata:
    """What is to be copied of a picture.

    Args:
        image: open, or None for a TIFF that Pillow does not open.
        file: the whole file.
        orientation: by which the pixels were turned.
        shrunk: by how much they were resized after that, across and down.
    """
    is_tiff = image is None or image.format == "TIFF"
    block = _block_of_tiff(file) if is_tiff else _block(image)
    tags = _tags(image, file)
    dpi = _dpi(image, tags)
    if dpi is not None:
        across, down = dpi[::-1] if orientation >= _FIRST_TURNED else dpi
        dpi = across * shrunk[0], down * shrunk[1]
    packet = _XMP_TURNED.sub(rb"\g<1>1", _packet(image, tags))
    return Metadata(_upright(block), packet, dpi)


def directory(block: bytes) -> tuple[str, int, int] | None:
    """Byte order, place and number of the entries of a block of EXIF; None where it has none."""
    order = _ORDERS.get(block[:4])
    if order is None or len(block) < 8:  # noqa: PLR2004 - the header
        return None
    (place,) = struct.unpack_from(f"{order}I", block, 4)
    if place + 2 > len(block):
        return None
    (count,) = struct.unpack_from(f"{order}H", block, place)
    return (order, place + 2, count) if place + 2 + 12 * count <= len(block) else None


def _upright(block: bytes) -> bytes:
    """The same block, saying that the picture is upright; empty where it cannot be read."""
    found = directory(block)
    if found is None:
        return b""
    order, start, count = found
    changed = bytearray(block)
    for place in range(start, start + 12 * count, 12):
        if struct.unpack_from(f"{order}HH", block, place) == (_ORIENTATION, _SHORT):
            struct.pack_into(f"{order}HH", changed, place + 8, 1, 0)
    return bytes(changed)


def _tags(image: ImageFile.ImageFile | None, file: BinaryIO) -> Mapping[int, Any]:
    if image is None:
        return _directory_of_tiff(file)
    if image.format == "TIFF":
        tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
        return tags
    if "exif" not in image.info:  # asking a PNG without the chunk would decode it
        return {}
    try:
        return image.getexif()
    except Exception:  # noqa: BLE001 - a mangled block says nothing
        return {}


def _directory_of_tiff(file: BinaryIO) -> Mapping[int, Any]:
    """What the first directory of a TIFF holds of all this, as far as it can be read."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2  # most runs read none

    wanted = (_EXIF_DIRECTORY, _GPS_DIRECTORY, _XMP, *_RESOLUTION, _RESOLUTION_UNIT)
    try:
        file.seek(0)
        head = file.read(8)
        tags = ImageFileDirectory_v2(head + file.read(8) if head[2:4] in _BIG else head)
        file.seek(tags.next)
        tags.load(file)
        return {tag: tags[tag] for tag in wanted if tag in tags}
    except Exception:  # noqa: BLE001 - a mangled directory says nothing
        return {}


def _block(image: ImageFile.ImageFile | None) -> bytes:
    block = image.info.get("exif") if image is not None else None
    return block.removeprefix(_PREFIX) if isinstance(block, bytes) else b""


def _block_of_tiff(file: BinaryIO) -> bytes:
    """A block of EXIF with what a TIFF tells of its picture; empty if that is nothing."""
    try:
        file.seek(0)
        given, made = Image.Exif(), Image.Exif()
        given.load(file.read())
        made.update({tag: given[tag] for tag in _DESCRIBING if tag in given})
        for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
            inner = given.get_ifd(tag)
            if inner:
                made.get_ifd(tag).update(inner)
                made[tag] = inner
        return made.tobytes().removeprefix(_PREFIX) if len(made) else b""
    except Exception:  # noqa: BLE001 - a mangled block says nothing
        return b""


def _packet(image: ImageFile.ImageFile | None, tags: Mapping[int, Any]) -> bytes:
    info = {"xmp": tags.get(_XMP)} if image is None else image.info
    packet = info.get("xmp", info.get("XML:com.adobe.xmp", b""))
    if isinstance(packet, str):
        return packet.encode()
    return packet if isinstance(packet, bytes) else b""


def _dpi(image: ImageFile.ImageFile | None, tags: Mapping[int, Any]) -> tuple[float, float] | None:
    told = True
    try:
        if image is None:
            unit = _INCHES[tags.get(_RESOLUTION_UNIT, 2)]
            across, down = (float(tags[tag]) * unit for tag in _RESOLUTION)
        else:
            # Where a JPEG with EXIF says nothing of it, Pillow says 72; of a TIFF, 1.
            told = image.format not in {"JPEG", "MPO", "TIFF"} or image.info.get("jfif_unit") in {
                1,
                2,
            }
            across, down = map(float, image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    sound = all(_LEAST < number < _MOST for number in (across, down))
    return (across, down) if sound and (told or _RESOLUTION[0] in tags) else None
