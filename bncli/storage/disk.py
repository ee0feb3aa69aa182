"""What is asked of the operating system when files are written, and what its refusals mean."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bncli.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "the file-size limit is too small for it",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENAMETOOLONG: "choose shorter names",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses while *path* is written into an OutputError with a remedy."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else str(path)
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "see that the disk is sound")
        message = f"{place}: it cannot be written: {reason}; {remedy}"
        raise OutputError(message, paths=(place,)) from error


def reserve(descriptor: int, start: int, size: int) -> None:
    """Claim the space now: a full disk must be an error here, not a crash in mapped memory."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(descriptor, start, size)
    else:
        os.ftruncate(descriptor, start + size)


def flush_file(path: Path) -> None:
    """Return when the bytes of a file are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk."""
    with contextlib.suppress(PermissionError):  # Windows does not open folders
        flush_file(path)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold signals that end the run back until the block is through; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = [signal.signal(number, lambda n, _: held.append(n)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for number in held[:1]:
            signal.raise_signal(number)
