"""What is asked of the operating system when files are written, and what its refusals mean."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from bncli.errors import OutputError
from bncli.pool import Pool

try:
    import fcntl
except ImportError:  # Windows, where the lock is left out
    fcntl = None  # type: ignore[assignment]

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "the file-size limit is too small for it; raise it (ulimit -f)",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder on a disk that may be written to",
    errno.ENAMETOOLONG: "choose shorter names",
    errno.ELOOP: "a link stands in the way; move it away",
    errno.ENOTDIR: "a file stands where a folder is to be; move it away",
    errno.EISDIR: "a folder stands where a file is to be; move it away",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "end programs that hold many files open",
    errno.ENOMEM: "end other programs, or give this one more memory",
    errno.ESTALE: "see that the network disk is there, and run it again",
    errno.EIO: "see that the disk is sound",
    errno.ENOENT: "see that nothing removes the folder while bncli is running",
}


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


_KINDS: dict[str, Callable[[int], bool]] = {
    "a link": stat.S_ISLNK,
    "a folder": stat.S_ISDIR,
    "a named pipe": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": _is_device,
}

AT_THIS_PLACE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Links are not followed, and a pipe is not waited for."""

_FLUSHERS = 16
"""Threads that wait for the disk; one wait can serve many files."""

_BACKLOG = 128
"""Files that may wait to be flushed before the run waits for them."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses while *path* is written into an OutputError with a remedy."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else str(path)
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "choose another folder or disk")
        message = f"{place}: it cannot be written: {reason}; {remedy}"
        raise OutputError(message, paths=(place,)) from error


def free_bytes(path: Path) -> int | None:
    """Bytes free where *path* is or would be made; None where the system does not say."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    try:
        status = os.statvfs(place)
    except (AttributeError, OSError):  # Windows, or a file system that does not answer
        return None
    return status.f_bavail * status.f_frsize


def check_room(out: Path, least: int) -> None:
    """Raise OutputError if *least* bytes have no room where *out* is or would be made."""
    free = free_bytes(out)
    if free is not None and least > free:
        raise OutputError(
            f"{out}: the run needs at least {least / 1e6:,.0f} MB of disk, but "
            f"{free / 1e6:,.0f} MB are free; free some space or choose another disk",
            paths=(str(out),),
        )


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


def digest_of(path: Path) -> bytes | None:
    """SHA-256 of a regular file that lies at this very place, or None where none can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | AT_THIS_PLACE)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):  # it was read all the same
            os.close(descriptor)


def check_replaceable(path: Path) -> None:
    """Refuse to replace anything but a regular file: a link, pipe or device is somebody's wiring.

    Raises:
        OutputError: what is there is no regular file.
    """
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        named = next((word for word, is_one in _KINDS.items() if is_one(mode)), "no regular file")
        raise OutputError(f"{path}: it is {named}; move it away", paths=(str(path),))


def folders_of(names: Iterable[str]) -> list[str]:
    """The folders that relative names lie in, the outer ones first."""
    direct = {PurePosixPath(folder) for folder in {name.rpartition("/")[0] for name in names}}
    every = {above for folder in direct for above in (folder, *folder.parents)}
    return [str(folder) for folder in sorted(every - {PurePosixPath()})]


def lock(descriptor: int, refusal: str) -> None:
    """Lock an open file or folder until it is closed, or the process ends.

    Raises:
        OutputError: another process holds the lock; its message is *refusal*.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(refusal) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder, which ends with the process that holds it.

    Raises:
        OutputError: another process holds it.
        OSError: the folder cannot be opened.
    """
    if fcntl is None:  # and folders cannot be opened
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, f"{folder}: another bncli is writing here; wait for it to end")
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing was written through it
            os.close(descriptor)


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


class Flusher:
    """Flushes files in the background; what the disk refuses is raised by a later call."""

    def __init__(self) -> None:
        self._pool = Pool(_FLUSHERS, thread_name_prefix="bncli-flush")
        self._waiting: deque[Future[None]] = deque()

    def add(self, path: Path) -> None:
        """Flush one more file; waits while too many are under way."""
        self._waiting.append(self._pool.submit(_flush, path))
        with contextlib.suppress(IndexError):  # another thread may have taken the last
            while self._waiting[0].done() or len(self._waiting) > _BACKLOG:
                self._waiting.popleft().result()

    def map(self, task: Callable[[str], object], names: Sequence[str]) -> Iterator[object]:
        """The results of a task that reads files, on the threads that otherwise flush them."""
        for start in range(0, len(names), _BACKLOG):
            yield from self._pool.map(task, names[start : start + _BACKLOG])

    def wait(self) -> None:
        """Return when all files are on the disk."""
        while self._waiting:
            self._waiting.popleft().result()

    def stop(self) -> None:
        """End; what has not been begun is not flushed."""
        self._pool.shutdown(cancel_futures=True)


def _flush(path: Path) -> None:
    try:
        flush_file(path)
    except OSError:
        # The system may call it clean from now on, and show bytes that no disk holds.
        path.unlink(missing_ok=True)
        raise
