"""Opening files that anybody may have made: regular files only, with the facts that show change."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bncli.errors import DataError

_PACKED = "=QqQ"


@dataclass(frozen=True, slots=True)
class FileState:
    """What the file system says of a file; it changes when the file does."""

    size: int
    modified_ns: int
    inode: int

    def packed(self) -> bytes:
        """The same in a third of the memory, for those who keep it of very many files."""
        return struct.pack(_PACKED, self.size, self.modified_ns, self.inode)


def packed_size(state: bytes) -> int:
    """Bytes of the file that a packed state is of."""
    size: int = struct.unpack(_PACKED, state)[0]
    return size


@contextmanager
def open_regular(path: str | Path) -> Iterator[tuple[BinaryIO, FileState]]:
    """Open a regular file for reading; never waits on a pipe or a device.

    Raises:
        DataError: it is no regular file or cannot be opened; the message does not name it.
    """
    try:
        file = open(path, "rb", opener=_never_waiting)  # noqa: SIM115 - closed below
    except OSError as error:
        raise DataError(f"it cannot be opened: {error.strerror}") from error
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataError("it is not a regular file; move it out of the folder")
        yield file, FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def _never_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK the mere opening of a named pipe would wait for its writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
