"""The first pass: every picture decoded once, and what must be known of all of them."""

from __future__ import annotations

import copy
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.float_moments import FloatBlocks, FloatMoments
from bncli.batchnorm.gradients import GradientSums
from bncli.batchnorm.moments import PixelMoments, moments_for, part_for
from bncli.engines.work import Item
from bncli.images.batch import Fault, fault_of, faults_error
from bncli.images.decode import Decoded
from bncli.packed import Lazily, Packed, Records
from bncli.runs.run import Run
from bncli.runs.source import read_or_fault
from bncli.storage.journal import DIGEST

Raster = NDArray[Any]

DeltaRows = Callable[[int], Raster]
"""Gives the delta of one picture, (pixels,)."""

BlockWatcher = Callable[[Raster], None]
"""Is given every block of pictures, (pictures, pixels), in order."""


class KeptPictures(Packed[Decoded]):
    """Pictures as decoded, their values in one array: an object each would outweigh small ones.

    Args:
        values: (pictures, pixels), filled one after another; not all need be.
        digests: of the pictures, in bytes.
    """

    def __init__(self, values: Raster, digests: Sequence[bytes]) -> None:
        self._values = values
        self._digests = digests
        self._beside: dict[int, Decoded] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, picture: Decoded) -> Raster:
        """Keep one more; returns its values, (pixels,), as they are kept."""
        values: Raster = self._values[self._count]
        values[...] = picture.values
        if any(beside is not None for beside in (picture.alpha, picture.icc, picture.metadata)):
            self._beside[self._count] = replace(picture, values=values)
        self._count += 1
        return values

    def last(self, count: int) -> Raster:
        """The values of the last *count*, (count, pixels)."""
        values: Raster = self._values[self._count - count : self._count]
        return values

    def _at(self, index: int) -> Decoded:
        if index in self._beside:
            return self._beside[index]
        return Decoded(self._values[index], None, None, self._digests[index].hex())


@dataclass(slots=True)
class Batch:
    """What is known of the pictures that could be decoded.

    Attributes:
        indexes: their places in the source.
        digests: SHA-256 of what was decoded, one for each, in bytes; none before the first pass.
        moments: of all of them; None where they are not known, or no longer needed.
        sums: behind the gradients, where there is a delta.
        pictures: as decoded; none where the plan keeps none.
        faults: those that could not be decoded.
    """

    indexes: Sequence[int]
    digests: Records = field(default_factory=lambda: Records(DIGEST))
    moments: PixelMoments | None = None
    sums: GradientSums | None = None
    pictures: Sequence[Decoded] = ()
    faults: list[Fault] = field(default_factory=list)


def read_all(
    run: Run,
    delta: DeltaRows | None = None,
    watch: BlockWatcher | None = None,
    *,
    several: bool = True,
) -> Batch:
    """Decode every picture and take its moments.

    Args:
        run: whose pictures they are.
        delta: gives the delta of one picture, or None; it and *watch* want an engine that is not
            remote.
        watch: is given every block of pictures that the moments take in, in order.
        several: whether one picture alone is too few.

    Raises:
        ImageError, LimitError: pictures cannot be decoded; all are named at once.
        SinglePictureError: one is left, and that is too few.
    """
    batch = _collect(run, range(len(run.source.names)), delta, watch)
    check_faults(run, batch.faults, len(batch.indexes), skip=run.asked.skip)
    if batch.faults and run.engine.remote and run.source.dtype.kind == "f":
        # The blocks are to be those of the pictures that are left.
        faults = batch.faults
        batch = _collect(run, batch.indexes, None, None)
        check_faults(run, batch.faults, len(batch.indexes), skip=False)
        batch.faults = faults
    if several:
        run.check_several(batch.indexes, batch.faults)
    return batch


def batch_for(run: Run, *, decode: bool) -> Batch:
    """The pictures of a run that has no first pass.

    Args:
        run: the run.
        decode: whether each is decoded, only to know which can be: one array has no gaps, so who is
            in it must be known before the first is written.

    Raises:
        ImageError, LimitError: pictures cannot be decoded; all are named at once.
    """
    total = len(run.source.names)
    if not decode:
        return Batch(range(total))
    indexes = array("Q")
    batch = Batch(indexes)
    results = run.engine.map(fault_of, Lazily(run.source.picture, total))
    for index, fault in enumerate(results):
        if fault is None:
            indexes.append(index)
        else:
            batch.faults.append(fault)
        run.progress("check", index + 1, total)
    check_faults(run, batch.faults, len(indexes), skip=run.asked.skip)
    return batch


def check_faults(run: Run, faults: Sequence[Fault], left: int, *, skip: bool) -> None:
    """Raise one error for all faults of a run, unless they may be skipped and something is left."""
    if faults and not (skip and left):
        source = run.source
        raise faults_error([*source.faults, *faults], len(source.names) + len(source.faults))


@dataclass(slots=True)
class Sums:
    """Sums over pictures, which are taken in one at a time.

    Attributes:
        moments: of all pictures but those of the last block.
        block: pictures whose moments are taken at once.
        delta: gives the delta of one picture; None without a backward pass.
        watch: is given every block, in order.
        kept: the pictures, where they are kept.
        gradients: behind the gradients, where there is a delta.
    """

    moments: PixelMoments | FloatBlocks
    block: int
    delta: DeltaRows | None = None
    watch: BlockWatcher | None = None
    kept: KeptPictures | None = None
    gradients: GradientSums | None = None
    _taken: int = 0
    _rows: list[Raster] = field(default_factory=list)

    def take(self, outcome: Decoded | Fault) -> str | Fault:
        """Take in one picture; returns its digest, or why it could not be decoded."""
        index, self._taken = self._taken, self._taken + 1
        if isinstance(outcome, Fault):
            return outcome
        values = outcome.values if self.kept is None else self.kept.take(outcome)
        if self.delta is not None:
            if self.gradients is None:
                self.gradients = GradientSums(values)
            self.gradients.add(values, self.delta(index))
        self._rows.append(values)
        if len(self._rows) == self.block:
            self._add()
        return outcome.digest

    def whole(self) -> Any:
        """The moments of all that was taken in."""
        if self._rows:
            self._add()
        return self.moments

    def _add(self) -> None:
        kept, count = self.kept, len(self._rows)
        rows = np.stack(self._rows) if kept is None else kept.last(count)
        self._rows.clear()
        self.moments.add(rows)
        if self.watch is not None:
            self.watch(rows)


@dataclass(frozen=True, slots=True)
class Collecting:
    """How pictures are summed up: in chunks on the workers of an engine, or all of them here.

    Attributes:
        pixels, dtype: of every picture.
        block: pictures whose moments are taken at once.
        here: sums over all pictures, of an engine that works in this process.
    """

    pixels: int
    dtype: np.dtype[Any]
    block: int
    here: Sums | None = None

    @property
    def ordered(self) -> bool:
        """Floating-point sums depend on their order, exact ones do not."""
        return self.dtype.kind == "f"

    @property
    def length(self) -> int | None:
        """So that the blocks of floating-point pictures are the same wherever they are."""
        return self.block if self.ordered else None

    def read(self, picture: Item) -> Decoded | Fault:
        """Decode one picture."""
        return read_or_fault(picture)

    def begin(self) -> Sums:
        """Sums over no picture, to be joined to others."""
        return self.here or Sums(part_for(self.pixels, self.dtype), self.block)

    def fits(self, part: Any) -> bool:
        """Whether something is of the kind that is joined, and of as many pixels."""
        if type(part) is not type(part_for(1, self.dtype)):
            return False
        blocks = part.blocks if isinstance(part, FloatBlocks) else [part]
        planes = [plane for block in blocks for plane in block.planes().values()]
        return all(plane.shape == (self.pixels,) for plane in planes)

    def join(self, parts: Sequence[Any]) -> PixelMoments:
        """The moments of all parts, from the left."""
        first, *others = parts
        if isinstance(first, FloatMoments):
            whole: PixelMoments = copy.deepcopy(first)
        else:
            whole, others = moments_for(self.pixels, self.dtype), list(parts)
        for part in others:
            whole.join(part)
        return whole


def _collect(
    run: Run, places: Sequence[int], delta: DeltaRows | None, watch: BlockWatcher | None
) -> Batch:
    source, block = run.source, run.plan.block
    pixels, indexes = math.prod(source.shape), array("Q")
    batch = Batch(indexes)
    here = None
    if not run.engine.remote:
        kept = None
        if run.plan.cached:
            values = np.empty((len(places), pixels), source.dtype)
            batch.pictures = kept = KeptPictures(values, batch.digests)
        here = Sums(moments_for(pixels, source.dtype), block, delta, watch, kept)
    done = 0

    def told(fact: str | Fault) -> None:
        nonlocal done
        if isinstance(fact, Fault):
            batch.faults.append(fact)
        else:
            indexes.append(places[done])
            batch.digests.append(bytes.fromhex(fact))
        done += 1
        run.progress("read", done, len(places))

    items = Lazily(lambda place: source.picture(places[place]), len(places))
    batch.moments = run.engine.fold(Collecting(pixels, source.dtype, block, here), items, told)
    batch.sums = None if here is None else here.gradients
    return batch
