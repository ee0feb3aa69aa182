"""Staging a file of a run from another process, on this machine or on another one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage.disk import flush_file, writing
from bncli.storage.staging import Staging


@dataclass(frozen=True, slots=True)
class Stage:
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
    def open(cls, staging: Staging) -> Stage:
        """A stage for a run that has its staging folder."""
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
