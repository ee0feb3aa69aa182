"""The folder in which the files of a run wait until all of them are whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bncli.errors import OutputError
from bncli.storage.disk import flush_file, folders_of, writing

STAGING = ".bncli-run"
_JOURNAL, _NEW, _OLD, _PART = "journal", "new", "old", "part"


@dataclass(frozen=True, slots=True)
class Staging:
    """Where a run keeps its files; small enough to be sent to every process that writes some.

    A file is written under a name of its own and then renamed, so whoever writes the same file
    twice, or at the same time as another, leaves it whole.

    Attributes:
        path: of the folder ``.bncli-run`` in the output folder.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """What the run has done so far; it marks the folder as made by bncli."""
        return self.path / _JOURNAL

    def new(self, name: str) -> Path:
        """Where a whole file waits."""
        return self.path / _NEW / name

    def old(self, name: str) -> Path:
        """Where the file waits that the new one replaces."""
        return self.path / _OLD / name

    def knows_of(self, name: str) -> bool:
        """Whether a file of this name waits here, new or old, or is at its place."""
        # Text, not paths, which take ten times as long to make: a journal may have a million names.
        out = str(self.path)
        places = (f"{out}/{_NEW}/{name}", f"{out}/../{name}", f"{out}/{_OLD}/{name}")
        return any(map(os.path.lexists, places))

    def part(self, name: str) -> Path:
        """Where what is not yet whole lies, until the next run sweeps it."""
        return self.path / _PART / name

    def write(self, name: str, content: bytes) -> str:
        """Stage one file whole; its folder was made with the staging folder.

        Returns:
            The SHA-256 of its bytes, hexadecimal.

        Raises:
            OSError: as the system says.
        """
        with self.filling(name) as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    @contextmanager
    def filling(self, name: str) -> Iterator[BinaryIO]:
        """A file to write to, readable too, that is staged when the block ends well."""
        part = self.part(os.urandom(8).hex())
        try:
            with open(part, "x+b") as file:  # noqa: PTH123 - x refuses what is there already
                yield file
            part.replace(self.new(name))
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise

    def make(self, names: Iterable[str]) -> None:
        """Make what is missing of the folders for files of these names.

        Raises:
            OutputError: something else lies where a folder should be.
        """
        inner = [self.new(folder) for folder in folders_of(names)]
        for folder in (self.path / _NEW, self.path / _OLD, self.path / _PART, *inner):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise OutputError(f"{folder}: bncli did not make this; move it away")
            folder.mkdir(exist_ok=True)

    def check(self) -> None:
        """Raise OutputError if what lies here was not made by bncli."""
        if self.path.is_symlink():
            raise OutputError(f"{self.path}: it is a link, which bncli never makes; remove it")
        if self.path.exists() and not self.journal.is_file() and any(self.path.iterdir()):
            raise OutputError(f"{self.path}: it is not bncli's; move it away")

    def sweep_parts(self) -> None:
        """Remove the files that were not whole when their writer died."""
        shutil.rmtree(self.path / _PART, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the folder, its mark last: a sweep that is cut short can go on.

        Raises:
            OutputError: it was not made by bncli, or holds files that the run has set aside and
                could not put back.
        """
        self.check()
        if not self.path.exists():
            return
        for place in self.path.iterdir():
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            elif place != self.journal:
                place.unlink()
        self.journal.unlink(missing_ok=True)
        self.path.rmdir()

    def holds_old_files(self) -> bool:
        """Whether files that were to be replaced have not been put back."""
        return any(files for _, _, files in os.walk(self.path / _OLD))


@dataclass(frozen=True, slots=True)
class SharedStaging:
    """Where the workers of one run stage files; small enough to be sent to every one of them.

    Attributes:
        staging: of the run, by its absolute path.
        mark: a file of this run alone: a worker who was left behind by an earlier run no longer
            finds its own, and writes nothing into this one.
        host: where the run itself is, which flushes what is written there.
    """

    staging: Staging
    mark: Path
    host: str

    @classmethod
    def open(cls, staging: Staging) -> SharedStaging:
        """For a run that has its staging folder."""
        absolute = replace(staging, path=staging.path.absolute())
        mark = absolute.part(os.urandom(16).hex())
        mark.touch()
        return cls(absolute, mark, socket.gethostname())

    def write(self, name: str, content: bytes, _facts: object = None) -> str:
        """Stage one file whole; who does so again replaces it. The run records its facts.

        Returns:
            The SHA-256 of its bytes, hexadecimal.

        Raises:
            OutputError: it cannot be written, or the run has ended.
        """
        target = self.staging.new(name)
        with writing(target):
            if not self.mark.exists():
                raise OutputError(f"{target}: the run has ended")
            digest = self.staging.write(name, content)
            if socket.gethostname() != self.host:
                flush_file(target)
        return digest
