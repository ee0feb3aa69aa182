"""The second pass: every picture read again, changed, and written to its place, by any command."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.gradients import square_sum
from bncli.engines.work import Item, in_order
from bncli.errors import ImageError
from bncli.images.batch import Fault, faults_error
from bncli.images.decode import Decoded
from bncli.images.formats import Encode
from bncli.images.layout import Shape, to_array
from bncli.machine import give_back_memory
from bncli.packed import Lazily, Picked, Records
from bncli.runs.reading import Batch, check_faults
from bncli.runs.run import Run
from bncli.runs.source import read_or_fault
from bncli.runs.summary import Summary
from bncli.storage.arrays import RowWriter
from bncli.storage.journal import DIGEST, Entry, Inputs
from bncli.storage.output import RunFolder
from bncli.travels import travels

Raster = NDArray[Any]

_TIDIED = 1 << 10
"""Pictures after which freed memory goes back to the system."""

_NOT_WHOLE = bytes(DIGEST)

_LOOKED_AT = 64
"""Files of an earlier run that are read at once."""


class Adds(Protocol):
    """What is noted of pictures."""

    def __add__(self, other: Self, /) -> Self:
        """What is noted of both."""


Note = TypeVar("Note", bound=Adds)


class Change(Protocol[Note]):
    """What is done to every picture; it travels to wherever pictures are written."""

    @property
    def nothing(self) -> Note:
        """What is noted of no picture."""

    def __call__(self, x: Raster, /) -> tuple[Raster, Note]:
        """The values that are written of a picture, (pixels,), and what is to be noted of it."""

    def facts(self, note: Note) -> dict[str, Any]:
        """A note as JSON knows it, for a run that goes on with this one."""

    def noted(self, facts: Mapping[str, Any]) -> Note | None:
        """The note whose facts these are, which anybody may have made; None: they are of none."""


class Gradient(Protocol):
    """The backward pass of one picture."""

    def write(self, position: int, x: Raster) -> Raster:
        """Write the gradient of a picture, and give it, (pixels,)."""


class Observer(Protocol):
    """Whoever wants to see every picture as it passes by."""

    def look(self, position: int, picture: Decoded, gradient: Raster | None) -> Any:
        """What is to be kept of a picture; changes nothing, and may be asked in any process."""

    def take(self, seen: Any) -> None:
        """Keep it; asked in this process, in the order of the pictures."""


@dataclass(frozen=True, slots=True)
class Known(Generic[Note]):
    """What is known of a file that an earlier run has left whole.

    Attributes:
        source: SHA-256 of the picture that it was made of, hexadecimal.
        note: what was noted of it, or None where nobody has.
    """

    source: str
    note: Note | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture that was kept since the first pass."""

    name: str
    decoded: Decoded

    def read(self) -> Decoded:
        """Hand it out."""
        return self.decoded


@dataclass(frozen=True, slots=True)
class Place:
    """A picture of the batch, and its place in it.

    Attributes:
        picture: in its file, or kept.
        position: in the batch.
        digest: of what the first pass decoded; empty where there was none.
        output: the file it is written to; empty where it is part of an array.
        known: what is known of that file where an earlier run has left it whole, else None.
    """

    picture: Item
    position: int
    digest: str
    output: str
    known: Known[Any] | None

    @property
    def name(self) -> str:
        """What the picture is called."""
        return self.picture.name

    def read(self) -> Decoded:
        """The picture, as the first pass read it.

        Raises:
            ImageError: it is not the same any more; the message does not name it.
        """
        decoded: Decoded = self.picture.read()
        if self.digest and decoded.digest != self.digest:
            raise ImageError("it was changed while bncli was running; run again")
        return decoded


Put = Callable[[Place, Raster, Decoded, dict[str, Any]], str | None]
"""Writes the values of a picture, noting facts; gives the SHA-256 of its file, if it has one."""


@dataclass(frozen=True, slots=True)
class FilePut:
    """Writes each picture to a file of its own.

    Attributes:
        write: writes a file of the run whole, noting facts of it; returns the SHA-256 of its bytes.
        encode: makes the bytes of a file.
        shape: (w, h, c).
    """

    write: Callable[[str, bytes, Any], str]
    encode: Encode
    shape: Shape

    def __call__(
        self, place: Place, values: Raster, picture: Decoded, facts: dict[str, Any]
    ) -> str:
        """Write one picture."""
        content = self.encode(values, picture.alpha, self.shape, picture.icc, picture.metadata)
        return self.write(place.output, content, facts)


@dataclass(frozen=True, slots=True)
class RowPut:
    """Writes each picture into one array, (batch, w, h, c).

    Attributes:
        rows: of the array.
        shape: (w, h, c).
    """

    rows: RowWriter
    shape: Shape

    def __call__(
        self, place: Place, values: Raster, picture: Decoded, facts: dict[str, Any]
    ) -> None:
        """Write one picture."""
        del picture, facts
        self.rows.write(place.position, to_array(values, self.shape))


@travels
@dataclass(frozen=True, slots=True)
class Written(Generic[Note]):
    """What became of one picture.

    Attributes:
        digest: SHA-256 of what was read, hexadecimal.
        note: what its change noted.
        file: SHA-256 of the file, where one was written.
        changed: whether an earlier run had made its file of another picture.
        squares: sum of the squares of its gradient.
        seen: what an observer saw.
    """

    digest: str
    note: Note
    file: str | None
    changed: bool
    squares: float
    seen: Any


@dataclass(frozen=True, slots=True)
class Write(Generic[Note]):
    """Reads a picture, changes it, and writes what is wanted of it.

    Attributes:
        change: from the picture to what is written.
        put: writes it; None writes nothing.
        gradient: writes its gradient, or None.
        observer: looks at it, or None.
        replaces: whether the file of an earlier run may give way to one of another picture.
    """

    change: Change[Note]
    put: Put | None
    gradient: Gradient | None
    observer: Observer | None
    replaces: bool = False

    def __call__(self, place: Place) -> Written[Note] | Fault:
        """Write one picture, if it can be read."""
        picture = read_or_fault(place)
        if isinstance(picture, Fault):
            return picture
        known, file = place.known, None
        same = known is not None and known.source == picture.digest
        changed = known is not None and not same
        if changed and not self.replaces:  # nothing of it must lie there when that is refused
            return Written(picture.digest, self.change.nothing, None, changed, 0.0, None)
        note: Note | None = known.note if known is not None and same else None
        if note is None:
            values, note = self.change(picture.values)
            if self.put is not None and not same:
                facts = {"source": picture.digest, **self.change.facts(note)}
                file = self.put(place, values, picture, facts)
        row, squares = None, 0.0
        if self.gradient is not None:
            row = self.gradient.write(place.position, picture.values)
            squares = square_sum(row)
        seen = None
        if self.observer is not None:
            seen = self.observer.look(place.position, picture, row)
        return Written(picture.digest, note, file, changed, squares, seen)


@dataclass(slots=True)
class Done(Generic[Note]):
    """What was written of a batch.

    Attributes:
        note: what was noted of all pictures.
        positions: places in the batch of the pictures that were read, where there was no first
            pass.
        digests: SHA-256 of each of them, in bytes.
        squares: sum of the squares of all gradients.
        faults: pictures that could not be read.
    """

    note: Note
    positions: array[int] = field(default_factory=lambda: array("Q"))
    digests: Records = field(default_factory=lambda: Records(DIGEST))
    squares: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    def tell(self, run: Run, files: RunFolder | None, batch: Batch, summary: Summary) -> None:
        """Say in the summary what was written, or would be, of a batch that had no first pass."""
        summary.faults = (*run.source.faults, *batch.faults, *self.faults)
        indexes = Picked(batch.indexes, self.positions)
        summary.count = len(indexes)
        if files is not None:
            summary.finish(run.names(indexes), self.digests, run.paths(indexes), files)


def write_all(
    run: Run, files: RunFolder | None, batch: Batch, change: Change[Note], dtype: np.dtype[Any],
    *, gradient: Gradient | None = None, observer: Observer | None = None,
) -> Done[Note]:  # fmt: skip
    """Read every picture of a batch again, change it, and write it.

    Args:
        run: the run.
        files: the folder of the run, open; None writes nothing.
        batch: the pictures, and what the first pass knows of them, if there was one.
        change: from a picture to what is written.
        dtype: of the array that all pictures go to, where the format is one array.
        gradient: writes the gradient of each, or None.
        observer: looks at each, or None.

    Raises:
        ImageError, LimitError: pictures cannot be read, or not as the first pass did.
        OutputError: they cannot be written, or a run that goes on was of other pictures.
    """
    count, outputs = len(batch.indexes), run.outputs(batch.indexes)
    done = Done(change.nothing)
    every = gradient is not None or observer is not None or not batch.digests
    earlier = _Earlier(run, outputs, change, run.folder.seen if files is None else files.kept)
    again = range(count) if every or not outputs else earlier.left(done)
    spared = count - len(again)
    with ExitStack() as open_array:
        put = None if files is None else _put(run, files, count, dtype, open_array)
        task = Write(change, put, gradient, observer, run.asked.overwrite)
        results = run.engine.map(task, _places(run, batch, again, outputs, earlier))
        for through, (position, result) in enumerate(zip(again, results, strict=True), 1):
            if isinstance(result, Fault):
                # The statistics are of it too, or it was found sound and has a row.
                if batch.digests or (run.array and run.asked.skip):
                    raise faults_error([result], count)
                if earlier.known(position) is not None:
                    # Its file is of what the picture was, so it belongs to no result.
                    raise run.folder.changed_input(result.name)
                done.faults.append(result)
            else:
                if outputs:
                    name = run.source.names[batch.indexes[position]]
                    _record(run, outputs[position], name, result, change)
                if observer is not None:
                    observer.take(result.seen)
                if not batch.digests:
                    done.positions.append(position)
                    done.digests.append(bytes.fromhex(result.digest))
                done.note += result.note
                done.squares += result.squares
            if through % _TIDIED == 0:
                give_back_memory()
            run.progress("write", spared + through, count)
        if run.array and not batch.digests:
            # Before the array is whole; a picture with its own file was compared with that.
            names = run.names(Picked(batch.indexes, done.positions))
            run.folder.check_inputs(Inputs(names, done.digests))
    check_faults(run, done.faults, count - len(done.faults), skip=run.asked.skip)
    return done


class _Earlier(Generic[Note]):
    """What is known of the files that an earlier run has left whole.

    Args:
        run: the run.
        outputs: the files of the batch.
        change: knows the notes of them.
        find: reads a file to know whether it is whole.
    """

    def __init__(
        self, run: Run, outputs: Sequence[str], change: Change[Note],
        find: Callable[[str], Entry | None],
    ) -> None:  # fmt: skip
        self._folder = run.folder
        self._outputs = outputs
        self._change = change
        some = array("Q", (n for n, name in enumerate(outputs) if run.folder.knows(name)))
        # Of a million files their digests alone: what else is known is looked up when it is needed.
        self._whole = Records(DIGEST, [_NOT_WHOLE] * len(outputs) if some else ())
        found = in_order(run.engine.threads, lambda place: find(outputs[place]), some, _LOOKED_AT)
        for position, entry in zip(some, found, strict=True):
            if entry is not None:
                self._whole[position] = entry.digest

    def known(self, position: int) -> Known[Note] | None:
        """What is known of the file of this picture of the batch, if it is whole."""
        digest = self._whole[position] if self._whole else _NOT_WHOLE
        if digest == _NOT_WHOLE:
            return None
        entry = self._folder.earlier_entry(self._outputs[position], digest)
        facts = entry.facts if entry is not None else None
        if not isinstance(facts, dict) or not isinstance(facts.get("source"), str):
            return None
        return Known(facts["source"], self._change.noted(facts))

    def left(self, done: Done[Note]) -> Sequence[int]:
        """The places of those that must be written; what is noted of the others is *done*."""
        if not self._whole:
            return range(len(self._outputs))
        left = array("Q")
        for position in range(len(self._outputs)):
            known = self.known(position)
            if known is None or known.note is None:
                left.append(position)
            else:
                done.note += known.note
        return left


def _places(
    run: Run, batch: Batch, positions: Sequence[int], outputs: Sequence[str],
    earlier: _Earlier[Any],
) -> Lazily[Place]:  # fmt: skip
    """The pictures at these positions of the batch, with their places."""

    def place(number: int) -> Place:
        position = positions[number]
        picture: Item = run.source.picture(batch.indexes[position])
        if batch.pictures:
            picture = Kept(picture.name, batch.pictures[position])
        return Place(
            picture,
            position,
            batch.digests[position].hex() if batch.digests else "",
            outputs[position] if outputs else "",
            earlier.known(position),
        )

    return Lazily(place, len(positions))


def _put(
    run: Run, files: RunFolder, count: int, dtype: np.dtype[Any], open_array: ExitStack
) -> Put:
    """What writes a picture, wherever the engine works; an array is closed with *open_array*.

    Raises:
        OutputError: a worker cannot write there.
    """
    shape = run.source.shape
    if run.array:
        array = files.array(run.array[0], (count, *shape), dtype)
        return RowPut(open_array.enter_context(array), shape)
    encode = run.format.encode
    assert encode is not None  # noqa: S101 - its pictures are files
    if not run.engine.remote:
        return FilePut(files.write, encode, shape)
    from bncli.runs.workers import shared_staging  # most runs have no workers

    return FilePut(shared_staging(files, run.engine).write, encode, shape)


def _record(run: Run, output: str, name: str, written: Written[Note], change: Change[Note]) -> None:
    """Note the file of a picture where another process has staged it.

    Raises:
        OutputError: an earlier run, with which this one goes on, had made it of another picture.
    """
    if written.changed and not run.asked.overwrite:
        raise run.folder.changed_input(name)
    if run.engine.remote and written.file is not None:
        facts = {"source": written.digest, **change.facts(written.note)}
        run.folder.record(output, written.file, facts)
