"""An output folder as an earlier run left it, and its hold by the run that comes after."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bncli.errors import OutputError
from bncli.packed import Table
from bncli.storage.disk import digest_of, flush_folder, locked
from bncli.storage.journal import (
    BEGINNING,
    Entries,
    Entry,
    Inputs,
    Journal,
    Key,
    Past,
    beginning,
    differences,
    input_differences,
    read_journal,
)
from bncli.storage.placing import (
    SUMMARY,
    MayReplace,
    is_complete,
    missing_folders,
    place,
    take_back,
    undo_killed_locked,
)
from bncli.storage.staging import STAGING, Staging
from bncli.storage.summary_file import find_summary


@dataclass(slots=True)
class Remains:
    """What is known of the files of an earlier run.

    Attributes:
        staging: where those lie that are not at their places.
        past: what its journal tells.
        document: the summary of a run that is whole, or None.
        listed: the files that this summary names and that are there; the facts of one that was
            made from a single picture are ``{"source": SHA-256 of the picture}``, of others None.
    """

    staging: Staging
    past: Past
    document: dict[str, Any] | None = None
    listed: Entries = field(default_factory=Entries)

    @classmethod
    def none(cls, out: Path) -> Remains:
        """Nothing is known of *out*."""
        return cls(Staging(out / STAGING), Past())

    @classmethod
    def read(cls, out: Path) -> Remains:
        """What lies in *out*, which need not exist; writes nothing."""
        remains = cls.none(out)
        past = read_journal(remains.staging.journal, remains.staging.knows_of)
        if not is_complete(remains.staging, past):
            remains.past = past
        listed = Entries()
        # It may be a file of somebody else.
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            document = find_summary(out / SUMMARY, lambda output: _list(listed, out, output))
            for file in document["arrays"]:  # after pictures, whose sources may lie in them
                _list(listed, out, file)
            remains.document, remains.listed = document, listed
        return remains

    @property
    def under_way(self) -> bool:
        """Whether a run has begun here and has not ended."""
        return self.past.key is not None

    @property
    def key(self) -> Key | None:
        """What the run was, or None where nobody knows."""
        if self.past.key is not None:
            return self.past.key
        found = (self.document or {}).get("run")
        return found if isinstance(found, dict) else None

    def forget_other(self, key: Key) -> None:
        """Forget the summary if it is that of a run of another key."""
        if self.document is None or self.document.get("run") != key:
            self.document, self.listed = None, Entries()

    def half_placed(self, name: str) -> bool:
        """Whether a killed run may have left this file at its place before all were there."""
        return self.past.made is not None and name in self.past.files

    def at_its_place(self, name: str) -> bool:
        """Whether the file is of a run that is whole."""
        return name in self.listed or (name == SUMMARY and self.document is not None)

    def knows(self, name: str) -> bool:
        """Whether a file of this name was once whole."""
        return name in self.past.files or name in self.listed

    def kept(self, name: str) -> tuple[Entry, bool] | None:
        """A file that is whole, and whether it is at its place; its bytes are read to know."""
        out = self.staging.path.parent
        past, listed = self.past.files.entry(name), self.listed.entry(name)
        for entry, path, placed in (
            (past, self.staging.new(name), False),
            (past if self.half_placed(name) else None, out / name, True),
            (listed, out / name, True),
        ):
            if entry is not None and digest_of(path) == entry.digest:
                return entry, placed
        return None

    def entry(self, name: str, digest: bytes) -> Entry | None:
        """What is known of a file of this name and content."""
        for entry in (self.past.files.entry(name), self.listed.entry(name)):
            if entry is not None and entry.digest == digest:
                return entry
        return None

    def refuse_other(self, key: Key, inputs: Inputs | None) -> None:
        """Refuse to go on with a run that was another.

        Args:
            key: of this run, as far as it is known.
            inputs: of this run, or None where they are not known yet.

        Raises:
            OutputError: the run was another; says what differs.
        """
        if self.key is None:
            return
        if inputs is None:
            unlike = differences({name: self.key.get(name) for name in key}, key)
        else:
            unlike = differences({**self.key, "inputs": None}, {**key, "inputs": None})
        if inputs is not None and self.key.get("inputs") != key.get("inputs"):
            before = self.past.inputs if self.past.key is not None else self.listed_inputs()
            unlike += [f"input {line}" for line in input_differences(before, inputs)] or [
                "the order of the inputs is another"
            ]
        if unlike:
            raise self.other_run("; ".join(unlike))

    def other_run(self, unlike: str, *, replacing: bool = False) -> OutputError:
        """There is nothing to go on with.

        Args:
            unlike: in what the run was another, in words.
            replacing: whether its files may be replaced already.
        """
        out, remedy = self.staging.path.parent, "choose another folder or --overwrite"
        if replacing or self.past.key is not None:
            remedy = "leave --resume out to begin anew"
        return OutputError(
            f"{out}: --resume cannot go on with the run that is there: {unlike}; {remedy}",
            paths=(str(out),),
        )

    def listed_inputs(self) -> Table:
        """The inputs of the run that is whole, as in :class:`bncli.storage.journal.Past`.

        Its summary is read again: who goes on with a run of the same inputs need not hold them.
        """
        found = Table(BEGINNING)

        def take(output: Any) -> None:
            found[output["source"]] = beginning(bytes.fromhex(output["source_sha256"]))

        if self.document is not None:
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                find_summary(self.staging.path.parent / SUMMARY, take)
        return found


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
        self.earlier = Remains.none(path)
        self.committed = False
        self._journal: Journal | None = None
        self._failure: OSError | None = None
        self._lock = ExitStack()
        self._owned = False
        self._identity: os.stat_result | None = None
        self._made: list[Path] = []
        self._placing: Sequence[str] | None = None

    def take(self, refuse: Callable[[Remains], None] | None) -> None:
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
            refuse(Remains.read(self.path))
        self._owned = True
        undo_killed_locked(self.staging)
        if refuse is not None:
            self.earlier = Remains.read(self.path)
        if self.earlier.under_way:
            self.staging.sweep_parts()
        else:
            self.staging.sweep()

    def journal(self, names: Collection[str], key: Key, inputs: Inputs) -> Journal:
        """The journal of the run; the first call makes it, and the staging folder with it."""
        if self._failure is not None:
            raise self._failure  # as it was: what other threads meet is its consequence
        if self._journal is None:
            try:
                self.staging.path.mkdir(exist_ok=self.earlier.under_way)
                self._journal = Journal(self.staging.journal)
                if not self.earlier.under_way:
                    self._journal.begin(key, inputs)
                self.staging.make(names)
            except OSError as error:
                self._failure = error
                raise
        return self._journal

    def commit(self, names: Collection[str], may_replace: MayReplace) -> None:
        """Bring staged files to their places, the summary last.

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


def _list(listed: Entries, out: Path, file: Mapping[str, Any]) -> None:
    """Note a file that a summary names, if there is one; anybody may have made the summary."""
    path, digest, source = file["path"], bytes.fromhex(file["sha256"]), file.get("source_sha256")
    # All pictures of one array name it.
    again = source is not None and listed.get(path) == digest
    if not again and os.path.lexists(f"{out}/{path}"):
        facts = {"source": source} if isinstance(source, str) else None
        listed.put(path, Entry(digest, facts))
