"""One file of results: whole or absent, whatever ends the process."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedRandom
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bncli.errors import OutputError
from bncli.storage.disk import AT_THIS_PLACE, check_replaceable, flush_folder, lock, writing

Content = bytes | Callable[[BinaryIO], object]
"""The bytes of a file, or what writes them into it."""


def write_whole(path: Path, content: Content, *, overwrite: bool | None) -> str:
    """Write one file that is absent or whole at any time.

    Args:
        path: the file.
        content: of it.
        overwrite: whether one that exists may be replaced; None where the user cannot ask for it.

    Returns:
        The SHA-256 of its bytes, hexadecimal.

    Raises:
        OutputError: it exists, cannot be written, or another bncli is writing it.
    """
    with WholeFile(path, overwrite=overwrite) as file:
        digest = file.stage(content)
        file.place()
    return digest


class WholeFile:
    """One file. Use it in a with block; without :meth:`place` it leaves nothing.

    It is filled and flushed under a hidden name beside its own, and then renamed. What a killed
    process leaves under the hidden name, the next one writes over.

    Args:
        path: the file.
        overwrite: whether one that exists may be replaced; None where the user cannot ask for it.
        resume: whether one that exists may stay if it holds the same bytes.
        folder_comes: whether the folder may be missing yet.

    Raises:
        OutputError: it exists, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool | None = False,
        resume: bool = False,
        folder_comes: bool = False,
    ) -> None:
        self.path = path
        self._resume = resume
        self._folder_comes = folder_comes
        self._overwrite = bool(overwrite)
        self._remedy = "choose another name" + ("" if overwrite is None else " or --overwrite")
        name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        self._hidden = path.parent / f".bncli-{name}.part"
        self._held = ExitStack()
        self.check()

    def check(self) -> None:
        """Raise OutputError if it could not be written."""
        with writing(self.path):
            folder, place = self.path.parent, (str(self.path),)
            if self._folder_comes and not _exists(folder):
                return
            if not folder.is_dir():
                raise OutputError(f"{self.path}: there is no folder {folder}; make it", paths=place)
            if _exists(self.path):
                if self.path.is_dir() and not self.path.is_symlink():
                    raise OutputError(
                        f"{self.path}: it is a folder; choose another name", paths=place
                    )
                if not (self._overwrite or self._resume):
                    raise self._taken("it exists")
                check_replaceable(self.path)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise OutputError(f"{folder}: no permission to write; choose another folder")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # of bytes that were refused before
            self._held.close()

    def stage(self, content: Content) -> str:
        """Write and flush the file under its hidden name, which is this process's alone from now.

        Returns:
            The SHA-256 of its bytes, hexadecimal.

        Raises:
            OutputError: it cannot be written, or another bncli is writing it.
        """
        with writing(self.path):
            self._held.close()
            file = self._held.enter_context(_locked(self._hidden, self.path))
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if os.name == "nt":  # which renames no file that is open
                file.close()
            return digest

    def place(self) -> None:
        """Give what was staged its name.

        Raises:
            OutputError: a file that may not be replaced has come there meanwhile.
        """
        with writing(self.path):
            if self._overwrite:
                if _exists(self.path):
                    check_replaceable(self.path)
                self._hidden.replace(self.path)
            elif self._resume and _exists(self.path):
                self._check_same()
                self._hidden.replace(self.path)
            else:
                self._place_new()
            flush_folder(self.path.parent)

    def _place_new(self) -> None:
        """Give it the name unless that was taken meanwhile, which a rename would not see."""
        try:
            os.link(self._hidden, self.path)
        except FileExistsError as error:
            raise self._taken("it exists") from error
        except OSError:  # a file system without links
            if _exists(self.path):
                raise self._taken("it exists") from None
            self._hidden.replace(self.path)
        else:
            self._hidden.unlink()

    def _check_same(self) -> None:
        if not self.path.is_file() or self.path.read_bytes() != self._hidden.read_bytes():
            raise self._taken("it exists and is of another run, though all else is written")

    def _taken(self, fact: str) -> OutputError:
        return OutputError(f"{self.path}: {fact}; {self._remedy}", paths=(str(self.path),))


@contextmanager
def _locked(hidden: Path, path: Path) -> Iterator[BufferedRandom]:
    """The empty hidden file of *path*, locked; it is removed where it has not been renamed."""
    while True:
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | AT_THIS_PLACE, 0o666)
        with open(descriptor, "r+b") as file:  # noqa: PTH123 - a descriptor
            lock(descriptor, f"{path}: another bncli is writing it; wait for it to end")
            state = os.fstat(descriptor)
            if not _is_at(hidden, state):
                continue  # who held the lock before has renamed the file: it is another's now
            if state.st_nlink > 1:
                # Who placed it died before it took this name away: its bytes are results now.
                hidden.unlink()
                continue
            try:
                file.truncate(0)
                yield file
            finally:
                with contextlib.suppress(OSError):
                    if _is_at(hidden, state):
                        hidden.unlink()
            return


def _is_at(path: Path, state: os.stat_result) -> bool:
    # Looked at once: between two looks who held the lock before may take the name away.
    try:
        return os.path.samestat(path.lstat(), state)
    except FileNotFoundError:
        return False


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True  # any other refusal, that of a name too long, is for the caller
