"""Where the pictures of a batch come from: a folder of files, or one .npy batch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bncli.engines.work import Engine, Item
from bncli.errors import DataError, ImageError, LimitError, NoPicturesError, OptionError
from bncli.images.batch import Fault, fault_of, faults_error, preflight
from bncli.images.decode import Decoded
from bncli.images.folder import Found, Selection, find_pictures
from bncli.images.foreign import unread_words
from bncli.images.layout import Shape, to_raster
from bncli.images.metadata import KINDS
from bncli.images.policy import ReadPolicy
from bncli.packed import Lazily
from bncli.storage.arrays import ArrayRows, open_rows

_BATCH_AXES = "(batch, w, h, c)"
_EXACT = 1 << 53


Files = TypeVar("Files", bound=Sequence[Any])


@dataclass(frozen=True, slots=True)
class Shard:
    """Every *count*-th file, from the *number*-th on.

    Attributes:
        number: from 1 to *count*.
        count: of all shards.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise OptionError(f"--shard {self}: give I/N with I from 1 to N")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, files: Files) -> Files:
        """Those files that are in the shard.

        Raises:
            NoPicturesError: none is.
        """
        taken = cast("Files", files[self.number - 1 :: self.count])
        if not taken:
            raise NoPicturesError(
                f"--shard {self}: there are only {len(files)} pictures; make fewer shards"
            )
        return taken


class Source(Protocol):
    """Pictures in order, all of one shape and dtype."""

    @property
    def names(self) -> Sequence[str]:
        """What each picture is called; ends in the suffix that its output loses."""

    @property
    def shape(self) -> Shape:
        """(w, h, c) of each picture."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """An integer of 8 to 32 bits, or a floating-point type."""

    @property
    def unit(self) -> float:
        """The value that value scale calls 1."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The files that cannot be used."""

    @property
    def paths(self) -> Sequence[str]:
        """The files that are read, some in a store."""

    @property
    def alpha_kept(self) -> bool:
        """Whether some picture has an alpha channel that is to be copied through."""

    @property
    def with_alpha(self) -> int:
        """How many pictures have an alpha channel."""

    @property
    def left_out_pages(self) -> int:
        """How many pages of the files are masks or overviews of others."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the files, in words."""

    @property
    def metadata(self) -> Mapping[str, int]:
        """How many pictures have metadata of each kind."""

    @property
    def largest_file(self) -> int:
        """Bytes of the largest file that is read whole."""

    @property
    def policy(self) -> ReadPolicy:
        """How the pictures are read."""

    def picture(self, index: int) -> Item:
        """One picture, still in its file, which any process that sees the file can read."""

    @property
    def decoders(self) -> dict[str, str]:
        """The libraries that read the pictures, with their versions."""


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of a .npy batch."""

    rows: ArrayRows
    index: int
    name: str
    dtype: np.dtype[Any]

    def read(self) -> Decoded:
        """Read it; its digest is that of its numbers in C order."""
        numbers = np.ascontiguousarray(self.rows.row(self.index))
        if numbers.dtype.kind != self.dtype.kind and not _are_exact(numbers):
            raise ImageError(
                f"it holds {numbers.dtype} numbers past 2**53, which floating-point numbers do not "
                "hold exactly; make them smaller, or save them as float64"
            )
        digest = hashlib.sha256(numbers.data).hexdigest()
        return Decoded(to_raster(numbers, self.dtype), None, None, digest)


@dataclass(frozen=True, slots=True)
class ArrayBatch:
    """The pictures of one .npy batch, taken as they are: value scale is that of the numbers.

    Attributes:
        rows: of the file.
        names: one for each picture.
        dtype: that they are read as.
        places: the row of each picture.
    """

    rows: ArrayRows
    names: Sequence[str]
    dtype: np.dtype[Any]
    places: Sequence[int]

    unit: ClassVar[float] = 1.0
    alpha_kept: ClassVar[bool] = False
    with_alpha: ClassVar[int] = 0
    left_out_pages: ClassVar[int] = 0
    notes: ClassVar[Sequence[str]] = ()
    metadata: ClassVar[Mapping[str, int]] = dict.fromkeys(KINDS, 0)
    largest_file: ClassVar[int] = 0
    faults: ClassVar[tuple[Fault, ...]] = ()
    policy: ClassVar[ReadPolicy] = ReadPolicy()

    @property
    def decoders(self) -> dict[str, str]:
        """None but numpy."""
        return {}

    @property
    def paths(self) -> Sequence[str]:
        """The one file."""
        return [str(self.rows.path)]

    @property
    def shape(self) -> Shape:
        """(w, h, c) of each picture."""
        width, height, channels = self.rows.shape[1:]
        return width, height, channels

    def picture(self, index: int) -> Row:
        """One picture, still in its file."""
        rows = replace(self.rows, path=self.rows.path.absolute())
        return Row(rows, self.places[index], self.names[index], self.dtype)


def _are_exact(numbers: NDArray[Any]) -> bool:
    return int(numbers.max()) <= _EXACT and int(numbers.min()) >= -_EXACT


def open_source(
    selection: Selection, policy: ReadPolicy, engine: Engine, shard: Shard | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Source, Found]:  # fmt: skip
    """Find the pictures and look at them all; those that cannot be used are its faults.

    Args:
        selection: which files.
        policy: how they are read.
        engine: where the headers are read.
        shard: which of the files, or rows of a .npy batch, are taken; None is all.
        warn: is told of pictures of kinds that are not read.

    Raises:
        BncliError: nothing is found, or nothing of it can be used.
    """
    batches = [source for source in selection.sources if source.lower().endswith(".npy")]
    if not batches:
        found = find_pictures(selection)
        if found.unread and warn is not None:
            warn(unread_words(found.unread))
        if shard is not None:
            found = replace(found, files=shard.of(found.files))
        if found.files:
            files = found.files
            _check_workers(engine, Lazily(lambda place: files[place][0], len(files)))
        # The headers name the files again: once is enough.
        return preflight(found, policy, engine, skip=True), replace(found, files=())
    if len(selection.sources) > 1:
        raise OptionError(f"{batches[0]}: a .npy batch must be the only source")
    searching = Selection(selection.sources) != selection
    if searching or policy != ReadPolicy(max_pixels=policy.max_pixels):
        raise OptionError(
            f"{batches[0]}: -r, --include, --exclude, --mode, --alpha, --frames and --resize and "
            "--keep-metadata are for picture files, not for .npy"
        )
    path = Path(batches[0])
    if not os.path.lexists(path):
        raise NoPicturesError(f"{path}: there is no such file; check the name", paths=(str(path),))
    _check_workers(engine, [str(path)])
    rows = open_rows(path, (None, None, None, None), _BATCH_AXES)
    places = range(len(rows)) if shard is None else shard.of(range(len(rows)))
    names = Lazily(lambda place: f"{path.name}#{places[place]}", len(places))  # as of frames
    native = rows.dtype.newbyteorder("=")
    kept = native.kind in "iu" and native.itemsize <= 4  # noqa: PLR2004 - as sums are exact
    dtype = native if kept else np.dtype(np.float64)
    found = Found(((str(path), path.name),), 0, {}, 0, (), (path.parent,))
    return ArrayBatch(rows, names, dtype, places), found


def read_or_fault(picture: Item) -> Decoded | Fault:
    """One picture, or why it cannot be used."""
    try:
        decoded: Decoded = picture.read()
    except (DataError, LimitError) as error:
        return Fault(picture.name, str(error), isinstance(error, LimitError))
    return decoded


def refuse(source: Source, engine: Engine) -> NoReturn:
    """Decode what looked sound too, so that all that is wrong with a batch is said at once.

    Raises:
        ImageError, LimitError: always.
    """
    total = len(source.names)
    results = engine.map(fault_of, Lazily(source.picture, total))
    found = [result for result in results if result is not None]
    raise faults_error([*source.faults, *found], total + len(source.faults))


def _check_workers(engine: Engine, files: Sequence[str]) -> None:
    if engine.remote:
        from bncli.runs.workers import check_workers  # most runs have no workers

        check_workers(engine, files)
