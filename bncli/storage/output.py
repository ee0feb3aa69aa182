"""The output folder of a run: a lock, files that are whole or absent, the summary last.

Everything is first written to a folder ``.bncli-run`` inside the output folder. Only when all of it
is there and flushed to disk is each file renamed to its place, the summary last of all. Whatever
kills the process leaves no name with half a file; the next run takes back what was half placed, and
goes on from what is whole (``resume``) or sweeps it.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from numpy.typing import DTypeLike

from bncli.errors import OutputError
from bncli.packed import Joined, Table
from bncli.storage.arrays import RowWriter
from bncli.storage.disk import Flusher, digest_of, uninterrupted, writing
from bncli.storage.earlier import Hold, Remains
from bncli.storage.journal import (
    DIGEST,
    Entry,
    Inputs,
    Journal,
    Key,
    as_read_back,
    input_differences,
)
from bncli.storage.placing import SUMMARY, check_folder, check_lengths, check_names
from bncli.storage.staging import Staging
from bncli.text import json_pieces

_LEAVE_SECONDS = 10.0


class RunFolder:
    """What one run writes. Use it in a with block; without :meth:`commit` it leaves nothing.

    Args:
        path: the output folder; it is made when the block is entered.
        names: of all files the run will write, relative, with forward slashes, but the summary.
        overwrite: whether files of these names may be replaced.
        resume: go on with the run of the same key that was begun here; and where this one fails,
            keep what is whole for the next.
        key: what decides the bytes of the files, by name, as far as it is known; see
            :meth:`begin`.

    Raises:
        OutputError: a file of one of the names exists, another run is writing here, the run that
            was begun here is another, or the folder cannot be written.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        *,
        overwrite: bool,
        resume: bool = False,
        key: Key | None = None,
    ) -> None:
        self.path = path
        self.key = as_read_back(key or {})
        self._names = Joined(names, [SUMMARY])
        self._overwrite = overwrite
        self._resume = resume
        self._inputs = Inputs()
        self._hold = Hold(path)
        self._staged, self._in_place = Table(DIGEST), Table(DIGEST)
        self._flusher = Flusher()
        self._kept_count = 0
        self._gate = threading.Condition()
        self._writers = 0
        self._left = False
        self.check()

    def check(self) -> None:
        """Raise OutputError if the run could not write what it is going to."""
        with writing(self.path):
            existing = check_folder(self.path)
            check_lengths(self.path, existing, self._names)
            earlier = Remains.read(self.path)
            if self._resume:
                self._refuse_other(earlier)
            # What a killed run has half placed is taken back before anything is written.
            check_names(
                self.path,
                self._names,
                lambda name: (
                    self._overwrite
                    or (self._resume and earlier.at_its_place(name))
                    or earlier.half_placed(name)
                ),
            )

    def begin(self, inputs: Inputs, **found: Any) -> Self:
        """Say the rest of what the run is; to be followed by the with block.

        Args:
            inputs: what is read, in order.
            **found: what else decides the bytes of the files, as JSON knows it.
        """
        self.key |= as_read_back({**found, "inputs": inputs.digest()})
        self._inputs = inputs
        return self

    def count_whole(self) -> int:
        """How many files of this run are whole already; reads them, and writes nothing.

        It is for a dry run, which may then ask for them by :meth:`seen`.

        Raises:
            OutputError: the run that was begun here is another, or files are of no known run.
        """
        earlier = Remains.read(self.path)
        self._refuse_other(earlier)
        earlier.forget_other(self.key)
        with writing(self.path):  # as when the folder is opened
            check_names(
                self.path,
                self._names,
                lambda name: (
                    self._overwrite or earlier.at_its_place(name) or earlier.half_placed(name)
                ),
            )
        self._hold.earlier = earlier
        return sum(earlier.kept(name) is not None for name in self._names if name != SUMMARY)

    def seen(self, name: str) -> Entry | None:
        """What is known of a file that an earlier run has left whole, and that stays its own."""
        found = self._hold.earlier.kept(name)
        return None if found is None else found[0]

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

    @property
    def staging(self) -> Staging:
        """Where files are staged; other processes may write there, see :meth:`record`."""
        self._journal()
        return self._hold.staging

    def write(self, name: str, content: bytes, facts: Any = None) -> str:
        """Stage one file whole.

        Args:
            name: of the file.
            content: its bytes.
            facts: what a run that goes on with this one must know of the file, as JSON knows it.

        Returns:
            The SHA-256 of its bytes, hexadecimal.
        """
        with self._busy(), writing(self.path / name):
            digest = self.staging.write(name, content)
            self._record(name, Entry(bytes.fromhex(digest), facts))
        return digest

    def record(self, name: str, digest: str, facts: Any = None) -> None:
        """Take a file that another process has staged; *digest* is what that was told."""
        with self._busy(), writing(self.path / name):
            self._record(name, Entry(bytes.fromhex(digest), facts))

    def write_with(self, name: str, writer: Callable[[BinaryIO], None]) -> None:
        """Stage one file that *writer* fills."""
        with self._filling(name) as file:
            writer(file)

    @contextmanager
    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[RowWriter]:
        """Stage a .npy file that is filled a row at a time."""
        with self._filling(name) as file:
            yield RowWriter(file, shape, dtype)

    def knows(self, name: str) -> bool:
        """Whether an earlier run has written a file of this name, which may be whole."""
        return self._hold.earlier.knows(name)

    def kept(self, name: str) -> Entry | None:
        """What is known of a file that an earlier run has left whole; its bytes are read to know.

        It belongs to the run then, and need not be written.
        """
        if not self._hold.earlier.knows(name):
            return None
        with self._busy(), writing(self.path / name):
            found = self._hold.earlier.kept(name)
            if found is None:
                return None
            entry, placed = found
            with self._gate:
                self._kept_count += 1
                (self._in_place if placed else self._staged)[name] = entry.digest
            if not placed:
                self._flusher.add(self.staging.new(name))
            return entry

    def earlier_entry(self, name: str, digest: bytes) -> Entry | None:
        """What an earlier run has reported of a file of this name and content."""
        return self._hold.earlier.entry(name, digest)

    def changed_input(self, name: str) -> OutputError:
        """What refuses a run that goes on, where its input *name* is another than before."""
        return self._hold.earlier.other_run(f"input changed: {name}", replacing=self._overwrite)

    def check_inputs(self, inputs: Inputs) -> None:
        """Raise OutputError if the whole run that this one goes on with was of other inputs."""
        before = self._hold.earlier.listed_inputs()
        unlike = input_differences(before, inputs) if before else []
        if unlike and not self._overwrite:
            raise self._hold.earlier.other_run("; ".join(f"input {line}" for line in unlike))

    def finished(self, names: Sequence[str]) -> dict[str, Any] | None:
        """The summary of this same run, where nothing is left to do.

        Args:
            names: of the files that must be at their places, whole; they are read to know.
        """
        listed = self._hold.earlier.listed
        if self._hold.earlier.under_way or len(listed) != len(names):
            return None
        if not all(name in listed for name in names):
            return None
        whole = all(self._flusher.map(self.kept, names))
        return self._hold.earlier.document if whole else None

    @property
    def kept_count(self) -> int:
        """How many files an earlier run has left whole, of those asked for."""
        return self._kept_count

    def digest(self, name: str) -> str:
        """SHA-256 of a file of the run, hexadecimal."""
        return (self._staged.get(name) or self._in_place[name]).hex()

    def array_names(self) -> list[str]:
        """The .npy and .npz files of the run so far."""
        names = chain(self._staged, self._in_place)
        return list(dict.fromkeys(name for name in names if name.endswith((".npy", ".npz"))))

    def stands(self, summary: Mapping[str, Any]) -> bool:
        """Whether the run is at its place already, whole and with this summary."""
        if self._staged or not self._in_place:
            return False
        whole = hashlib.sha256()
        for piece in json_pieces(summary):
            whole.update(piece)
        self._hold.committed = digest_of(self.path / SUMMARY) == whole.digest()
        return self._hold.committed

    def commit(self, summary: Mapping[str, Any]) -> None:
        """Flush everything, bring it to its place, and write the summary last."""
        self.write_with(SUMMARY, lambda file: file.writelines(json_pieces(summary)))
        with writing(self.path):
            self._flusher.wait()
            check_names(self.path, self._staged, self._may_replace)
            with uninterrupted():
                self._hold.commit(self._staged, self._may_replace)

    @contextmanager
    def _filling(self, name: str) -> Iterator[BinaryIO]:
        with self._busy(), writing(self.path / name):
            with self.staging.filling(name) as file:
                yield file
            digest = digest_of(self.staging.new(name))
            if digest is None:
                raise OutputError(f"{self.path / name}: it was taken away while bncli was running")
            self._record(name, Entry(digest, None))

    def _journal(self) -> Journal:
        with self._gate, writing(self.path):
            return self._hold.journal(self._names, self.key, self._inputs)

    def _record(self, name: str, entry: Entry) -> None:
        staged = self.staging.new(name)
        listed = self._hold.earlier.listed.get(name)
        if listed is not None and digest_of(self.path / name) == listed == entry.digest:
            staged.unlink()  # the same is at its place already
            with self._gate:
                self._in_place[name] = entry.digest
            return
        with self._gate:
            # Who writes a file that was kept no longer keeps it.
            self._kept_count -= name in self._staged or name in self._in_place
            self._staged[name] = entry.digest
        self._journal().whole(name, entry)
        self._flusher.add(staged)

    def _open(self) -> None:
        self._hold.take(self._refuse_other if self._resume else None)
        self._hold.earlier.forget_other(self.key)
        check_names(self.path, self._names, self._may_replace)

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
        self._flusher.stop()
        with contextlib.suppress(OSError, OutputError):
            worth_keeping = bool(self._staged) or self._hold.earlier.under_way
            self._hold.leave(self._staged, keep=self._resume and worth_keeping)

    def _may_replace(self, name: str) -> bool:
        return self._overwrite or self._hold.earlier.at_its_place(name)

    def _refuse_other(self, earlier: Remains) -> None:
        if earlier.under_way or not self._overwrite:
            earlier.refuse_other(self.key, self._inputs if "inputs" in self.key else None)
