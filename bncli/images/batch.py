"""Preflight: the pictures of a batch, looked at and found to fit together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import PIL

from bncli.errors import BncliError, DataError, ImageError, LimitError
from bncli.images.catalog import Catalog, Look
from bncli.images.decode import Decoded, decode
from bncli.images.folder import Found
from bncli.images.header import Header, read_headers
from bncli.images.layout import Shape
from bncli.images.metadata import KINDS
from bncli.images.policy import ReadPolicy
from bncli.images.stores import is_url
from bncli.packed import Lazily
from bncli.travels import travels

_LISTED = 20


@travels
@dataclass(frozen=True, slots=True)
class Fault:
    """A file that cannot be used, and why."""

    name: str
    reason: str
    limit: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that is still in its file; any process that sees the file can read it."""

    header: Header
    policy: ReadPolicy

    @property
    def name(self) -> str:
        """What it is called."""
        return self.header.name

    def read(self) -> Decoded:
        """Decode it.

        Raises:
            DataError: it cannot be decoded; the message does not name it.
        """
        return decode(self.header, self.policy)


Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that was not yet looked at."""

    path: str
    name: str
    policy: ReadPolicy

    @classmethod
    def of(cls, path: str, name: str, policy: ReadPolicy) -> Self:
        """By its absolute path, since other processes may stand in other folders."""
        # A link stays itself.
        return cls(path if is_url(path) else os.path.abspath(path), name, policy)  # noqa: PTH100

    def read(self) -> list[Header]:
        """The headers of its pictures.

        Raises:
            DataError, LimitError: it cannot be used; the message does not name it.
        """
        return read_headers(self.path, self.name, self.policy)


class Looker(Protocol):
    """What looks at many files at once, such as an Executor of concurrent.futures."""

    def map(self, fn: Callable[[Any], Seen], files: Sequence[Any], /) -> Iterator[Seen]:
        """What *fn* makes of each, in order."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The pictures of a batch, in order, all of one shape and dtype.

    Attributes:
        headers: one for every picture.
        policy: how they are read.
        shape: (w, h, c) of the array that each becomes.
        dtype: of that array: an integer of 8 to 32 bits, or a floating-point type.
        faults: the files that were left out, because they cannot be used.
    """

    headers: Catalog
    policy: ReadPolicy
    shape: Shape
    dtype: np.dtype[Any]
    faults: tuple[Fault, ...] = ()

    @property
    def names(self) -> Sequence[str]:
        """What each picture is called."""
        return self.headers.files.names

    @property
    def paths(self) -> Sequence[str]:
        """The files, one for each picture in one."""
        return self.headers.files.paths()

    @property
    def alpha_kept(self) -> bool:
        """Whether some picture has an alpha channel that is to be copied through."""
        return self.policy.alpha == "keep" and self.with_alpha > 0

    @property
    def with_alpha(self) -> int:
        """How many pictures have an alpha channel."""
        return sum(count for look, count in self.headers.looks() if look.kind.alpha)

    @property
    def metadata(self) -> dict[str, int]:
        """How many pictures have metadata of each kind."""
        looks = list(self.headers.looks())
        return {
            kind: sum(count for look, count in looks if kind in look.metadata) for kind in KINDS
        }

    @property
    def largest_file(self) -> int:
        """Bytes of the largest file, or page of one, that is read whole."""
        return self.headers.largest

    @property
    def left_out_pages(self) -> int:
        """How many pages of the files are masks or overviews of others."""
        return sum(look.left_out * count for look, count in self.headers.looks())

    @property
    def notes(self) -> list[str]:
        """What the user should know of the files, in words."""
        lines = []
        if self.left_out_pages:
            names = [h.name.removesuffix("#0") for h in self.headers if h.left_out]
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            pages = "page is" if self.left_out_pages == 1 else "pages are"
            lines.append(
                f"{names[0]}{more}: {self.left_out_pages:,} {pages} left out: masks or overviews "
                "are no frames"
            )
        some_missing = any(look.missing for look, _ in self.headers.looks())
        short = [header for header in self.headers if header.missing] if some_missing else []
        lines += [
            f"{header.name.removesuffix('#0')}: it ends {header.missing:,} frames before the last "
            "that it declares; fetch it anew if it should be whole"
            for header in short[:_LISTED]
        ]
        if len(short) > _LISTED:
            lines.append(f"and {len(short) - _LISTED:,} more files end before their last frame")
        return lines

    @property
    def unit(self) -> float:
        """The value that value scale calls 1: 255, 65535, or 1 for all other numbers."""
        return float(np.iinfo(self.dtype).max) if self.dtype in (np.uint8, np.uint16) else 1.0

    def picture(self, index: int) -> Picture:
        """One of the pictures."""
        return Picture(self.headers[index], self.policy)

    @property
    def decoders(self) -> dict[str, str]:
        """The libraries that read the pictures, with their versions."""
        found = {"pillow": PIL.__version__}
        if any(look.deep for look, _ in self.headers.looks()):
            from importlib.metadata import PackageNotFoundError, version  # takes long to load

            for name in ("imagecodecs", "tifffile"):
                with suppress(PackageNotFoundError):  # bncli reads its own TIFF files by itself
                    found[name] = version(name)
        return found


def preflight(found: Found, policy: ReadPolicy, looker: Looker, *, skip: bool = False) -> ImageSet:
    """Look at every header; all faults are reported at once.

    Args:
        found: the files.
        policy: how they are to be read.
        looker: where the headers are read.
        skip: leave out the files that cannot be used, instead of refusing the batch.

    Raises:
        ImageError: files cannot be used, or the pictures do not agree in mode, depth or size.
        LimitError: the only fault is that files have too many pixels.
    """
    headers = Catalog()
    faults = [Fault(name, reason) for name, reason in found.unreadable]
    files = Lazily(lambda index: Unread.of(*found.files[index], policy), len(found.files))
    for result in looker.map(_look, files):
        if isinstance(result, Fault):
            faults.append(result)
        else:
            for header in result:
                headers.append(header)
    odd = _disagreements(headers, policy)
    if odd:  # where it is the damage that makes the difference, the damage is what is told
        damaged = _damaged(headers, odd, policy, looker)
        faults += damaged.values()
        headers = _without(headers, damaged)
        odd = _disagreements(headers, policy) if damaged else odd
    faults += odd
    if faults and not skip:
        raise faults_error(faults, len(found.files) + len(found.unreadable))
    kept = _without(headers, {fault.name for fault in faults})
    if not kept:
        raise faults_error(faults, len(found.files) + len(found.unreadable))
    first = kept[0]
    return ImageSet(kept, policy, _shape(first, policy), first.kind.dtype, tuple(faults))


def _without(headers: Catalog, names: Container[str]) -> Catalog:
    return Catalog(header for header in headers if header.name not in names) if names else headers


def _look(file: Unread) -> list[Header] | Fault:
    try:
        return file.read()
    except (DataError, LimitError) as error:
        return Fault(file.name, str(error), isinstance(error, LimitError))


def _damaged(
    headers: Catalog, odd: Sequence[Fault], policy: ReadPolicy, looker: Looker
) -> dict[str, Fault]:
    """Those pictures that cannot be decoded, of the odd ones, or of all where none is usual."""
    names = {fault.name for fault in odd}
    few = 2 * len(names) < len(headers)
    suspects = [Picture(h, policy) for h in headers if h.name in names or not few]
    found = looker.map(fault_of, suspects)
    return {fault.name: fault for fault in found if fault is not None}


def fault_of(picture: Any) -> Fault | None:
    """Why a picture, or whatever stands for it, cannot be read; None if it can."""
    try:
        picture.read()
    except (DataError, LimitError) as error:
        return Fault(picture.name, str(error), isinstance(error, LimitError))
    return None


def faults_error(faults: Sequence[Fault], total: int) -> BncliError:
    """One error for all faults: a line each, at most 20, then a count."""
    lines = [str(fault) for fault in faults[:_LISTED]]
    if len(faults) > _LISTED:
        lines.append(f"and {len(faults) - _LISTED} more of {total} files")
    kind = LimitError if all(fault.limit for fault in faults) else ImageError
    return kind(*lines, paths=tuple(fault.name for fault in faults))


def _shape(header: Header, policy: ReadPolicy) -> Shape:
    width, height = policy.resize or header.size
    mode = header.kind.mode if policy.mode == "keep" else policy.mode
    alpha = header.kind.alpha and policy.alpha == "normalize"
    return width, height, (1 if mode == "L" else 3) + alpha


def _disagreements(headers: Catalog, policy: ReadPolicy) -> list[Fault]:
    """The pictures that differ from most: in mode, alpha or depth, then in size."""
    faults: dict[str, Fault] = {}
    if policy.mode == "keep":
        remedy = "choose --mode L or --mode RGB, or move it out of the folder"
        _compare(headers, lambda h: f"of mode {h.kind.mode}", remedy, faults)
    if policy.alpha == "normalize":
        remedy = "choose --alpha keep or --alpha drop"
        _compare(headers, _alpha_words, remedy, faults)
    remedy = "convert it to the same depth"
    _compare(headers, lambda h: f"of {h.kind.dtype.name}", remedy, faults)
    if policy.resize is None:
        remedy = "choose --resize WxH, or move it out of the folder"
        _compare(headers, lambda h: "of size {}x{}".format(*h.size), remedy, faults)
    return list(faults.values())


def _alpha_words(look: Look | Header) -> str:
    return "with alpha" if look.kind.alpha else "without alpha"


def _compare(
    headers: Catalog,
    fact: Callable[[Look | Header], str],
    remedy: str,
    faults: dict[str, Fault],
) -> None:
    counts = Counter[str]()
    for look, count in headers.looks():
        counts[fact(look)] += count
    if len(counts) <= 1:
        return
    usual, times = counts.most_common(1)[0]
    tie = sum(count == times for count in counts.values()) > 1
    # Then nobody is in the majority, but somebody has to be the measure: always the first.
    first = next(header.name for header in headers if fact(header) == usual)
    measure = f"are {usual}, like {first}, the first, and no more of any other" if tie else (
        f"are {usual}")  # fmt: skip
    for header in headers:
        value = fact(header)
        if value != usual and header.name not in faults:
            reason = f"it is {value}, but {times} of {len(headers)} {measure}; {remedy}"
            faults[header.name] = Fault(header.name, reason)
