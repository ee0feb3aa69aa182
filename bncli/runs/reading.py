"""The first pass: every picture decoded once, and what must be known of all of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.float_moments import FloatBlocks, FloatMoments
from bncli.batchnorm.gradients import GradientSums
from bncli.batchnorm.moments import Moments, PixelMoments, moments_for, part_for
from bncli.engines.work import Engine, Item, Lazily
from bncli.errors import SinglePictureError
from bncli.images.batch import Fault, faults_error
from bncli.images.decode import Decoded
from bncli.runs.places import read_or_fault
from bncli.runs.plan import Plan
from bncli.runs.source import Source

Raster = NDArray[Any]

DeltaRows = Callable[[int], Raster]
BlockWatcher = Callable[[Raster], None]
Progress = Callable[[str, int, int], None]
"""Is told a stage, and how many of how many pictures are through it."""


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Batch:
    """What the first pass knows of the pictures that could be decoded.

    Attributes:
        indexes: their places in the source.
        digests: SHA-256 of what was decoded, one for each, in bytes.
        moments: of all of them; None once they are no longer needed.
        sums: behind the gradients, where there is a delta.
        pictures: as decoded, where the plan keeps them.
        faults: those that could not be decoded.
    """

    moments: PixelMoments | None
    indexes: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    sums: GradientSums | None = None
    pictures: list[Decoded] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


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

    moments: PixelMoments | Moments | FloatBlocks
    block: int
    delta: DeltaRows | None = None
    watch: BlockWatcher | None = None
    kept: list[Decoded] | None = None
    gradients: GradientSums | None = None
    _taken: int = 0
    _rows: list[Raster] = field(default_factory=list)

    def take(self, outcome: Decoded | Fault) -> str | Fault:
        """Take in one picture; returns its digest, or why it could not be decoded."""
        index, self._taken = self._taken, self._taken + 1
        if isinstance(outcome, Fault):
            return outcome
        if self.kept is not None:
            self.kept.append(outcome)
        if self.delta is not None:
            if self.gradients is None:
                self.gradients = GradientSums(outcome.values)
            self.gradients.add(outcome.values, self.delta(index))
        self._rows.append(outcome.values)
        if len(self._rows) == self.block:
            self._add()
        return outcome.digest

    def whole(self) -> Any:
        """The moments of all that was taken in."""
        if self._rows:
            self._add()
        return self.moments

    def _add(self) -> None:
        rows = np.stack(self._rows)
        self._rows.clear()
        self.moments.add(rows)
        if self.watch is not None:
            self.watch(rows)


@dataclass(frozen=True, slots=True)
class Collecting:
    """How workers sum up pictures, a chunk each.

    Attributes:
        pixels, dtype: of every picture.
        block: pictures whose moments are taken at once.
    """

    pixels: int
    dtype: np.dtype[Any]
    block: int

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
        return Sums(part_for(self.pixels, self.dtype), self.block)

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


@dataclass(frozen=True, slots=True)
class CollectingHere(Collecting):
    """How this process sums up all pictures by itself.

    Attributes:
        sums: over them.
    """

    sums: Sums

    def begin(self) -> Sums:
        """Sums over no picture yet."""
        return self.sums


def collect(
    source: Source, engine: Engine, plan: Plan, delta: DeltaRows | None,
    *, skip: bool, progress: Progress, least: int = 2, watch: BlockWatcher | None = None,
) -> Batch:  # fmt: skip
    """Decode every picture and take its moments.

    Args:
        source: the pictures.
        engine: where they are decoded; delta and watch want one that is not remote.
        plan: how the machine is used.
        delta: gives the delta of one picture, or None.
        skip: go on without the pictures that cannot be decoded.
        progress: is told of every picture.
        least: how many there must be.
        watch: is given every block of pictures that the moments take in, in order.

    Raises:
        ImageError, LimitError: pictures cannot be decoded; all are named at once.
        SinglePictureError: fewer than *least* are left.
    """
    indexes = range(len(source.names))
    batch = _collect(source, engine, plan, _Wishes(delta, watch), indexes, progress)
    _check(batch, source, least, skip=skip)
    if batch.faults and engine.remote and source.dtype.kind == "f":
        # The blocks are to be those of the pictures that are left.
        faults = batch.faults
        batch = _collect(source, engine, plan, _Wishes(), batch.indexes, progress)
        _check(batch, source, least, skip=False)
        batch.faults = faults
    return batch


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What else is to be done with every picture and every block, in order."""

    delta: DeltaRows | None = None
    watch: BlockWatcher | None = None


def _collect(
    source: Source, engine: Engine, plan: Plan, wishes: _Wishes,
    indexes: Sequence[int], progress: Progress,
) -> Batch:  # fmt: skip
    pixels = math.prod(source.shape)
    fold = Collecting(pixels, source.dtype, plan.block)
    batch = Batch(None)
    if not engine.remote:
        kept = batch.pictures if plan.cached else None
        moments = moments_for(pixels, source.dtype)
        sums = Sums(moments, plan.block, wishes.delta, wishes.watch, kept)
        fold = CollectingHere(pixels, source.dtype, plan.block, sums)
    done = 0

    def told(fact: str | Fault) -> None:
        nonlocal done
        if isinstance(fact, Fault):
            batch.faults.append(fact)
        else:
            batch.indexes.append(indexes[done])
            batch.digests.append(bytes.fromhex(fact))
        done += 1
        progress("read", done, len(indexes))

    items = Lazily(lambda place: source.picture(indexes[place]), len(indexes))
    batch.moments = engine.fold(fold, items, told)
    if isinstance(fold, CollectingHere):
        batch.sums = fold.sums.gradients
    return batch


def refuse(source: Source, engine: Engine) -> NoReturn:
    """Decode what looked sound too, so that all that is wrong with a batch is said at once.

    Raises:
        ImageError, LimitError: always.
    """
    total = len(source.names)
    results = engine.map(fault_of, Lazily(source.picture, total))
    found = [result for result in results if result is not None]
    raise faults_error([*source.faults, *found], total + len(source.faults))


def fault_of(picture: Item) -> Fault | None:
    """Why a picture cannot be decoded, or None."""
    result = read_or_fault(picture)
    return result if isinstance(result, Fault) else None


def _check(batch: Batch, source: Source, least: int, *, skip: bool) -> None:
    if batch.faults and not (skip and batch.indexes):
        total = len(source.names) + len(source.faults)
        raise faults_error([*source.faults, *batch.faults], total)
    if len(batch.indexes) < least:
        name = source.names[batch.indexes[0]]
        raise SinglePictureError(
            f"{name}: it is the only picture, so every output would be beta; give two or more",
            paths=(name,),
        )
