"""Files flushed to the disk in the background, while the run goes on."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bncli.storage.disk import flush_file

_FLUSHERS = 16
"""Threads that wait for the disk; one wait can serve many files."""

_BACKLOG = 128
"""Files that may wait to be flushed before the run waits for them."""


class Flusher:
    """Flushes files; what the disk refuses is raised by a later call."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_FLUSHERS, thread_name_prefix="bncli-flush")
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
