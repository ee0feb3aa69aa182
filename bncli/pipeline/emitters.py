"""Which emitter a run needs: from what was asked, and what is known of the batch."""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from bncli.pipeline.emit import (
    Emitter,
    Levels,
    array_emitter,
    batch_levels,
    picture_levels,
    png_emitter,
    revived_levels,
    tiff_emitter,
)
from bncli.pipeline.planes import Planes, Survey, black_and_white, level_planes
from bncli.pipeline.prepare import NORMALIZED, WritesPictures
from bncli.pipeline.source import Source
from bncli.pipeline.summary import RunSummary, Scaling
from bncli.storage.run_folder import RunFolder


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


def make_emitter(
    job: EmitJob, names: list[str], count: int, planes: Planes, found: Survey, run: RunFolder,
    open_arrays: ExitStack, executor: Executor, *, others: bool = False,
) -> Emitter:  # fmt: skip
    """What writes a picture, by its position; notes in the summary how y becomes pixel values.

    Args:
        job: the run.
        names: of the picture files, by position; none for one array.
        count: how many pictures are written.
        planes, found: what is done to each pixel, and what is known of the statistics behind it.
        run: where files go.
        open_arrays: is left when all is written.
        executor: where planes are computed.
        others: whether the pictures may be others than those of the statistics.
    """
    shape, output = job.source.shape, job.request.output
    if output.picture_format == "png":
        levels = _levels(job, planes, found, executor, others=others)
        return png_emitter(run, names, shape, levels)
    job.summary.scaling = Scaling("none", output.picture_format, None, None, None)
    if output.picture_format == "tiff":
        return tiff_emitter(run, names, shape, planes)
    whole = (count, *shape)
    return array_emitter(
        open_arrays.enter_context(run.array(NORMALIZED, whole, output.dtype)), shape, planes
    )


def _levels(
    job: EmitJob, planes: Planes, found: Survey, executor: Executor, *, others: bool
) -> Levels:
    """How y becomes pixel values; notes it in the summary."""
    output, scale = job.request.output, job.request.output.scale
    deep = output.depth == "16" or (output.depth == "auto" and job.source.dtype != np.uint8)
    dtype: np.dtype[Any] = np.dtype(np.uint16 if deep else np.uint8)
    depth = 8 * dtype.itemsize
    if scale.kind == "image":
        job.summary.scaling = Scaling(scale.kind, "png", depth, None, None)
        return picture_levels(planes, dtype)
    low, high = black_and_white(scale, found)
    job.summary.scaling = Scaling(scale.kind, "png", depth, low, high)
    white = int(np.iinfo(dtype).max)
    levels = batch_levels(*level_planes(planes, low, high, white, executor), dtype)
    return revived_levels(levels, planes, low, high, dtype) if others else levels
