"""Pictures in object stores, ``s3://bucket/folder`` and the like, read through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from bncli.errors import BncliError, ImageError, MissingExtraError, NoPicturesError, OptionError
from bncli.files import FileState, open_regular
from bncli.images.policy import SUFFIXES

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://")
_PROTOCOLS = ("s3", "gs", "gcs", "az", "abfs", "memory")
"""Plain stores of files. Others chain, unpack or run things, and no name is to ask for that."""

_GLOB_CHARACTERS = re.compile(r"[*?\[]")
_DIGITS = 15
"""Hexadecimal digits that fit a signed 64-bit number."""


def is_url(source: str | Path) -> bool:
    """Whether it names something in a store and no local file."""
    return _URL.match(str(source)) is not None


@contextmanager
def open_file(path: str | Path) -> Iterator[tuple[BinaryIO, FileState]]:
    """Open a file for reading, local or in a store.

    Raises:
        DataError: it is no regular file or cannot be opened; the message does not name it.
    """
    if not is_url(path):
        with open_regular(path) as opened:
            yield opened
        return
    with _reaching():
        system, place = _system(str(path))
        state = FileState(int(system.size(place)), int(system.ukey(place)[:_DIGITS], 16), 0)
        file = system.open(place, "rb")
    with file:
        yield file, state


def find_remote(source: str, *, recursive: bool) -> tuple[list[tuple[str, str]], list[str]]:
    """The pictures of one folder, glob or file in a store.

    Returns:
        (URL, name) of each, the name relative to the folder; and the names of all other files.

    Raises:
        OptionError: bncli does not read from stores of that kind.
        MissingExtraError: fsspec, or what it needs for that kind, is not installed.
        NoPicturesError: there is no such file or folder.
        ImageError: the store cannot be reached.
    """
    with _reaching(f"{source}: "):
        system, place = _system(source)
        if _GLOB_CHARACTERS.search(source):
            found = [path for path in system.glob(place) if system.isfile(path)]
            base = _GLOB_CHARACTERS.split(place)[0].rpartition("/")[0]
        elif system.isdir(place):
            found, base = system.find(place, maxdepth=None if recursive else 1), place
        else:
            found, base = [place] if system.isfile(place) else [], place.rpartition("/")[0]
    if not found:
        raise NoPicturesError(
            f"{source}: there is no such file or folder; check the name", paths=(source,)
        )
    pairs = [(path, path.removeprefix(base).lstrip("/")) for path in sorted(found)]
    kept = [(system.unstrip_protocol(path), name) for path, name in pairs if _is_picture(name)]
    return kept, [name for _, name in pairs if not _is_picture(name)]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the place in it."""
    match = _URL.match(url)
    protocol = match[1] if match else ""
    if protocol not in _PROTOCOLS or "::" in url:
        raise OptionError(f"{url}: bncli reads files, and from {', '.join(_PROTOCOLS)}")
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError(
            f"{url}: files in stores need fsspec: pip install 'bncli[dask]'"
        ) from error
    try:
        system, place = fsspec.url_to_fs(url)
    except ImportError as error:  # fsspec names the package in its own words
        raise MissingExtraError(f"{url}: {' '.join(str(error).split())}") from error
    return system, place.rstrip("/")


@contextmanager
def _reaching(before: str = "") -> Iterator[None]:
    """Turn whatever a store raises into an ImageError with the reason."""
    try:
        yield
    except BncliError:
        raise
    except Exception as error:  # each kind of store has errors of its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"{before}it cannot be reached: {reason}") from error
