"""Input and output stay apart: nothing that is read is ever written to."""

from __future__ import annotations

import functools
import os
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bncli.errors import OptionError
from bncli.packed import Table

_NUMBER = struct.Struct("=I")


def check_apart(out: Path, searched: Sequence[Path], parents: Sequence[Path]) -> None:
    """Refuse an output folder that is, lies in or holds a folder that is read.

    Args:
        out: the output folder, which need not exist.
        searched: folders all of whose files are read.
        parents: folders of which some files are read: *out* may lie in them.

    Raises:
        OptionError: it does.
    """
    target = _identity(out)
    for folder in searched:
        source = _identity(folder)
        if target == source:
            raise OptionError(f"{out}: the output folder is the input folder; choose another")
        if source in target.parents:
            raise OptionError(
                f"{out}: the output folder lies inside the input folder {folder}; choose another"
            )
        if target in source.parents:
            raise OptionError(
                f"{out}: the output folder holds the input folder {folder}; choose another"
            )
    if any(target == _identity(folder) for folder in parents):
        raise OptionError(f"{out}: the output folder is that of the input files; choose another")


def check_not_read(out: Path, names: Sequence[str], read: Sequence[str]) -> None:
    """Refuse to write where, by whatever links, a file lies that is read.

    Args:
        out: the output folder.
        names: of the files that will be written, relative to it.
        read: the files that are read.

    Raises:
        OptionError: one of them would be replaced.
    """
    if not out.exists():
        return
    # What is not there yet is no input; and most runs replace nothing.
    there = Table(_NUMBER.size)
    numbers = array("I", (n for n, name in enumerate(names) if os.path.lexists(out / name)))
    for number, place in zip(numbers, _places(str(out / names[n]) for n in numbers), strict=True):
        there[place] = _NUMBER.pack(number)
    if not there:
        return
    for path, place in zip(read, _places(read), strict=True):
        if place in there:
            written = out / names[_NUMBER.unpack(there[place])[0]]
            raise OptionError(
                f"{written}: it is the input {path}; choose another output folder",
                paths=(str(written),),
            )


def check_file_apart(out: Path, searched: Sequence[Path], read: Sequence[str]) -> None:
    """Refuse a file to be written that lies in a folder that is read, or is itself read.

    Args:
        out: the file, which need not exist.
        searched: folders all of whose files are read.
        read: files that are read.

    Raises:
        OptionError: it does, or is.
    """
    target = _identity(out)
    for folder in searched:
        # A link that lies there would itself be replaced, wherever it leads.
        if _identity(folder) in {*target.parents, *(_identity(out.parent) / out.name).parents}:
            raise OptionError(
                f"{out}: it would lie in the input folder {folder}; choose another place",
                paths=(str(out),),
            )
    if str(target) in _places(read):
        raise OptionError(f"{out}: it is read; choose another name", paths=(str(out),))


def _identity(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _places(paths: Iterable[str]) -> Iterator[str]:
    """The real path of each file; that of a folder is found once for all that lie in it."""
    folder = functools.lru_cache(maxsize=64)(os.path.realpath)
    for path in paths:
        above, last = os.path.split(path)
        linked = os.path.islink(path)  # noqa: PTH114 - there may be a million
        yield os.path.realpath(path) if linked else os.path.join(folder(above), last)  # noqa: PTH118
