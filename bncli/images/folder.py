"""Finds and orders the files that make up a batch."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bncli.errors import ImageError, NoPicturesError
from bncli.images.foreign import foreign_kind, is_dicom, unread_words
from bncli.images.policy import SUFFIXES
from bncli.images.stores import find_remote, is_url
from bncli.packed import Lazily, Numbered, Packed, Picked, Shared, Texts, order_of

_GLOB_CHARACTERS = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"([0-9]+)")
_END, _PART, _NUMBER, _TEXT = b"\0", b"\1", b"\2", b"\3"
"""What a piece of a sort key begins with, or ends with; no name holds a NUL."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files the user asked for.

    Attributes:
        sources: folders, files and globs, as given, or URLs of such in a store.
        recursive: whether folders inside the folders are searched too.
        include: if any, only relative paths or names that match one of these globs.
        exclude: and none that matches one of these.
    """

    sources: tuple[str, ...]
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a batch.

    Attributes:
        files: (path, name) in natural order of the names; a name is the path relative to its
            source, with forward slashes.
        ignored: how many files in the folders are hidden, or no pictures by their suffix.
        unread: how many of those are, by their suffix, of each kind of picture that is not read.
        excluded: how many the include and exclude globs left out.
        roots: the folders that were searched.
        parents: the folders of the files that were named one by one.
        unreadable: (name, reason) of folders that could not be searched.
    """

    files: Sequence[tuple[str, str]]
    ignored: int
    unread: Mapping[str, int]
    excluded: int
    roots: tuple[Path, ...]
    parents: tuple[Path, ...]
    unreadable: tuple[tuple[str, str], ...] = ()


class Files(Packed[tuple[str, str]]):
    """(path, name) pairs; what stands before its name in a path is kept once for all that share it.

    Args:
        pairs: the first of them.

    Attributes:
        names: of all.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.names = Texts()
        self._before = Shared[tuple[str, bool]]()
        self._places = array("I")
        for path, name in pairs:
            self.append(path, name)

    def __len__(self) -> int:
        return len(self._places)

    def append(self, path: str, name: str) -> None:
        """Add one."""
        ends = path.endswith(name)
        before = path[: len(path) - len(name)] if ends else path
        self.names.append(name)
        self._places.append(self._before.number_of((before, ends)))

    def paths(self) -> Sequence[str]:
        """Of all, in order."""
        return Lazily(lambda index: self[index][0], len(self))

    def _at(self, index: int) -> tuple[str, str]:
        name = self.names[index]
        before, ends = self._before.things[self._places[index]]
        return (before + name if ends else before), name


def find_pictures(selection: Selection) -> Found:
    """Find the files of a batch.

    Folders are searched for files whose suffix is that of a picture, hidden ones left out; a folder
    is visited once, however many links lead to it. Files named one by one are taken whatever their
    suffix, and are called by their path below the folder they share. What is named twice is taken
    once.

    Raises:
        NoPicturesError: a source does not exist, or nothing was found.
        ImageError: nothing was found, and there are folders that cannot be read.
    """
    search = _Search(selection.recursive)
    single: list[str] = []
    for source in selection.sources:
        _take_source(source, search, single)
    files: Sequence[tuple[str, str]] = search.files
    if single or len(selection.sources) > 1:  # a search alone finds nothing twice
        files = _once(chain(files, _named_below_common_folder(single)))
    if not files and search.unreadable:
        lines = [f"{name}: {reason}" for name, reason in search.unreadable]
        raise ImageError(*lines, paths=tuple(name for name, _ in search.unreadable))
    if not files:
        raise NoPicturesError(_nothing_found(selection, search.ignored, search.unread))
    kept = files
    if selection.include or selection.exclude:
        kept = Files(pair for pair in files if _wanted(pair[1], selection))
    if not kept:
        raise NoPicturesError(
            f"--include and --exclude leave none of {len(files)} pictures; widen them"
        )
    order = order_of([natural_key(name) for _, name in kept])
    return Found(
        files=Files(Picked(kept, order)),
        ignored=search.ignored,
        unread=dict(sorted(search.unread.items())),
        excluded=len(files) - len(kept),
        roots=tuple(search.roots),
        parents=tuple(map(Path, {os.path.dirname(path) or "." for path in single})),  # noqa: PTH120
        unreadable=tuple(search.unreadable),
    )


def natural_key(name: str) -> bytes:
    """Sort key by which ``a2`` comes before ``a10``; names that differ only in zeros by text.

    It is one run of bytes, since it is made of every file: pieces of a part are numbers by their
    value, which come before text; a path comes before what lies below it; the whole name decides
    last.
    """
    key = bytearray()
    for part in name.split("/"):
        key += _PART
        for piece in _DIGITS.split(part):
            if piece.isascii() and piece.isdigit():
                digits = (piece.lstrip("0") or "0").encode("ascii")
                key += _NUMBER + len(digits).to_bytes(4) + digits
            elif piece:
                # UTF-8 keeps the order of characters, halves of surrogate pairs too.
                key += _TEXT + piece.encode("utf-8", "surrogatepass") + _END
    return bytes(key + _END + name.encode("utf-8", "surrogatepass"))


class _Search:
    """Walks folders, each once."""

    def __init__(self, recursive: bool) -> None:
        self.recursive = recursive
        self.files = Files()
        self.ignored = 0
        self.unread: Counter[str] = Counter()
        self.roots: list[Path] = []
        self.unreadable: list[tuple[str, str]] = []
        self._visited: set[tuple[int, int]] = set()

    def walk(self, root: Path) -> None:
        self.roots.append(root)
        pending = [(root, "")]
        while pending:
            folder, below = pending.pop()
            try:
                names, folders = self._entries(folder)
            except OSError as error:
                reason = f"the folder cannot be read: {error.strerror}"
                self.unreadable.append((str(folder), reason))
                continue
            for name in names:
                self.files.append(os.path.join(folder, name), below + name)  # noqa: PTH118 - many
            pending += [(folder / name, f"{below}{name}/") for name in folders]

    def take_remote(self, source: str) -> None:
        """Take the pictures of a folder, glob or file in a store."""
        files, others = find_remote(source, recursive=self.recursive)
        for path, name in files:
            self.files.append(path, name)
        self._ignore(others)

    def _ignore(self, names: Iterable[str]) -> None:
        """Count files that are no pictures by their suffix, and those that are of other kinds."""
        kinds = [None if "/." in f"/{name}" else foreign_kind(name) for name in names]
        self.ignored += len(kinds)
        self.unread.update(kind for kind in kinds if kind is not None)

    def _entries(self, folder: Path) -> tuple[list[str], list[str]]:
        """The pictures and folders in a folder, by name; none where it was visited before."""
        status = os.stat(folder)  # noqa: PTH116 - Path.stat is this
        names: list[str] = []
        folders: list[str] = []
        if (status.st_dev, status.st_ino) in self._visited:
            return names, folders
        self._visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    self.ignored += 1
                elif _is_folder(entry):
                    folders += [entry.name] if self.recursive else []
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - many
                    names.append(entry.name)
                else:
                    self._ignore([entry.name])
                    if "." not in entry.name and is_dicom(entry.path):
                        self.unread["DICOM"] += 1
        return sorted(names), sorted(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links; opening it as a file will name the fault
        return False


def _take_source(source: str, search: _Search, single: list[str]) -> None:
    if is_url(source):
        search.take_remote(source)
    elif os.path.isdir(source):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        search.walk(Path(source))
    elif _is_there(source):
        single.append(str(Path(source)))
    elif _GLOB_CHARACTERS.search(source):
        matches = glob.iglob(source, recursive=True)  # noqa: PTH207 - of any path
        files = [str(Path(match)) for match in matches if not os.path.isdir(match)]  # noqa: PTH112
        if not files:
            raise NoPicturesError(
                f"{source}: the pattern matches no file; check it", paths=(source,)
            )
        single.extend(files)
    else:
        raise NoPicturesError(
            f"{source}: there is no such file or folder; check the name", paths=(source,)
        )


def _is_there(source: str) -> bool:
    try:
        os.lstat(source)
    except PermissionError as error:
        # Whether it is there, nobody can say: a folder above it keeps it hidden.
        raise ImageError(
            f"{source}: it cannot be reached: {error.strerror}", paths=(source,)
        ) from (error)
    except (OSError, ValueError):
        return False
    return True


def _once(files: Iterable[tuple[str, str]]) -> Files:
    """Each file the first time it is named, by its place; a link beside its target is a file."""
    folder = functools.lru_cache(os.path.realpath)
    seen, once = Numbered(), Files()
    for path, name in files:
        above, last = os.path.split(path)
        place = f"{folder(above)}/{last}"
        if place not in seen:
            seen.add(place)
            once.append(path, name)
    return once


def _named_below_common_folder(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not paths:
        return
    whole = Lazily(lambda index: os.path.abspath(paths[index]), len(paths))  # noqa: PTH100 - links
    common = os.path.commonpath({os.path.dirname(path) for path in whole})  # noqa: PTH120 - many
    for path, absolute in zip(paths, whole, strict=True):
        yield path, Path(absolute).relative_to(common).as_posix()


def _wanted(name: str, selection: Selection) -> bool:
    def matches(patterns: tuple[str, ...]) -> bool:
        last = name.rpartition("/")[2]
        return any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(last, p) for p in patterns)

    return (not selection.include or matches(selection.include)) and not matches(selection.exclude)


def _nothing_found(selection: Selection, ignored: int, unread: Mapping[str, int]) -> str:
    where = ", ".join(selection.sources) or "the list of files"
    also = f" ({ignored} other file{'s' * (ignored > 1)})" if ignored else ""
    if unread:
        return f"{where}: no pictures found{also}: {unread_words(unread)}"
    hint = "" if selection.recursive else "; -r searches the folders inside it"
    return f"{where}: no pictures found{also}{hint}"
