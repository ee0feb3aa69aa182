"""What writes the pictures of a run, as the user asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from bncli.batchnorm.transform import Planes, Survey, black_and_white, level_planes
from bncli.engines.work import Engine
from bncli.errors import NonFiniteError
from bncli.runs.emit import (
    ArrayEmitter,
    BatchLevels,
    Emitted,
    Emitter,
    Levels,
    PictureLevels,
    PngEmitter,
    RevivedLevels,
    TiffEmitter,
    Write,
)
from bncli.runs.prepare import NORMALIZED, WritesPictures
from bncli.runs.source import Source
from bncli.runs.summary import RunSummary, Scaling
from bncli.storage.output import RunFolder


class EmitJob(Protocol):
    """A run that writes pictures."""

    @property
    def request(self) -> WritesPictures:
        """What the user asked."""

    @property
    def source(self) -> Source:
        """The pictures."""

    @property
    def summary(self) -> RunSummary:
        """Of the run."""


def check_finite(found: Survey) -> None:
    """Raise NonFiniteError if y overflows."""
    if not all(np.isfinite([c.low, c.high, c.std]).all() for c in found.channels):
        raise NonFiniteError("y overflows: gamma, beta or the pictures are too large; rescale them")


def make_emitter(
    job: EmitJob, count: int, planes: Planes, found: Survey, run: RunFolder,
    open_arrays: ExitStack, engine: Engine, *, others: bool = False,
) -> Emitter:  # fmt: skip
    """What writes a picture at its place; notes in the summary how y becomes pixel values.

    Args:
        job: the run.
        count: how many pictures are written.
        planes, found: what is done to each pixel, and what is known of the statistics behind it.
        run: where files go.
        open_arrays: is left when all is written.
        engine: where pictures are written.
        others: whether the pictures may be others than those of the statistics.
    """
    shape, output = job.source.shape, job.request.output
    write = writer(run, engine)
    if output.picture_format == "png":
        return PngEmitter(write, shape, _levels(job, planes, found, engine, others=others))
    job.summary.scaling = Scaling("none", output.picture_format, None, None, None)
    if output.picture_format == "tiff":
        return TiffEmitter(write, shape, planes)
    whole = (count, *shape)
    rows = open_arrays.enter_context(run.array(NORMALIZED, whole, output.dtype))
    return ArrayEmitter(rows, shape, planes)


def writer(run: RunFolder, engine: Engine) -> Write:
    """What writes a file of the run, wherever the engine works.

    Raises:
        OutputError: a worker cannot write there.
    """
    if not engine.remote:
        return run.write
    from bncli.runs.workers import shared_stage  # most runs have no workers

    return shared_stage(run, engine).write


def recorded(
    run: RunFolder, engine: Engine, outputs: Sequence[str], position: int, emitted: Emitted
) -> Emitted:
    """What was written, once the run knows of the file that a worker has staged."""
    if engine.remote and emitted.digest is not None:
        run.record(outputs[position], emitted.digest, emitted.clipped)
    return replace(emitted, digest=None, glimpse=None)


def _levels(job: EmitJob, planes: Planes, found: Survey, engine: Engine, *, others: bool) -> Levels:
    """How y becomes pixel values; notes it in the summary."""
    output, scale = job.request.output, job.request.output.scale
    deep = output.depth == "16" or (output.depth == "auto" and job.source.dtype != np.uint8)
    dtype: np.dtype[Any] = np.dtype(np.uint16 if deep else np.uint8)
    depth = 8 * dtype.itemsize
    if scale.kind == "image":
        job.summary.scaling = Scaling(scale.kind, "png", depth, None, None)
        return PictureLevels(planes, dtype)
    low, high = black_and_white(scale, found)
    job.summary.scaling = Scaling(scale.kind, "png", depth, low, high)
    white = int(np.iinfo(dtype).max)
    levels = BatchLevels(*level_planes(planes, low, high, white, engine.threads), dtype)
    dead = np.flatnonzero(planes.dead) if others else np.empty(0, np.intp)
    if not len(dead):
        return levels
    return RevivedLevels(levels, dead, planes.part(dead), low, high, dtype)
