"""The pages of a TIFF file: which of them are pictures, and each as a small file of its own.

A stack may be of ten thousand pages and five gigabytes. Its directories are walked once, and a
page is then read from its place, without a look at the rest of the file.

Format: TIFF, revision 6.0 (Adobe 1992), and BigTIFF.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from bncli.errors import ImageError
from bncli.images.tiff_directory import Directory, Tiff, written
from bncli.travels import travels

_NEW_SUBFILE, _SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = (
    254, 255, 256, 257, 258, 259, 262)  # fmt: skip
_DESCRIPTION, _STRIPS, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 270, 273, 277, 278, 279, 284
_TILES, _TILE_BYTES, _STK_PLANES, _DEPTH = 324, 325, 33629, 32997
_REDUCED, _MASK, _OLD_REDUCED, _MASK_PHOTOMETRIC = 1, 4, 2, 4
_OLD_JPEG = 6

_FACTS = (
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, 274, _SAMPLES, _PLANAR, 317, 332, 338,
    339, _DEPTH,
)  # fmt: skip
"""Tags from which it is known what a page becomes."""

_DECIDING = frozenset(
    {*_FACTS, 292, 293, 301, 320, 322, 323, 333, 340, 341, 347, _STRIP_ROWS, 529, 530, 531, 532}
    | {34675, 42113, 50674}
)
"""Tags that decide which pixels a page becomes, but for the places of the pixels."""

_TOLD = frozenset({269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432})
"""Tags that say something of a page: description, resolution, who made it, when and with what."""

_LONG = 4
_MOST_DESCRIPTION = 1 << 20


@travels
class Page(NamedTuple):
    """One picture of a TIFF file that holds more than it.

    Attributes:
        directory: where its directory stands.
        start: where its pixels stand, if they are one run of bytes; -1 where the directory tells.
        size: bytes of its pixels, or of all that is read for them.
    """

    directory: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The pictures of a TIFF file.

    Attributes:
        pages: where they stand; none where the file is nothing but one picture.
        alike: for each of them the first that becomes a picture of the same kind and size.
        left_out: how many pages are masks or overviews of others.
        declared: how many pictures the file speaks of; more than there are where it is cut off.
    """

    pages: Sequence[Page] = ()
    alike: Sequence[int] = ()
    left_out: int = 0
    declared: int = 1


def read_stack(file: BinaryIO, size: int, *, first: bool) -> Stack | None:
    """Which pages of a file are pictures, or None where it is no TIFF.

    Args:
        file: open for reading.
        size: of the file, in bytes.
        first: whether to look no further than the first picture.

    Raises:
        ImageError: a directory is damaged, or of a volume.
    """
    tiff = Tiff.of(file, size)
    if tiff is None:
        return None
    pages: list[Page] = []
    alike: list[int] = []
    kinds: dict[tuple[object, ...], int] = {}
    aside = 0
    for directory in tiff.directories():
        if _is_aside(directory):
            aside += 1
            continue
        if directory.place == tiff.first and not directory.following:
            return _single(directory, first=first)
        alike.append(kinds.setdefault(_facts(directory), len(pages)))
        pages.append(_page(directory))
        if first:
            break
    if aside and not pages:  # then the overview is all there is, and so the picture
        return replace(_single(tiff.directory(tiff.first), first=first), left_out=aside - 1)
    return Stack(pages, alike, aside, len(pages))


def read_page(file: BinaryIO, size: int, page: Page, *, pixels: bool = True) -> bytes:
    """A TIFF file of one page alone, whose pixels are those of *page*.

    Args:
        file: open for reading.
        size: of the file, in bytes.
        page: one of its stack.
        pixels: whether they are wanted too, or the tags alone.

    Raises:
        ImageError: it is damaged.
    """
    tiff = Tiff.of(file, size)
    if tiff is None:
        raise ImageError("it is no longer a TIFF file; run again")
    return _alone(tiff.directory(page.directory), page, pixels=pixels)


def _single(directory: Directory, *, first: bool) -> Stack:
    """The stack of a file of one directory, behind which there may be several pictures."""
    _check_depth(directory)
    declared = _declared(directory)
    start, size = _run(directory) if declared > 1 else (0, 0)
    if not size:
        return Stack()
    held = min(declared, (directory.next_after(start) - start) // size)
    if held <= 1:  # whoever took one picture out of a stack left the words as they were
        return Stack()
    count = 1 if first else held
    pages = [Page(directory.place, start + k * size, size) for k in range(count)]
    return Stack(pages, [0] * count, 0, declared)


def _is_aside(directory: Directory) -> bool:
    """Whether it is a mask, or an overview of another page."""
    new, old = directory.number(_NEW_SUBFILE, 0), directory.number(_SUBFILE, 0)
    mask = directory.number(_PHOTOMETRIC, 1) == _MASK_PHOTOMETRIC
    return bool(new & (_REDUCED | _MASK)) or old == _OLD_REDUCED or mask


def _facts(directory: Directory) -> tuple[object, ...]:
    """What is the same for all pages that become pictures of one kind and size."""
    return tuple(directory.numbers(tag) for tag in _FACTS)


def _check_depth(directory: Directory) -> None:
    """Raise ImageError if it is a volume."""
    depth = directory.number(_DEPTH, 1)
    if depth > 1:
        raise ImageError(
            f"it is a volume of {depth} slices in one directory (ImageDepth), which is not "
            "supported; convert it to one page for each slice"
        )


def _page(directory: Directory) -> Page:
    """Where it stands, and how much there is to be read for it."""
    _check_depth(directory)
    if directory.number(_COMPRESSION, 1) == _OLD_JPEG:
        return Page(directory.place, -1, directory.tiff.size)
    size = sum(length for _, length in _parts(directory))
    if size > directory.tiff.size:
        raise ImageError("its pages speak of more bytes than it has: it is damaged")
    return Page(directory.place, -1, size)


def _run(directory: Directory) -> tuple[int, int]:
    """Where the pixels stand, and their bytes, if they are one run of plain numbers, else 0."""
    strips, lengths = directory.numbers(_STRIPS), directory.numbers(_STRIP_BYTES)
    follow = all(
        start + length == after
        for start, length, after in zip(strips, lengths, strips[1:], strict=False)
    )
    if directory.number(_COMPRESSION, 1) != 1 or not strips or not follow:
        return 0, 0
    bits, width = directory.numbers(_BITS) or (1,), directory.number(_WIDTH, 0)
    samples, height = directory.number(_SAMPLES, 1), directory.number(_HEIGHT, 0)
    planes = samples if directory.number(_PLANAR, 1) != 1 else 1
    row = math.ceil(width * (samples // planes) * bits[0] / 8)
    return strips[0], planes * row * height


def _declared(directory: Directory) -> int:
    """How many pictures follow each other behind this one directory, as its writer says."""
    if _STK_PLANES in directory.entries:  # MetaMorph: one value for each plane
        return directory.entries[_STK_PLANES][1]
    try:
        text = directory.value(_DESCRIPTION, _MOST_DESCRIPTION)
    except ImageError:  # words that are lost are no reason to lose the picture
        return 1
    if text.startswith(b"ImageJ="):
        found = re.search(rb"^images=(\d{1,9})\s*$", text, re.MULTILINE)
        return int(found[1]) if found else 1
    if text.startswith(b'{"shape": ['):  # tifffile
        try:
            shape = json.loads(text.rstrip(b"\0"))["shape"]
            whole = math.prod(shape)
        except (ValueError, TypeError, KeyError, RecursionError):
            return 1
        sides = (_WIDTH, _HEIGHT, _SAMPLES)
        one = math.prod(directory.number(tag, 1) for tag in sides)
        return whole // one if isinstance(whole, int) and one and not whole % one else 1
    return 1


def _alone(directory: Directory, page: Page, *, pixels: bool) -> bytes:
    """A file of this page alone."""
    if directory.number(_COMPRESSION, 1) == _OLD_JPEG:  # its tables stand anywhere in the file
        return _first_of_all(directory)
    order = directory.tiff.order
    wanted = _DECIDING | _TOLD if pixels else _DECIDING
    kept = {tag: directory.kept(tag) for tag in sorted(wanted & directory.entries.keys())}
    tiled = _TILES in directory.entries
    parts, places = _parts(directory), (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
    if page.start >= 0:
        parts = [(page.start, page.size)]
        kept[_STRIP_ROWS] = (_LONG, 1, struct.pack(f"{order}I", directory.number(_HEIGHT, 0)))
        if directory.number(_PLANAR, 1) != 1:
            samples = directory.number(_SAMPLES, 1)
            one = page.size // samples
            parts = [(page.start + k * one, one) for k in range(samples)]
    beside = sum(len(value) + 1 for _, _, value in kept.values()) + 12 * len(kept) + 64
    starts, place = [], beside + 8 * len(parts)
    for start, length in parts:
        starts.append(place if start else 0)
        place += length
    form = f"{order}{len(parts)}I"
    if place >= 1 << 32:
        raise ImageError("one of its pages is of 4 GiB or more; cut it into smaller ones")
    kept[places[0]] = (_LONG, len(parts), struct.pack(form, *starts))
    kept[places[1]] = (_LONG, len(parts), struct.pack(form, *(n for _, n in parts)))
    content = written(order, kept).ljust(beside + 8 * len(parts), b"\0")
    return content + _read(directory.tiff.file, parts) if pixels else content


def _first_of_all(directory: Directory) -> bytes:
    directory.tiff.file.seek(0)
    content = bytearray(directory.tiff.file.read())
    place, form = (8, "Q") if directory.tiff.big else (4, "I")
    struct.pack_into(directory.tiff.order + form, content, place, directory.place)
    return bytes(content)


def _parts(directory: Directory) -> list[tuple[int, int]]:
    """Place and bytes of every strip or tile."""
    tags = (_TILES, _TILE_BYTES) if _TILES in directory.entries else (_STRIPS, _STRIP_BYTES)
    starts, lengths = (directory.numbers(tag) for tag in tags)
    if len(starts) == 1 and not lengths:
        start, size = _run(directory)
        return [(start, size)]
    if len(starts) != len(lengths):
        raise ImageError("its strips have places without lengths: it is damaged; save it anew")
    # A part that is nowhere, as in sparse files, has no bytes.
    return [(start, length if start else 0) for start, length in zip(starts, lengths, strict=True)]


def _read(file: BinaryIO, parts: Sequence[tuple[int, int]]) -> bytes:
    """The bytes of all parts, those that follow each other at once."""
    runs: list[list[int]] = []
    for start, length in parts:
        if runs and sum(runs[-1]) == start:
            runs[-1][1] += length
        elif length:
            runs.append([start, length])
    pieces = []
    for start, length in runs:
        file.seek(start)
        # What is missing at the end of the file is not made up: the decoders notice it.
        pieces.append(file.read(length))
        if len(pieces[-1]) != length:
            raise ImageError("it ends within a page: it is incomplete; fetch or save it anew")
    return b"".join(pieces)
