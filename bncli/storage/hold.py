"""The output folder in the hands of one run: locked, mended, and left as it was found or whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage.disk import flush_folder, locked
from bncli.storage.earlier import Earlier
from bncli.storage.journal import Inputs, Journal, Key
from bncli.storage.names import MayReplace
from bncli.storage.placing import missing_folders, place, settle_locked, take_back
from bncli.storage.staging import STAGING, Staging


class Hold:
    """The hold of one run on an output folder; :meth:`leave` ends it.

    Attributes:
        path: of the output folder.
        staging: where files wait until all are whole.
        earlier: what there is to go on with.
        committed: whether the run is at its place, whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = Staging(path / STAGING)
        self.earlier = Earlier.none(path)
        self.committed = False
        self._journal: Journal | None = None
        self._lock = ExitStack()
        self._owned = False
        self._identity: os.stat_result | None = None
        self._made: list[Path] = []
        self._placing: Sequence[str] | None = None

    def take(self, refuse: Callable[[Earlier], None] | None) -> None:
        """Lock the folder, which is made if need be, and take back what a killed run half placed.

        Args:
            refuse: raises an error if what is there is not to be gone on with; None: nothing is.

        Raises:
            OutputError: the folder is in use, or not to be used.
            OSError: as the system says.
        """
        self._make_folders(self.path)
        self._lock.enter_context(locked(self.path))
        self._identity = self.path.stat()
        self.staging.check()
        if refuse is not None:
            refuse(Earlier.read(self.path))
        self._owned = True
        settle_locked(self.staging)
        if refuse is not None:
            self.earlier = Earlier.read(self.path)
        if self.earlier.under_way:
            self.staging.sweep_parts()
        else:
            self.staging.sweep()

    def journal(self, names: Iterable[str], key: Key, inputs: Inputs) -> Journal:
        """The journal of the run; the first call makes it, and the staging folder with it."""
        if self._journal is None:
            self.staging.path.mkdir(exist_ok=self.earlier.under_way)
            self._journal = Journal(self.staging.journal)
            if not self.earlier.under_way:
                self._journal.begin(key, inputs)
            self.staging.make(names)
        return self._journal

    def commit(self, names: Sequence[str], may_replace: MayReplace) -> None:
        """Bring staged files to their places, the summary, which is not among *names*, last.

        Raises:
            OutputError: another folder has taken the place of this one.
            OSError: as the system says.
        """
        assert self._journal is not None  # noqa: S101 - something is staged
        assert self._identity is not None  # noqa: S101 - the folder was taken
        if not os.path.samestat(self._identity, self.path.stat()):
            raise OutputError(f"{self.path}: it was replaced while bncli was running; run again")
        self._placing = missing_folders(self.path, names)
        self._journal.commit(self._placing)
        for folder in (self.staging.path, self.path, *(made.parent for made in self._made)):
            flush_folder(folder)
        place(self.staging, names, may_replace)
        self._journal.done()
        self.committed = True

    def leave(self, digests: Mapping[str, bytes], *, keep: bool) -> None:
        """Take back what is half placed, sweep what is staged, and let go.

        Args:
            digests: of all files that were staged.
            keep: what is staged stays for the next run, unless this one is whole.

        Raises:
            OutputError, OSError: the folder could not be mended; the next run will.
        """
        try:
            if self._owned:
                self._undo(digests)
                self._tidy(keep=keep and not self.committed)
            for folder in [] if self.committed else reversed(self._made):
                folder.rmdir()
        finally:
            self._close()
            self._lock.close()

    def _undo(self, digests: Mapping[str, bytes]) -> None:
        if self._placing is not None and self._journal is not None and not self.committed:
            take_back(self.staging, digests, self._placing)
            self._journal.taken_back()

    def _tidy(self, *, keep: bool) -> None:
        self._close()
        if keep:
            self.staging.sweep_parts()
        elif self.committed or not self.staging.holds_old_files():
            self.staging.sweep()

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _make_folders(self, folder: Path) -> None:
        """Make *folder* and those above it; those made are removed again if the run fails."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)
