"""One file of results: whole or absent, never in the place of another unasked."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bncli.errors import OutputError
from bncli.storage.disk import flush_folder, writing

try:
    import fcntl
except ImportError:  # Windows, where the lock is left out
    fcntl = None  # type: ignore[assignment]


def check_file(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if the file could not be written."""
    with writing(path):
        folder = path.parent
        if not folder.is_dir():
            raise OutputError(f"{folder}: there is no such folder; make it first")
        if path.is_dir():
            raise OutputError(f"{path}: it is a folder; choose another name")
        if os.path.lexists(path) and not overwrite:
            raise _exists(path)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: no permission to write; choose another folder")


def write_file(path: Path, writer: Callable[[BinaryIO], None], *, overwrite: bool) -> str:
    """Write a file that is absent or whole at any time, whatever ends the process.

    It is filled and flushed under a hidden name beside its own, and then renamed. What a killed
    process leaves under the hidden name, the next one writes over.

    Args:
        path: the file.
        writer: fills it.
        overwrite: whether a file of that name may be replaced.

    Returns:
        The SHA-256 of its bytes, hexadecimal.

    Raises:
        OutputError: it exists, cannot be written, or another bncli is writing it.
    """
    check_file(path, overwrite=overwrite)
    hidden = path.with_name(f".{path.name}.bncli-part")
    with writing(path), _locked(hidden) as file:
        try:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
            with hidden.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            if overwrite:
                hidden.replace(path)
            else:
                _place(hidden, path)
        except BaseException:
            with contextlib.suppress(OSError):
                hidden.unlink()
            raise
        flush_folder(path.parent)
    return digest


def _place(hidden: Path, path: Path) -> None:
    """Give the file its name, unless the name was taken meanwhile."""
    try:
        os.link(hidden, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _exists(path) from None
        hidden.replace(path)
    else:
        hidden.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The empty file, open for writing and reading; nobody else of bncli's holds it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with open(os.open(path, flags, 0o666), "r+b") as file:  # noqa: PTH123 - a descriptor
            if fcntl is not None:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise OutputError(
                        f"{path}: another bncli is writing it; wait for it to end"
                    ) from error
                # Who held the lock before may have renamed the file: then it is another's now.
                if not _is_at(path, file):
                    continue
            file.truncate(0)
            yield file
            return


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path}: it exists; choose another name or --overwrite", paths=(str(path),))
