"""Finds and orders the files that make up a batch."""

from __future__ import annotations

import fnmatch
import functools
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bncli.errors import ImageError, NoPicturesError
from bncli.images.foreign import foreign_kind, is_dicom, unread_words
from bncli.images.policy import SUFFIXES
from bncli.images.stores import find_remote, is_url

_GLOB_CHARACTERS = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"([0-9]+)")


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

    files: tuple[tuple[str, str], ...]
    ignored: int
    unread: Mapping[str, int]
    excluded: int
    roots: tuple[Path, ...]
    parents: tuple[Path, ...]
    unreadable: tuple[tuple[str, str], ...] = ()


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
    single: list[Path] = []
    for source in selection.sources:
        _take_source(source, search, single)
    search.files = _once(search.files + _named_below_common_folder(single))
    if not search.files and search.unreadable:
        lines = [f"{name}: {reason}" for name, reason in search.unreadable]
        raise ImageError(*lines, paths=tuple(name for name, _ in search.unreadable))
    if not search.files:
        raise NoPicturesError(_nothing_found(selection, search.ignored, search.unread))
    kept = [pair for pair in search.files if _wanted(pair[1], selection)]
    if not kept:
        raise NoPicturesError(
            f"--include and --exclude leave none of {len(search.files)} pictures; widen them"
        )
    kept.sort(key=lambda pair: natural_key(pair[1]))
    return Found(
        files=tuple(kept),
        ignored=search.ignored,
        unread=dict(sorted(search.unread.items())),
        excluded=len(search.files) - len(kept),
        roots=tuple(search.roots),
        parents=tuple({path.parent for path in single}),
        unreadable=tuple(search.unreadable),
    )


def natural_key(name: str) -> tuple[tuple[tuple[tuple[int, int, str], ...], ...], str]:
    """Sort key by which ``a2`` comes before ``a10``; names that differ only in zeros by text."""
    parts = tuple(
        tuple(
            (0, int(piece), "") if piece.isascii() and piece.isdigit() else (1, 0, piece)
            for piece in _DIGITS.split(part)
            if piece
        )
        for part in name.split("/")
    )
    return parts, name


class _Search:
    """Walks folders, each once."""

    def __init__(self, recursive: bool) -> None:
        self.recursive = recursive
        self.files: list[tuple[str, str]] = []
        self.ignored = 0
        self.unread: Counter[str] = Counter()
        self.roots: list[Path] = []
        self.unreadable: list[tuple[str, str]] = []
        self._visited: set[tuple[int, int]] = set()

    def walk(self, root: Path) -> None:
        self.roots.append(root)
        pending = [(root, PurePosixPath())]
        while pending:
            folder, below = pending.pop()
            try:
                entries = self._entries(folder)
            except OSError as error:
                reason = f"the folder cannot be read: {error.strerror}"
                self.unreadable.append((str(folder), reason))
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    self.ignored += 1
                elif _is_folder(entry):
                    if self.recursive:
                        pending.append((Path(entry.path), below / entry.name))
                elif PurePosixPath(entry.name).suffix.lower() in SUFFIXES:
                    self.files.append((entry.path, str(below / entry.name)))
                else:
                    self._ignore([entry.name])
                    if "." not in entry.name and is_dicom(entry.path):
                        self.unread["DICOM"] += 1

    def take_remote(self, source: str) -> None:
        """Take the pictures of a folder, glob or file in a store."""
        files, others = find_remote(source, recursive=self.recursive)
        self.files += files
        self._ignore(others)

    def _ignore(self, names: Iterable[str]) -> None:
        """Count files that are no pictures by their suffix, and those that are of other kinds."""
        kinds = [None if "/." in f"/{name}" else foreign_kind(name) for name in names]
        self.ignored += len(kinds)
        self.unread.update(kind for kind in kinds if kind is not None)

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """What is in a folder, by name; nothing where it was visited before."""
        status = os.stat(folder)  # noqa: PTH116 - Path.stat is this
        if (status.st_dev, status.st_ino) in self._visited:
            return []
        self._visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links; opening it as a file will name the fault
        return False


def _take_source(source: str, search: _Search, single: list[Path]) -> None:
    path = Path(source)
    if is_url(source):
        search.take_remote(source)
    elif os.path.isdir(source):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        search.walk(path)
    elif _is_there(source):
        single.append(path)
    elif _GLOB_CHARACTERS.search(source):
        matches = [Path(match) for match in glob.iglob(source, recursive=True)]  # noqa: PTH207
        files = [match for match in matches if not match.is_dir()]
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


def _once(files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each file the first time it is named, by its place; a link beside its target is a file."""
    folder = functools.lru_cache(os.path.realpath)
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for path, name in files:
        above, last = os.path.split(path)
        seen.setdefault((folder(above), last), (path, name))
    return list(seen.values())


def _named_below_common_folder(paths: Iterable[Path]) -> list[tuple[str, str]]:
    whole = [(path, Path(os.path.abspath(path))) for path in paths]  # noqa: PTH100 - keeps links
    if not whole:
        return []
    common = os.path.commonpath([str(absolute.parent) for _, absolute in whole])
    return [(str(path), absolute.relative_to(common).as_posix()) for path, absolute in whole]


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
