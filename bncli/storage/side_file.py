"""A file that a run leaves outside its output folder: whole or absent, like those inside."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from bncli.errors import OutputError
from bncli.storage.disk import flush_file, flush_folder, writing


class SideFile:
    """One file. Use it in a with block; without :meth:`place` it leaves nothing.

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
        overwrite: bool | None = None,
        resume: bool = False,
        folder_comes: bool = False,
    ) -> None:
        self.path = path
        self._resume = resume
        self._folder_comes = folder_comes
        self._overwrite = bool(overwrite)
        self._remedy = "choose another name" + ("" if overwrite is None else " or --overwrite")
        name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        self._staged = path.parent / f".bncli-{name}.part"
        self.check()

    def check(self) -> None:
        """Raise OutputError if it could not be written."""
        with writing(self.path):
            self._check()

    def _check(self) -> None:
        folder, place = self.path.parent, (str(self.path),)
        if self._folder_comes and not _exists(folder):
            return
        if not folder.is_dir():
            raise OutputError(f"{self.path}: there is no folder {folder}; make it", paths=place)
        if _exists(self.path):
            if self.path.is_dir():
                raise OutputError(f"{self.path}: it is a folder; choose another name", paths=place)
            if not (self._overwrite or self._resume):
                raise OutputError(f"{self.path}: it exists; {self._remedy}", paths=place)
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
        with contextlib.suppress(OSError):
            self._staged.unlink(missing_ok=True)

    def stage(self, content: bytes) -> None:
        """Write and flush the bytes beside the place that they will have."""
        with writing(self.path):
            self._staged.unlink(missing_ok=True)
            with open(self._staged, "xb") as file:  # noqa: PTH123 - x refuses what is there already
                file.write(content)
            flush_file(self._staged)

    def place(self) -> None:
        """Give the bytes their name."""
        self.check()
        with writing(self.path):
            if self._resume and not self._overwrite and _exists(self.path):
                self._check_same()
            self._staged.replace(self.path)
            flush_folder(self.path.parent)

    def _check_same(self) -> None:
        if not self.path.is_file() or self.path.read_bytes() != self._staged.read_bytes():
            raise OutputError(
                f"{self.path}: it exists and is of another run, though all else is written; "
                f"{self._remedy}",
                paths=(str(self.path),),
            )


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True  # any other refusal, that of a name too long, is for the caller
