"""The directories of a TIFF file, and the values of their tags.

Format: TIFF, revision 6.0 (Adobe 1992), and BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from bncli.errors import ImageError

Entry = tuple[int, int, bytes]
"""Type, count, and the values of a tag, or what stands for them."""

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of whole numbers -> how struct calls them."""

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES |= {16: 8, 17: 8, 18: 8}
"""Types -> bytes of one value."""

_LONG, _LONG8 = 4, 16
_MOST_TAGS = 4096


@dataclass(frozen=True, slots=True)
class Tiff:
    """A file, the order of its bytes, and whether it is a BigTIFF."""

    file: BinaryIO
    size: int
    order: str
    big: bool
    first: int

    @classmethod
    def of(cls, file: BinaryIO, size: int) -> Tiff | None:
        """The file, open for reading and of so many bytes, or None where it is no TIFF.

        Raises:
            ImageError: it ends within its header.
        """
        file.seek(0)
        head = file.read(16)
        if head[:4] not in _SIGNATURES:
            return None
        order, big = "<" if head[:1] == b"I" else ">", b"+" in head[:4]
        length, form, place = (16, "Q", 8) if big else (8, "I", 4)
        if len(head) < length:
            raise ImageError("it ends within its header: it is incomplete; fetch or save it anew")
        return cls(file, size, order, big, struct.unpack_from(order + form, head, place)[0])

    def directories(self) -> Iterator[Directory]:
        """Each in its turn."""
        place, seen = self.first, set[int]()
        while place:
            if place in seen:
                raise ImageError("its directories go in a circle: it is damaged; save it anew")
            seen.add(place)
            directory = self.directory(place, len(seen))
            yield directory
            place = directory.following

    def directory(self, place: int, number: int = 1) -> Directory:
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
        return Directory(self, place, entries, following)


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page: type, count and what stands for the values."""

    tiff: Tiff
    place: int
    entries: dict[int, Entry]
    following: int

    def next_after(self, start: int) -> int:
        """Up to where there can be pixels: to the next thing that stands in the file."""
        places = [self.place, self.tiff.size]
        form = f"{self.tiff.order}{'Q' if self.tiff.big else 'I'}"
        for kind, count, inside in self.entries.values():
            if _BYTES.get(kind, 1) * count > len(inside):
                places += struct.unpack(form, inside)
        return min((place for place in places if place > start), default=start)

    def value(self, tag: int, most: int | None = None) -> bytes:
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

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag, if they are whole numbers."""
        kind, count, _ = self.entries.get(tag, (0, 0, b""))
        if kind not in _NUMBERS:
            return ()
        return struct.unpack(f"{self.tiff.order}{count}{_NUMBERS[kind]}", self.value(tag))

    def number(self, tag: int, otherwise: int) -> int:
        """The first value of a tag, or another where there is none."""
        return next(iter(self.numbers(tag)), otherwise) if tag in self.entries else otherwise

    def kept(self, tag: int) -> Entry:
        """A tag with all its values, for a file whose offsets are of 32 bits."""
        kind, count, _ = self.entries[tag]
        if kind != _LONG8:
            return kind, count, self.value(tag)
        numbers = self.numbers(tag)
        if max(numbers, default=0) >= 1 << 32:
            raise ImageError(f"its tag {tag} is of numbers past 32 bits: it is damaged")
        return _LONG, count, struct.pack(f"{self.tiff.order}{count}I", *numbers)


def written(order: str, tags: Mapping[int, Entry]) -> bytes:
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
