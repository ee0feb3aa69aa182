"""The output folder of a run: a lock, files that are whole or absent, the summary last.

Everything is first written to a folder ``.bncli-run`` inside the output folder. Only when all of it
is there and flushed to disk is each file renamed to its place, the summary last of all. Whatever
kills the process before leaves no name that a run promises; what it leaves, the next run sweeps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, BinaryIO, Self

from numpy.typing import DTypeLike

from bncli.errors import OutputError
from bncli.storage.disk import flush_file, flush_folder, uninterrupted, writing
from bncli.storage.rows import RowWriter
from bncli.storage.stage import Stage

try:
    import fcntl
except ImportError:  # Windows, where the lock is left out
    fcntl = None  # type: ignore[assignment]

SUMMARY = "summary.json"
_STAGING = ".bncli-run"
_MARK = "made-by-bncli"
_FLUSHERS = 16
"""Threads that wait for the disk; one wait can serve many files."""

_LEAVE_SECONDS = 10.0
_BACKLOG = 128
"""Files that may wait to be flushed before the run waits for them."""


class RunFolder:
    """What one run writes. Use it in a with block; without :meth:`commit` it leaves nothing.

    Args:
        path: the output folder; it is made on the first write.
        names: of all files the run will write, relative, with forward slashes, but the summary.
        overwrite: whether files of these names may be replaced.

    Raises:
        OutputError: a file of one of the names exists, another run is writing here, or the folder
            cannot be written.
    """

    def __init__(self, path: Path, names: Sequence[str], *, overwrite: bool) -> None:
        self.path = path
        self._names = [*names, SUMMARY]
        self._overwrite = overwrite
        self._staging = path / _STAGING
        self._digests: dict[str, str] = {}
        self._made: list[Path] = []
        self._placed: list[Path] = []
        self._flushes: deque[Future[None]] = deque()
        self._flushers = ThreadPoolExecutor(_FLUSHERS, thread_name_prefix="bncli-flush")
        self._lock: int | None = None
        self._gate = threading.Condition()
        self._writers = 0
        self._left = False
        self._committed = False
        self.check()

    def check(self) -> None:
        """Raise OutputError if the run could not write what it is going to."""
        with writing(self.path):
            existing = self.path
            while not os.path.lexists(existing):
                existing = existing.parent
            if not existing.is_dir():
                raise OutputError(f"{existing}: it exists and is not a folder; choose another")
            self._check_names()
        if not os.access(existing, os.W_OK | os.X_OK):
            raise OutputError(f"{existing}: no permission to write; choose another folder")

    def __enter__(self) -> Self:
        # The outermost try: a signal may arrive while the context manager inside is being left.
        try:
            with writing(self.path):
                self._open()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def write(self, name: str, content: bytes) -> str:
        """Stage one file whole.

        Returns:
            The SHA-256 of its bytes, hexadecimal.
        """
        with self._busy(), writing(self.path / name):
            staged = self._stage(name)
            with open(staged, "xb") as file:  # noqa: PTH123 - x refuses what is there already
                file.write(content)
            self._staged(name, staged, hashlib.sha256(content).hexdigest())
        return self._digests[name]

    def stage(self) -> Stage:
        """Where other processes stage files of this run; each is then to be recorded."""
        return Stage.make(self._staging)

    def record(self, name: str, digest: str) -> None:
        """Take note of a file that another process has staged, and of the SHA-256 of its bytes."""
        with self._busy(), writing(self.path / name):
            self._staged(name, self._staging / name, digest)

    def write_with(self, name: str, writer: Callable[[BinaryIO], None]) -> None:
        """Stage one file that *writer* fills."""
        with self._filling(name) as file:
            writer(file)

    @contextmanager
    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[RowWriter]:
        """Stage a .npy file that is filled a row at a time."""
        with self._filling(name) as file:
            yield RowWriter(file, shape, dtype)

    def digest(self, name: str) -> str:
        """SHA-256 of a file already staged, hexadecimal."""
        return self._digests[name]

    def array_names(self) -> list[str]:
        """The .npy and .npz files staged so far."""
        return [name for name in self._digests if name.endswith((".npy", ".npz"))]

    def commit(self, summary: Mapping[str, Any]) -> None:
        """Flush everything, bring it to its place, and write the summary last."""
        self.write_with(SUMMARY, lambda file: _write_json(file, summary))
        with writing(self.path):
            while self._flushes:
                self._flushes.popleft().result()
            self._check_names()
            with uninterrupted():
                self._place()
                self._committed = True

    @contextmanager
    def _filling(self, name: str) -> Iterator[BinaryIO]:
        with self._busy(), writing(self.path / name):
            staged = self._stage(name)
            with open(staged, "xb") as file:  # noqa: PTH123 - x refuses what is there already
                yield file
            with staged.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._staged(name, staged, digest)

    def _staged(self, name: str, path: Path, digest: str) -> None:
        self._digests[name] = digest
        self._flushes.append(self._flushers.submit(flush_file, path))
        with contextlib.suppress(IndexError):  # another thread may have taken the last
            while self._flushes[0].done() or len(self._flushes) > _BACKLOG:
                self._flushes.popleft().result()

    def _place(self) -> None:
        """Bring every staged file to its place, the summary last."""
        # While files of two runs may lie side by side, no summary vouches for them.
        (self.path / SUMMARY).unlink(missing_ok=True)
        folders = {self.path}
        for name in self._digests:
            target = self.path / name
            folders.update(self._make_folders(target.parent))
            self._placed.append(target)
            (self._staging / name).replace(target)
        folders.update(made.parent for made in self._made)
        for folder in sorted(folders):
            flush_folder(folder)

    def _open(self) -> None:
        self._make_folders(self.path)
        if fcntl is not None:
            self._lock = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._lock)
                self._lock = None
                raise OutputError(
                    f"{self.path}: another bncli is writing here; wait for it to end"
                ) from error
        self._check_names()
        self._sweep()
        self._staging.mkdir()
        (self._staging / _MARK).touch()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Count who writes: threads may still be at it when a signal ends the run."""
        with self._gate:
            if self._left:
                raise OutputError(f"{self.path}: the run has ended")
            self._writers += 1
        try:
            yield
        finally:
            with self._gate:
                self._writers -= 1
                self._gate.notify_all()

    def _leave(self) -> None:
        with self._gate:
            self._left = True
            self._gate.wait_for(lambda: self._writers == 0, _LEAVE_SECONDS)
        self._flushers.shutdown(cancel_futures=True)
        if self._lock is not None or fcntl is None:
            with contextlib.suppress(OSError, OutputError):
                self._sweep()
        if not self._committed:
            self._take_back()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_back(self) -> None:
        """Remove what a commit that failed half-way has brought to its place, and empty folders."""
        # Where files were replaced, the new ones stay: the old ones are gone, and no summary is.
        for path in [] if self._overwrite else self._placed:
            with contextlib.suppress(OSError):
                path.unlink()
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _sweep(self) -> None:
        if self._staging.is_symlink():
            raise OutputError(f"{self._staging}: it is a link, which bncli never makes; remove it")
        if self._staging.exists():
            if not (self._staging / _MARK).exists() and any(self._staging.iterdir()):
                raise OutputError(f"{self._staging}: it is not bncli's; move it away")
            shutil.rmtree(self._staging)

    def _check_names(self) -> None:
        for folder in _folders_of(self._names):
            path = self.path / folder
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise OutputError(f"{path}: it is a link or a file, not a folder; move it away")
        if self._overwrite:
            folders = [name for name in self._names if (self.path / name).is_dir()]
            if folders:
                raise OutputError(f"{self.path / folders[0]}: it is a folder; move it away")
            return
        present = [name for name in self._names if os.path.lexists(self.path / name)]
        if present:
            more = f" and {len(present) - 1} more" if len(present) > 1 else ""
            raise OutputError(
                f"{self.path / present[0]}{more}: it exists; choose another folder or --overwrite",
                paths=tuple(str(self.path / name) for name in present),
            )

    def _stage(self, name: str) -> Path:
        staged = self._staging / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        return staged

    def _make_folders(self, folder: Path) -> list[Path]:
        """Make *folder* and those above it; those made are removed again if the run fails."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)
        return [*missing, folder]


def _write_json(file: BinaryIO, document: Mapping[str, Any]) -> None:
    """Piece by piece: the text of a large batch is many times its numbers."""
    pieces = json.JSONEncoder(indent=2, allow_nan=False).iterencode(document)
    file.writelines(piece.encode("ascii") for piece in pieces)
    file.write(b"\n")


def _folders_of(names: Sequence[str]) -> list[PurePath]:
    """The folders that relative names lie in, the outer ones first."""
    direct = {PurePath(name.rpartition("/")[0]) for name in names}
    return sorted(
        {above for folder in direct for above in (folder, *folder.parents)} - {PurePath()}
    )
