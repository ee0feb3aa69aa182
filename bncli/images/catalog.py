"""The headers of a batch in little memory: there may be a million."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bncli.images.deep import PixelKind
from bncli.images.folder import Files
from bncli.images.header import Header
from bncli.images.pages import Page
from bncli.packed import Packed, Records, Shared

_ROW = struct.Struct("=III24s")
"""Number of its look and of its digest, frame, and the state of the file."""

_PAGE = struct.Struct("=qqq")
_NO_PAGE = _PAGE.pack(-1, -1, -1)


class Look(NamedTuple):
    """What many pictures share: see :class:`bncli.images.header.Header`."""

    size: tuple[int, int]
    kind: PixelKind
    deep: bool
    left_out: int
    missing: int
    metadata: tuple[str, ...]


class Catalog(Packed[Header]):
    """Headers in order, each made anew when it is asked for.

    Args:
        headers: the first of them.

    Attributes:
        files: path and name of each.
        largest: bytes of the largest file, or page of one, that is read whole.
    """

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        self.files = Files()
        self.largest = 0
        self._looks = Shared[Look]()
        self._digests = Shared[str | None]()
        self._counts = array("Q")
        self._rows, self._pages = Records(_ROW.size), Records(_PAGE.size)
        for header in headers:
            self.append(header)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, header: Header) -> None:
        """Add one."""
        look = self._looks.number_of(
            Look(header.size, header.kind, header.deep, header.left_out, header.missing,
                 header.metadata)
        )  # fmt: skip
        if look == len(self._counts):
            self._counts.append(0)
        self._counts[look] += 1
        if header.page is not None:
            self._add_page(header.page)
        digest = self._digests.number_of(header.digest)
        self._rows.append(_ROW.pack(look, digest, header.frame, header.state))
        self.files.append(header.path, header.name)
        self.largest = max(self.largest, header.bytes_read)

    def looks(self) -> Iterator[tuple[Look, int]]:
        """Each look that pictures have, and how many have it, in the order of the first of each."""
        return zip(self._looks.things, self._counts, strict=True)

    def _add_page(self, page: Page) -> None:
        """Of the next picture; most batches have none."""
        while len(self._pages) < len(self):
            self._pages.append(_NO_PAGE)
        self._pages.append(_PAGE.pack(page.directory, page.start, page.size))

    def _at(self, index: int) -> Header:
        look, digest, frame, state = _ROW.unpack(self._rows[index])
        page = self._pages[index] if index < len(self._pages) else _NO_PAGE
        path, name = self.files[index]
        shared = self._looks.things[look]
        return Header(
            path=path,
            name=name,
            frame=frame,
            size=shared.size,
            kind=shared.kind,
            deep=shared.deep,
            state=state,
            page=None if page == _NO_PAGE else Page(*_PAGE.unpack(page)),
            digest=self._digests.things[digest],
            left_out=shared.left_out,
            missing=shared.missing,
            metadata=shared.metadata,
        )
