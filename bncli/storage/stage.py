"""Staging a file of a run from another process, on this machine or on another one."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage.disk import flush_file, writing


@dataclass(frozen=True, slots=True)
class Stage:
    """Where any process that sees the output folder can stage files of a run.

    A file is first written to a folder that belongs to this run alone and that no stage makes, so
    that a worker who was left behind by an earlier run can neither write into this one nor bring
    back what was swept.

    Attributes:
        folder: where staged files lie.
        own: the folder of this run.
        host: where the run itself is, which flushes what is written there.
    """

    folder: Path
    own: Path
    host: str

    @classmethod
    def make(cls, folder: Path) -> Stage:
        """A stage in *folder*, which exists."""
        absolute = folder.absolute()
        own = absolute / f"own-{uuid.uuid4().hex}"
        own.mkdir()
        return cls(absolute, own, socket.gethostname())

    def write(self, name: str, content: bytes) -> str:
        """Stage one file whole; who does so again replaces it.

        Returns:
            The SHA-256 of its bytes, hexadecimal.

        Raises:
            OutputError: it cannot be written, or the run has ended.
        """
        target = self.folder / name
        with writing(target):
            if not self.own.is_dir():
                raise OutputError(f"{target}: the run has ended")
            new = self.own / uuid.uuid4().hex
            with open(new, "xb") as file:  # noqa: PTH123 - x refuses what is there already
                file.write(content)
            if socket.gethostname() != self.host:
                flush_file(new)
            self._make_folders(name)
            new.replace(target)
        return hashlib.sha256(content).hexdigest()

    def _make_folders(self, name: str) -> None:
        """Make the folders of *name*, but never that of all stages: it may have been swept."""
        folder = self.folder
        for part in name.split("/")[:-1]:
            folder /= part
            with contextlib.suppress(FileExistsError):  # another worker was quicker
                folder.mkdir()
