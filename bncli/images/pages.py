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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from bncli.errors import ImageError

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of whole numbers -> how struct calls them."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES |= {16: 8, 17: 8, 18: 8}
"""Types -> bytes of one value."""

_LONG, _LONG8 = 4, 16
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

_MOST_TAGS = 4096
_MOST_DESCRIPTION = 1 << 20


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
    tiff = _Tiff.of(file, size)
    if tiff is None:
        return None
    pages: list[Page] = []
    alike: list[int] = []
    kinds: dict[tuple[object, ...], int] = {}
    aside = 0
    for directory in tiff.directories():
        if directory.is_aside:
            aside += 1
            continue
        if directory.place == tiff.first and not directory.following:
            return _single(directory, first=first)
        alike.append(kinds.setdefault(directory.facts(), len(pages)))
        pages.append(directory.page())
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
    tiff = _Tiff.of(file, size)
    if tiff is None:
        raise ImageError("it is no longer a TIFF file; run again")
    return tiff.directory(page.directory).alone(page, pixels=pixels)


@dataclass(frozen=True, slots=True)
class _Tiff:
    """A file, the order of its bytes, and whether it is a BigTIFF."""

    file: BinaryIO
    size: int
    order: str
    big: bool
    first: int

    @classmethod
    def of(cls, file: BinaryIO, size: int) -> _Tiff | None:
        file.seek(0)
        head = file.read(16)
        if head[:4] not in _SIGNATURES:
            return None
        order, big = "<" if head[:1] == b"I" else ">", b"+" in head[:4]
        length, form, place = (16, "Q", 8) if big else (8, "I", 4)
        if len(head) < length:
            raise ImageError("it ends within its header: it is incomplete; fetch or save it anew")
        return cls(file, size, order, big, struct.unpack_from(order + form, head, place)[0])

    def directories(self) -> Iterator[_Directory]:
        """Each in its turn."""
        place, seen = self.first, set[int]()
        while place:
            if place in seen:
                raise ImageError("its directories go in a circle: it is damaged; save it anew")
            seen.add(place)
            directory = self.directory(place, len(seen))
            yield directory
            place = directory.following

    def directory(self, place: int, number: int = 1) -> _Directory:
        """The directory at a place of the file; *number* is its own in messages."""
        count_form, entry_form, next_form = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        count_bytes = struct.calcsize(self.order + count_form)
        entry_bytes = struct.calcsize(self.order + entry_form)
        self.file.seek(min(place, self.size))
        head = self.file.read(count_bytes)
        count = struct.unpack(self.order + count_form, head)[0] if len(head) == count_bytes else 0
        wanted = count * entry_bytes if count <= _MOST_TAGS else -1
        table = self.file.read(wanted) if wanted > 0 else b""
        if len(table) != wanted or not count:
            raise ImageError(
                f"its directory {number} cannot be read: it is damaged or incomplete; "
                "fetch or save it anew"
            )
        after = self.file.read(struct.calcsize(self.order + next_form))
        # Some writers end with the last entry.
        whole = len(after) == struct.calcsize(self.order + next_form)
        following = struct.unpack(self.order + next_form, after)[0] if whole else 0
        entries = {
            tag: (kind, length, value)
            for tag, kind, length, value in struct.iter_unpack(self.order + entry_form, table)
        }
        return _Directory(self, place, entries, following)


@dataclass(frozen=True, slots=True)
class _Directory:
    """The tags of one page: type, count and what stands for the values."""

    tiff: _Tiff
    place: int
    entries: dict[int, tuple[int, int, bytes]]
    following: int

    @property
    def is_aside(self) -> bool:
        """Whether it is a mask, or an overview of another page."""
        new, old = self._number(_NEW_SUBFILE, 0), self._number(_SUBFILE, 0)
        mask = self._number(_PHOTOMETRIC, 1) == _MASK_PHOTOMETRIC
        return bool(new & (_REDUCED | _MASK)) or old == _OLD_REDUCED or mask

    def facts(self) -> tuple[object, ...]:
        """What is the same for all pages that become pictures of one kind and size."""
        return tuple(self._numbers(tag) for tag in _FACTS)

    def check_depth(self) -> None:
        """Raise ImageError if it is a volume."""
        depth = self._number(_DEPTH, 1)
        if depth > 1:
            raise ImageError(
                f"it is a volume of {depth} slices in one directory (ImageDepth), which is not "
                "supported; convert it to one page for each slice"
            )

    def page(self) -> Page:
        """Where it stands, and how much there is to be read for it."""
        self.check_depth()
        if self._number(_COMPRESSION, 1) == _OLD_JPEG:
            return Page(self.place, -1, self.tiff.size)
        size = sum(length for _, length in self._parts())
        if size > self.tiff.size:
            raise ImageError("its pages speak of more bytes than it has: it is damaged")
        return Page(self.place, -1, size)

    def run(self) -> tuple[int, int]:
        """Where the pixels stand, and their bytes, if they are one run of plain numbers, else 0."""
        strips, lengths = self._numbers(_STRIPS), self._numbers(_STRIP_BYTES)
        follow = all(
            start + length == after
            for start, length, after in zip(strips, lengths, strips[1:], strict=False)
        )
        if self._number(_COMPRESSION, 1) != 1 or not strips or not follow:
            return 0, 0
        bits, width = self._numbers(_BITS) or (1,), self._number(_WIDTH, 0)
        samples, height = self._number(_SAMPLES, 1), self._number(_HEIGHT, 0)
        planes = samples if self._number(_PLANAR, 1) != 1 else 1
        row = math.ceil(width * (samples // planes) * bits[0] / 8)
        return strips[0], planes * row * height

    def end_of_run(self, start: int) -> int:
        """Up to where there can be pixels: to the next thing that stands in the file."""
        places = [self.place, self.tiff.size]
        form = f"{self.tiff.order}{'Q' if self.tiff.big else 'I'}"
        for kind, count, inside in self.entries.values():
            if _BYTES.get(kind, 1) * count > len(inside):
                places += struct.unpack(form, inside)
        return min((place for place in places if place > start), default=start)

    def declared(self) -> int:
        """How many pictures follow each other behind this one directory, as its writer says."""
        if _STK_PLANES in self.entries:  # MetaMorph: one value for each plane
            return self.entries[_STK_PLANES][1]
        text = self._value(_DESCRIPTION, _MOST_DESCRIPTION)
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
            one = math.prod(self._number(tag, 1) for tag in sides)
            return whole // one if isinstance(whole, int) and one and not whole % one else 1
        return 1

    def alone(self, page: Page, *, pixels: bool) -> bytes:
        """A file of this page alone."""
        if self._number(_COMPRESSION, 1) == _OLD_JPEG:  # its tables stand anywhere in the file
            return self._first_of_all()
        order = self.tiff.order
        kept = {tag: self._kept(tag) for tag in sorted(_DECIDING & self.entries.keys())}
        tiled = _TILES in self.entries
        parts, places = self._parts(), (_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)
        if page.start >= 0:
            parts = [(page.start, page.size)]
            kept[_STRIP_ROWS] = (_LONG, 1, struct.pack(f"{order}I", self._number(_HEIGHT, 0)))
            if self._number(_PLANAR, 1) != 1:
                samples = self._number(_SAMPLES, 1)
                one = page.size // samples
                parts = [(page.start + k * one, one) for k in range(samples)]
        beside = sum(len(value) + 1 for _, _, value in kept.values()) + 12 * len(kept) + 64
        starts, place = [], beside + 8 * len(parts)
        for start, length in parts:
            starts.append(place if start else 0)  # a part that is nowhere stays nowhere
            place += length
        form = f"{order}{len(parts)}I"
        if place >= 1 << 32:
            raise ImageError("one of its pages is of 4 GiB or more; cut it into smaller ones")
        kept[places[0]] = (_LONG, len(parts), struct.pack(form, *starts))
        kept[places[1]] = (_LONG, len(parts), struct.pack(form, *(n for _, n in parts)))
        content = _written(order, kept).ljust(beside + 8 * len(parts), b"\0")
        return content + self._read(parts) if pixels else content

    def _first_of_all(self) -> bytes:
        self.tiff.file.seek(0)
        content = bytearray(self.tiff.file.read())
        place, form = (8, "Q") if self.tiff.big else (4, "I")
        struct.pack_into(self.tiff.order + form, content, place, self.place)
        return bytes(content)

    def _parts(self) -> list[tuple[int, int]]:
        """Place and bytes of every strip or tile."""
        tags = (_TILES, _TILE_BYTES) if _TILES in self.entries else (_STRIPS, _STRIP_BYTES)
        starts, lengths = (self._numbers(tag) for tag in tags)
        if len(starts) == 1 and not lengths:
            start, size = self.run()
            return [(start, size)]
        if len(starts) != len(lengths):
            raise ImageError("its strips have places without lengths: it is damaged; save it anew")
        return list(zip(starts, lengths, strict=True))

    def _read(self, parts: Sequence[tuple[int, int]]) -> bytes:
        """The bytes of all parts, those that follow each other at once."""
        runs: list[list[int]] = []
        for start, length in parts:
            if runs and sum(runs[-1]) == start:
                runs[-1][1] += length
            elif length:
                runs.append([start, length])
        pieces = []
        for start, length in runs:
            self.tiff.file.seek(start)
            # What is missing at the end of the file is not made up: the decoders notice it.
            pieces.append(self.tiff.file.read(length))
            if len(pieces[-1]) != length:
                raise ImageError("it ends within a page: it is incomplete; fetch or save it anew")
        return b"".join(pieces)

    def _value(self, tag: int, most: int | None = None) -> bytes:
        """The bytes of the values of a tag, at most so many; none where there is no such tag."""
        kind, count, inside = self.entries.get(tag, (1, 0, b""))
        size = _BYTES.get(kind, 1) * count
        if size <= len(inside):
            return inside[:size]
        size = size if most is None else min(size, most)
        place = struct.unpack(f"{self.tiff.order}{'Q' if self.tiff.big else 'I'}", inside)[0]
        if place + size > self.tiff.size:
            raise ImageError(
                f"its tag {tag} points beyond its end: it is damaged or incomplete; save it anew"
            )
        self.tiff.file.seek(place)
        return self.tiff.file.read(size)

    def _numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag, if they are whole numbers."""
        kind, count, _ = self.entries.get(tag, (0, 0, b""))
        if kind not in _NUMBERS:
            return ()
        return struct.unpack(f"{self.tiff.order}{count}{_NUMBERS[kind]}", self._value(tag))

    def _number(self, tag: int, otherwise: int) -> int:
        return next(iter(self._numbers(tag)), otherwise) if tag in self.entries else otherwise

    def _kept(self, tag: int) -> tuple[int, int, bytes]:
        kind, count, _ = self.entries[tag]
        if kind != _LONG8:
            return kind, count, self._value(tag)
        numbers = self._numbers(tag)
        if max(numbers, default=0) >= 1 << 32:
            raise ImageError(f"its tag {tag} is of numbers past 32 bits: it is damaged")
        return _LONG, count, struct.pack(f"{self.tiff.order}{count}I", *numbers)


def _single(directory: _Directory, *, first: bool) -> Stack:
    """The stack of a file of one directory, behind which there may be several pictures."""
    directory.check_depth()
    declared = directory.declared()
    start, size = directory.run() if declared > 1 else (0, 0)
    if not size:
        return Stack()
    held = min(declared, (directory.end_of_run(start) - start) // size)
    if held <= 1:  # whoever took one picture out of a stack left the words as they were
        return Stack()
    count = 1 if first else held
    pages = [Page(directory.place, start + k * size, size) for k in range(count)]
    return Stack(pages, [0] * count, 0, declared)


def _written(order: str, tags: dict[int, tuple[int, int, bytes]]) -> bytes:
    """A header and one directory."""
    table, overflow = b"", b""
    behind = 8 + 2 + 12 * len(tags) + 4
    for tag, (kind, count, value) in sorted(tags.items()):
        inside = value.ljust(4, b"\0")
        if len(value) > 4:  # noqa: PLR2004 - what an entry holds in itself
            inside = struct.pack(f"{order}I", behind + len(overflow))
            overflow += value + b"\0" * (len(value) % 2)
        table += struct.pack(f"{order}HHI4s", tag, kind, count, inside)
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}2sHIH", mark, 42, 8, len(tags))
    return head + table + bytes(4) + overflow
