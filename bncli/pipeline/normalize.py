"""The main job: a folder of pictures normalized, with the backward pass if there is a delta."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from bncli.errors import NonFiniteError
from bncli.images.header import pillow_unlimited
from bncli.images.levels import Scale
from bncli.machine import allowed_cores
from bncli.pipeline.collect import Batch, Progress, collect, no_progress, reread
from bncli.pipeline.emit import (
    Emitted,
    Emitter,
    Gradient,
    Levels,
    array_emitter,
    batch_levels,
    picture_levels,
    png_emitter,
    square_sum,
    tiff_emitter,
)
from bncli.pipeline.engine import in_order
from bncli.pipeline.planes import Planes, Survey, black_and_white, level_planes, survey
from bncli.pipeline.prepare import GRAD_INPUT, NORMALIZED, STATS, Job, picture_names, prepare
from bncli.pipeline.request import NormalizeOptions, build_request
from bncli.pipeline.results import result_files, statistics_file
from bncli.pipeline.summary import Output, RunSummary, Scaling
from bncli.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from bncli.pipeline.gallery import Gallery, Glimpse


def normalize_folder(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[NormalizeOptions],
) -> RunSummary:
    """Normalize a batch of pictures: ``bncli normalize`` as a function.

    Args:
        sources: folders, files, globs, or one .npy batch.
        out: the output folder.
        progress: is told of every picture that has passed a stage.
        tell: is told, in words, what was decided before it is done.
        **options: those of the command, by the same names, with underscores.

    Returns:
        What was done; its ``exit_code`` is 3 where pictures were skipped.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.
    """
    began = time.perf_counter()
    listed = [sources] if isinstance(sources, str | Path) else sources
    request = build_request(listed, out, options)
    jobs = request.jobs or allowed_cores()
    with pillow_unlimited(), ThreadPoolExecutor(jobs, thread_name_prefix="bncli") as executor:
        job = prepare(request, executor)
        if tell is not None:
            for line in job.decisions():
                tell(line)
        _run(job, executor, progress)
    job.summary.seconds = time.perf_counter() - began
    return job.summary


def _run(job: Job, executor: Executor, progress: Progress) -> None:
    batch = collect(
        job.source, executor, job.plan, job.delta, skip=job.request.skip, progress=progress
    )
    planes, found = _survey(job, batch, executor)
    if job.request.dry_run:
        return
    job.summary.channels, job.summary.dead_pixels = found.channels, found.dead
    gallery = _gallery(job, batch, planes, found) if job.showing.wanted else None
    with job.folder as run, job.showing as showing:
        statistics = executor.submit(run.write_with, STATS, statistics_file(job, batch))
        batch.moments = None  # the file is the last that needs them
        with ExitStack() as open_arrays:
            open_arrays.callback(wait, [statistics])  # before the folder is left, come what may
            emitter = _emitter(job, batch, planes, found, run, open_arrays, executor)
            gradient = _gradient(job, batch, planes, run, open_arrays)
            # For large pictures planes are most of the memory: only who needs them keeps them.
            del planes
            emitted = _emit(job, batch, emitter, gradient, gallery, executor, progress)
        statistics.result()
        _report(job, batch, emitted, gradient, run)
        for name, writer in result_files(job, gradient).items():
            run.write_with(name, writer)
        job.summary.arrays = {name: run.digest(name) for name in sorted(run.array_names())}
        document = job.summary.document()
        if gallery is not None:
            _draw_gradients(gallery, gradient)
            showing.stage(run, gallery, document)
        run.commit(document)
        showing.place()


def _survey(job: Job, batch: Batch, executor: Executor) -> tuple[Planes, Survey]:
    """Mean and scale of every pixel, and what the summary says of the batch."""
    source, summary = job.source, job.summary
    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    planes = Planes.blank(job.gamma.values, job.beta.values, source.unit)
    found = survey(batch.moments, planes, job.request.layer.eps, source.shape, executor)
    _check_finite(found)
    summary.count = len(batch.indexes)
    summary.faults = (*source.faults, *batch.faults)
    return planes, found


def _check_finite(found: Survey) -> None:
    if not all(np.isfinite([c.low, c.high, c.std]).all() for c in found.channels):
        raise NonFiniteError("y overflows: gamma, beta or the pictures are too large; rescale them")


def _emitter(
    job: Job, batch: Batch, planes: Planes, found: Survey, run: RunFolder,
    open_arrays: ExitStack, executor: Executor,
) -> Emitter:  # fmt: skip
    shape, output = job.source.shape, job.request.output
    names = picture_names(job.request, [job.source.names[index] for index in batch.indexes])
    if output.picture_format == "png":
        return png_emitter(run, names, shape, _levels(job, planes, found, executor))
    job.summary.scaling = Scaling("none", output.picture_format, None, None, None)
    if output.picture_format == "tiff":
        return tiff_emitter(run, names, shape, planes)
    whole = (len(batch.indexes), *shape)
    return array_emitter(
        open_arrays.enter_context(run.array(NORMALIZED, whole, output.dtype)), shape, planes
    )


def _levels(job: Job, planes: Planes, found: Survey, executor: Executor) -> Levels:
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
    return batch_levels(*level_planes(planes, low, high, white, executor), dtype)


def _gradient(
    job: Job, batch: Batch, planes: Planes, run: RunFolder, open_arrays: ExitStack
) -> Gradient | None:
    if batch.sums is None or job.delta is None:
        return None
    count = len(batch.indexes)
    whole = (count, *job.source.shape)
    out = open_arrays.enter_context(run.array(GRAD_INPUT, whole, job.request.output.dtype))
    sums = batch.sums.gradients(planes.mean, planes.x_scale)
    batch.sums = None
    return Gradient(job.delta, planes, *sums, count, out)


def _gallery(job: Job, batch: Batch, planes: Planes, found: Survey) -> Gallery:
    from bncli.pipeline.gallery import Gallery, Subject

    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    source, output = job.source, job.request.output
    y_range = black_and_white(Scale("minmax"), found)
    ends: tuple[float, float] | None = y_range
    if output.picture_format == "png":
        ends = None if output.scale.kind == "image" else black_and_white(output.scale, found)
    return Gallery(
        Subject(
            names=[source.names[index] for index in batch.indexes],
            shape=source.shape,
            dtype=source.dtype,
            planes=planes,
            y_range=y_range,
            black_white=ends,
            alpha_last=source.policy.alpha == "normalize" and source.shape[2] in {2, 4},
        ),
        batch.moments,
    )


def _draw_gradients(gallery: Gallery, gradient: Gradient | None) -> None:
    if gradient is not None:
        gallery.add_gradient("grad_gamma", gradient.grad_gamma)
        gallery.add_gradient("grad_beta", gradient.grad_beta)


def _emit(
    job: Job, batch: Batch, emitter: Emitter, gradient: Gradient | None, gallery: Gallery | None,
    executor: Executor, progress: Progress,
) -> list[Emitted]:  # fmt: skip
    def write(position: int) -> tuple[Emitted, Glimpse | None]:
        picture = reread(job.source, batch, position)
        emitted = emitter(position, picture)
        if gradient is not None:
            squares = gradient.write(position, picture.values, job.source.shape)
            emitted = emitted.with_gradient(squares)
        if gallery is None:
            return emitted, None
        return emitted, gallery.glimpse(position, picture, gradient)

    total = len(batch.indexes)
    emitted = []
    for result, glimpse in in_order(executor, write, range(total), 2 * job.plan.jobs):
        emitted.append(result)
        if gallery is not None and glimpse is not None:
            gallery.add(glimpse)
        progress("write", len(emitted), total)
    return emitted


def _report(
    job: Job, batch: Batch, emitted: list[Emitted], gradient: Gradient | None, run: RunFolder
) -> None:
    summary = job.summary
    summary.clipped = tuple(map(sum, zip(*(e.clipped for e in emitted), strict=True)))
    if gradient is not None:
        squares = {
            "grad_input": sum(e.grad_square_sum for e in emitted),
            "grad_gamma": square_sum(gradient.grad_gamma),
            "grad_beta": square_sum(gradient.grad_beta),
        }
        summary.gradients = {name: float(np.sqrt(square)) for name, square in squares.items()}
        if not np.isfinite(list(summary.gradients.values())).all():
            raise NonFiniteError("a gradient overflows: delta or gamma is too large; rescale it")
    names = [job.source.names[index] for index in batch.indexes]
    paths = picture_names(job.request, names) or [NORMALIZED] * len(names)
    summary.outputs = [
        Output(position, name, batch.digests[position], path, run.digest(path))
        for position, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
