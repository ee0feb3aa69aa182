"""Long sequences of small things in little memory: a batch may be of a million pictures.

A Python object takes some fifty bytes before it holds anything. What is kept of every picture is
therefore kept in a few long runs of bytes, and made an object when it is asked for.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Generic, TypeVar, overload

Thing = TypeVar("Thing")

_SLOTS_A_NAME = 2
"""Twice as many places as names: then most are found where they are looked for first."""


class Packed(Sequence[Thing]):
    """A sequence whose things are made when they are asked for; a slice of it is another view."""

    @abstractmethod
    def _at(self, index: int) -> Thing:
        """The thing at a place that exists."""

    @overload
    def __getitem__(self, index: int) -> Thing: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Thing]: ...

    def __getitem__(self, index: int | slice) -> Thing | Sequence[Thing]:
        places = range(len(self))
        if isinstance(index, slice):
            return Picked(self, places[index])
        return self._at(places[index])

    def __iter__(self) -> Iterator[Thing]:
        return map(self._at, range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Lazily(Packed[Thing]):
    """So many things, each made of its index."""

    make: Callable[[int], Thing]
    length: int

    def __len__(self) -> int:
        return self.length

    def _at(self, index: int) -> Thing:
        return self.make(index)


@dataclass(frozen=True, slots=True, eq=False)
class Picked(Packed[Thing]):
    """The things at some places of another sequence."""

    things: Sequence[Thing]
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def _at(self, index: int) -> Thing:
        return self.things[self.places[index]]


class Joined(Packed[Thing]):
    """Sequences one after another."""

    def __init__(self, *parts: Sequence[Thing]) -> None:
        flat = (part._parts if isinstance(part, Joined) else [part] for part in parts)  # noqa: SLF001 - its own kind
        self._parts: list[Sequence[Thing]] = list(chain.from_iterable(flat))
        self._ends = list(accumulate(map(len, self._parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Thing]:
        return chain.from_iterable(self._parts)

    def _at(self, index: int) -> Thing:
        part = bisect_right(self._ends, index)
        return self._parts[part][index - self._ends[part]]


class Texts(Packed[str]):
    """Texts: their bytes in one run, and eight more for each.

    Args:
        texts: the first of them.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._content = bytearray()
        self._ends = array("Q", [0])
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, text: str) -> None:
        """Add one."""
        # A name may hold bytes that are no UTF-8, which are half a surrogate pair in Python. What
        # a signal may have left behind the last text, which has no end, is written over.
        self._content[self._ends[-1] :] = text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._content))

    def _at(self, index: int) -> str:
        start, end = self._ends[index], self._ends[index + 1]
        return self._content[start:end].decode("utf-8", "surrogatepass")


class Records(Packed[bytes]):
    """Things that are all of one number of bytes.

    Args:
        width: bytes of each.
        records: the first of them.
    """

    def __init__(self, width: int, records: Iterable[bytes] = ()) -> None:
        self.width = width
        self.content = bytearray()
        for record in records:
            self.append(record)

    def __len__(self) -> int:
        return len(self.content) // self.width

    def append(self, record: bytes) -> None:
        """Add one.

        Raises:
            ValueError: it is of another width.
        """
        self.content += self._checked(record)

    def __setitem__(self, index: int, record: bytes) -> None:
        start = range(len(self))[index] * self.width
        self.content[start : start + self.width] = self._checked(record)

    def _at(self, index: int) -> bytes:
        start = index * self.width
        return bytes(self.content[start : start + self.width])

    def _checked(self, record: bytes) -> bytes:
        if len(record) != self.width:
            raise ValueError(f"{len(record)} bytes where {self.width} belong")
        return record


class Numbered(Packed[str]):
    """Different texts in the order in which they came, each found by its text.

    Args:
        texts: the first of them; what comes twice is taken once.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = Texts()
        # Open addressing, Knuth, The Art of Computer Programming 6.4, algorithm L: the number of
        # the text after it, 0 for none. A dict of the same would take ten times as much.
        self._slots = array("I", bytes(4 * 8))
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.number_of(text) is not None

    def add(self, text: str) -> int:
        """Its number; the next one where it is new."""
        slot = self._slot(text)
        if not self._slots[slot]:
            self._texts.append(text)
            self._slots[slot] = len(self._texts)
            if _SLOTS_A_NAME * len(self._texts) > len(self._slots):
                self._grow()
            return len(self._texts) - 1
        return self._slots[slot] - 1

    def number_of(self, text: str) -> int | None:
        """Its number, or None where it is not there."""
        found = self._slots[self._slot(text)]
        return found - 1 if found else None

    def _at(self, index: int) -> str:
        return self._texts[index]

    def _slot(self, text: str) -> int:
        """Where it is, or would be."""
        mask = len(self._slots) - 1
        slot = hash(text) & mask
        while (number := self._slots[slot]) and self._texts[number - 1] != text:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        slots = self._slots = array("I", bytes(4 * 4 * len(self._slots)))
        mask = len(slots) - 1
        for number, text in enumerate(self._texts, 1):
            slot = hash(text) & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = number


class Table(Mapping[str, bytes]):
    """From texts to as many bytes each, in the order in which the texts came; none is taken out.

    Args:
        width: bytes of each.
    """

    def __init__(self, width: int) -> None:
        self._names = Numbered()
        self._records = Records(width)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> bytes:
        number = self.number_of(name)
        if number is None:
            raise KeyError(name)
        return self._records[number]

    def number_of(self, name: str) -> int | None:
        """Its place among the texts, or None where it is not there."""
        return self._names.number_of(name)

    def __setitem__(self, name: str, record: bytes) -> None:
        number = self.number_of(name)
        if number is not None:
            self._records[number] = record
            return
        # The record first: a signal between the two leaves no name without one.
        if len(self._records) > len(self._names):
            self._records[len(self._names)] = record
        else:
            self._records.append(record)
        self._names.add(name)


class Shared(Generic[Thing]):
    """Things of which there are few different ones, each kept once, by number."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self._numbers: dict[Thing, int] = {}

    def number_of(self, thing: Thing) -> int:
        """The number of a thing; the next one where it is new."""
        number = self._numbers.setdefault(thing, len(self.things))
        if number == len(self.things):
            self.things.append(thing)
        return number


def order_of(keys: Sequence[bytes]) -> array[int]:
    """The places of the keys in ascending order; equal ones stay as they are."""
    return array("Q", sorted(range(len(keys)), key=keys.__getitem__))
