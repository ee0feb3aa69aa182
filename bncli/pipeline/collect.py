"""The first pass: every picture decoded once, and what must be known of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.moments import PixelMoments, moments_for
from bncli.batchnorm.streaming import GradientSums
from bncli.errors import DataError, ImageError, LimitError, SinglePictureError
from bncli.images.decode import Decoded
from bncli.images.image_set import Fault, faults_error
from bncli.pipeline.engine import in_order
from bncli.pipeline.plan import Plan
from bncli.pipeline.source import Source

Raster = NDArray[Any]
_AHEAD = 8

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


def collect(
    source: Source, executor: Executor, plan: Plan, delta: DeltaRows | None,
    *, skip: bool, progress: Progress, least: int = 2, watch: BlockWatcher | None = None,
) -> Batch:  # fmt: skip
    """Decode every picture and take its moments.

    Args:
        source: the pictures.
        executor: where they are decoded.
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
    total = len(source.names)

    moments = moments_for(math.prod(source.shape), source.dtype)
    batch = Batch(moments)
    block: list[Raster] = []

    def take_block() -> None:
        rows = np.stack(block)
        block.clear()
        moments.add(rows)
        if watch is not None:
            watch(rows)

    results = in_order(executor, partial(read_or_fault, source), range(total), 2 * plan.jobs)
    for index, result in enumerate(results):
        progress("read", index + 1, total)
        if isinstance(result, Fault):
            batch.faults.append(result)
            continue
        _take(batch, index, result, None if delta is None else delta(index), keep=plan.cached)
        block.append(result.values)
        if len(block) == plan.block:
            take_block()
    if block:
        take_block()
    _check(batch, source, least, skip=skip)
    return batch


def refuse(source: Source, executor: Executor) -> NoReturn:
    """Decode what looked sound too, so that all that is wrong with a batch is said at once.

    Raises:
        ImageError, LimitError: always.
    """
    total = len(source.names)
    results = in_order(executor, partial(read_or_fault, source), range(total), _AHEAD)
    found = [result for result in results if isinstance(result, Fault)]
    raise faults_error([*source.faults, *found], total + len(source.faults))


def reread(source: Source, batch: Batch, position: int) -> Decoded:
    """The picture at *position* of the batch again, from memory or from its file.

    Raises:
        ImageError: the file is no longer what the first pass read.
    """
    if batch.pictures:
        return batch.pictures[position]
    index = batch.indexes[position]
    try:
        decoded = source.read(index)
    except DataError as error:
        raise ImageError(f"{source.names[index]}: {error}", paths=(source.names[index],)) from error
    if decoded.digest != batch.digests[position].hex():
        raise ImageError(
            f"{source.names[index]}: it was changed while bncli was running; run again",
            paths=(source.names[index],),
        )
    return decoded


def read_or_fault(source: Source, index: int) -> Decoded | Fault:
    """One picture, or why it cannot be used."""
    try:
        return source.read(index)
    except (DataError, LimitError) as error:
        return Fault(source.names[index], str(error), isinstance(error, LimitError))


def _take(batch: Batch, index: int, decoded: Decoded, delta: Raster | None, *, keep: bool) -> None:
    batch.indexes.append(index)
    batch.digests.append(bytes.fromhex(decoded.digest))
    if keep:
        batch.pictures.append(decoded)
    if delta is not None:
        if batch.sums is None:
            batch.sums = GradientSums(decoded.values)
        batch.sums.add(decoded.values, delta)


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
