"""The main job: a folder of pictures normalized, with the backward pass if there is a delta."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from bncli.batchnorm.transform import Planes, Survey, survey
from bncli.engines.work import Engine
from bncli.errors import NonFiniteError
from bncli.images.header import pillow_unlimited
from bncli.machine import give_back_memory
from bncli.runs.asked import ask, local_path
from bncli.runs.emit import (
    Emitted,
    Emitting,
    kept_pictures,
)
from bncli.runs.emitters import check_finite, make_emitter, recorded
from bncli.runs.engine import open_engine
from bncli.runs.gradient import Gradient, square_sum
from bncli.runs.identity import delta_digest, survey_digest
from bncli.runs.options import NormalizeOptions
from bncli.runs.places import Again, places
from bncli.runs.plan import limits_of
from bncli.runs.prepare import (
    GRAD_INPUT,
    NORMALIZED,
    STATS,
    Job,
    array_names,
    prepare,
)
from bncli.runs.reading import Batch, Progress, collect, no_progress
from bncli.runs.results import result_files, statistics_file
from bncli.runs.summary import Outputs, RunSummary
from bncli.storage.journal import Inputs
from bncli.storage.output import RunFolder

if TYPE_CHECKING:
    from bncli.drawing.gallery import Gallery

_TIDIED = 1 << 10
"""Pictures after which freed memory goes back to the system."""


def normalize_folder(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Unpack[NormalizeOptions],
) -> RunSummary:
    """Normalize a batch of pictures: ``bncli normalize`` as a function.

    Args:
        sources: folders, files, globs, or one .npy batch.
        out: the output folder.
        progress: is told of every picture that has passed a stage.
        tell: is told, in words, what was decided before it is done.
        warn: is told, in words, what the user should know.
        **options: those of the command, by the same names, with underscores.

    Returns:
        What was done; its ``exit_code`` is 3 where pictures were skipped.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     summary = normalize_folder(f"{folder}/batch.npy", f"{folder}/out", format="npy")
        ...     y = np.load(f"{folder}/out/normalized.npy")
        >>> print(summary.count, summary.channels[0].mean, y.ravel().round(4))
        3 3.0 [-0.9258 -0.4629  1.3887]
    """
    began = time.perf_counter()
    request = ask(NormalizeOptions, sources, local_path(out, "folder"), options)
    with (
        pillow_unlimited(),
        limits_of(request.policy.max_pixels, request.max_memory).told(),
        open_engine(request.engine, request.jobs, warn) as engine,
    ):
        job = prepare(request, engine)
        if tell is not None:
            for line in job.decisions():
                tell(line)
        _run(job, engine, progress)
    job.summary.seconds = time.perf_counter() - began
    return job.summary


def _run(job: Job, engine: Engine, progress: Progress) -> None:
    delta = engine.threads.submit(delta_digest, job.request)
    batch = collect(
        job.source, engine, job.plan, job.delta, skip=job.request.skip, progress=progress
    )
    give_back_memory()
    planes, found = _survey(job, batch, engine.threads)
    folder = job.folder.begin(
        Inputs(_names(job, batch), batch.digests),
        decoded=survey_digest(found),
        **delta.result(),
    )
    if job.request.dry_run:
        _count_whole(job, folder)
        return
    job.summary.channels, job.summary.dead_pixels = found.channels, found.dead
    job.summary.run = folder.key
    gallery = _gallery(job, batch, planes, found)
    with folder as run, job.showing:
        gradient = None
        if gallery is not None or not _finished(job, batch, run):
            statistics = engine.threads.submit(run.write_with, STATS, statistics_file(job, batch))
            batch.moments = None  # the file is the last that needs them
            with ExitStack() as open_arrays:
                open_arrays.callback(wait, [statistics])  # before the folder is left, come what may
                count = len(batch.indexes)
                emitter = make_emitter(job, count, planes, found, run, open_arrays, engine)
                gradient = _gradient(job, batch, planes, run, open_arrays)
                # For large pictures planes are most of the memory: only who needs them keeps them.
                del planes
                task = Emitting(emitter, gradient, job.source.shape, gallery)
                emitted = _emit(job, batch, task, run, engine, progress)
            statistics.result()
            _report(job, emitted, gradient)
            for name, writer in result_files(job, gradient).items():
                run.write_with(name, writer)
        _summarize(job, batch, run)
        _commit(job, gallery, gradient, run)


def _count_whole(job: Job, folder: RunFolder) -> None:
    """Say of a dry run how much a run that goes on would find done."""
    if job.request.output.resume and job.summary.plan is not None:
        job.summary.plan = replace(job.summary.plan, whole_files=folder.count_whole())


def _finished(job: Job, batch: Batch, run: RunFolder) -> bool:
    """Whether the same run is whole already; then the summary says what it found."""
    document = run.finished([*_paths(job, batch), *array_names(job.request, job.gamma, job.beta)])
    return document is not None and job.summary.adopt(document)


def _gallery(job: Job, batch: Batch, planes: Planes, found: Survey) -> Gallery | None:
    """Where something is to be drawn; else what draws is not even loaded."""
    if not job.showing.wanted:
        return None
    from bncli.runs.draw_run import gallery_of

    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    return gallery_of(job, _names(job, batch), planes, found, batch.moments)


def _commit(job: Job, gallery: Gallery | None, gradient: Gradient | None, run: RunFolder) -> None:
    if gallery is not None:
        from bncli.runs.draw_run import stage_drawings

        stage_drawings(job, gallery, gradient)
    if not run.stands(job.summary.document(iter)):
        run.commit(job.summary.document(iter))
    job.showing.place()


def _summarize(job: Job, batch: Batch, run: RunFolder) -> None:
    job.summary.outputs = Outputs(
        names=_names(job, batch),
        digests=batch.digests,
        paths=_paths(job, batch) or [NORMALIZED],
        digest_of=run.digest,
    )
    job.summary.arrays = {name: run.digest(name) for name in sorted(run.array_names())}
    job.summary.kept = run.kept_count


def _names(job: Job, batch: Batch) -> list[str]:
    return [job.source.names[index] for index in batch.indexes]


def _paths(job: Job, batch: Batch) -> list[str]:
    """The file of each picture of the batch; none where they go to one array."""
    return [job.names[index] for index in batch.indexes] if job.names else []


def _survey(job: Job, batch: Batch, executor: Executor) -> tuple[Planes, Survey]:
    """Mean and scale of every pixel, and what the summary says of the batch."""
    source, summary = job.source, job.summary
    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    planes = Planes.blank(job.gamma.values, job.beta.values, source.unit)
    found = survey(batch.moments, planes, job.request.layer.eps, source.shape, executor)
    check_finite(found)
    summary.count = len(batch.indexes)
    summary.faults = (*source.faults, *batch.faults)
    return planes, found


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


def _emit(
    job: Job, batch: Batch, task: Emitting, run: RunFolder, engine: Engine, progress: Progress
) -> list[Emitted]:
    outputs, gallery = _paths(job, batch), task.gallery
    kept = kept_pictures(run, outputs, job.source.shape[2], engine)
    emitted = [Emitted(kept.get(position, ())) for position in range(len(batch.indexes))]
    every = task.gradient is not None or gallery is not None
    again = [position for position in range(len(emitted)) if every or position not in kept]
    done = len(emitted) - len(again)
    known = Again(batch.indexes, batch.digests, batch.pictures, outputs, kept)
    items = places(job.source, known, again)
    for position, result in zip(again, engine.map(task, items), strict=True):
        if gallery is not None and result.glimpse is not None:
            gallery.add(result.glimpse)
        emitted[position] = recorded(run, engine, outputs, position, result)
        done += 1
        if done % _TIDIED == 0:
            give_back_memory()
        progress("write", done, len(emitted))
    return emitted


def _report(job: Job, emitted: list[Emitted], gradient: Gradient | None) -> None:
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
