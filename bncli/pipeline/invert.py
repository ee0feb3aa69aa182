"""Undo: back from normalized pictures to the pixel values they had."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from bncli.errors import DataError
from bncli.images.decode import Decoded
from bncli.images.encode import png_bytes, tiff_bytes
from bncli.images.header import pillow_unlimited
from bncli.images.image_set import Fault, faults_error
from bncli.images.layout import to_array
from bncli.images.policy import ReadPolicy
from bncli.machine import allowed_cores
from bncli.pipeline.collect import Progress, no_progress, read_or_fault, refuse
from bncli.pipeline.engine import in_order
from bncli.pipeline.fitted import load_fitted, statistics_digest
from bncli.pipeline.inverse import Inverse, Restored
from bncli.pipeline.invert_input import (
    check_shape,
    earlier_run,
    inverse_of,
    invert_plan,
    named,
    reading_of,
    scale_words,
    settled_format,
)
from bncli.pipeline.invert_request import InvertOptions, InvertRequest, build_invert
from bncli.pipeline.invert_summary import InvertSummary
from bncli.pipeline.plan import Plan, limits_of
from bncli.pipeline.prepare import check_alpha, planned_pictures
from bncli.pipeline.source import Source, open_source
from bncli.pipeline.summary import Outputs, PlanFacts
from bncli.storage.apart import check_apart, check_not_read
from bncli.storage.rows import RowWriter
from bncli.storage.run_folder import RunFolder
from bncli.storage.statistics import Facts
from bncli.version import __version__

RESTORED = "restored.npy"


@dataclass(frozen=True, slots=True)
class InvertJob:
    """What a run needs to begin.

    Attributes:
        request: what the user asked, with the format settled.
        source: the normalized pictures.
        names: of the files that are written: one for each picture, or that of the one array.
        facts: of the statistics.
        inverse: from y to pixel values.
        plan: how the machine is used.
        folder: where the results go.
        summary: of the run, as far as it is known.
    """

    request: InvertRequest
    source: Source
    names: list[str]
    facts: Facts
    inverse: Inverse
    plan: Plan
    folder: RunFolder
    summary: InvertSummary


def invert_folder(
    statistics: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[InvertOptions],
) -> InvertSummary:
    """Restore the pixel values of normalized pictures: ``bncli invert`` as a function.

    Args:
        statistics: the .npz file they were normalized with.
        sources: folders, files, globs, or one .npy batch, of normalized pictures.
        out: the output folder.
        progress: is told of every picture that has been restored.
        tell: is told, in words, what was decided before it is done.
        **options: those of the command, by the same names, with underscores.

    Returns:
        What was done, and by how much it can be off.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from bncli import apply_folder, fit_folder
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     _ = fit_folder(f"{folder}/batch.npy", f"{folder}/stats.npz")
        ...     _ = apply_folder(
        ...         f"{folder}/stats.npz", f"{folder}/batch.npy", f"{folder}/out", format="npy"
        ...     )
        ...     _ = invert_folder(
        ...         f"{folder}/stats.npz", f"{folder}/out/normalized.npy", f"{folder}/in"
        ...     )
        ...     x = np.load(f"{folder}/in/restored.npy")
        >>> print(x.ravel())
        [1. 2. 6.]
    """
    began = time.perf_counter()
    listed = [sources] if isinstance(sources, str | Path) else sources
    request = build_invert(statistics, listed, out, options)
    jobs = request.jobs or allowed_cores()
    with (
        pillow_unlimited(),
        limits_of(request.max_pixels, request.max_memory).told(),
        ThreadPoolExecutor(jobs, thread_name_prefix="bncli") as executor,
    ):
        job = _prepare(request, executor)
        if tell is not None:
            tell(f"{len(job.source.names)} pictures, {job.summary.scale}; {job.plan.jobs} threads")
        _run(job, executor, progress)
    job.summary.seconds = time.perf_counter() - began
    return job.summary


def _prepare(request: InvertRequest, executor: Executor) -> InvertJob:
    fitted = load_fitted(request.statistics)
    facts = fitted.facts
    alpha = "normalize" if facts.alpha == "normalize" else "keep"
    policy = ReadPolicy(alpha=alpha, max_pixels=request.max_pixels)
    npy = all(name.lower().endswith(".npy") for name in request.selection.sources)
    if npy:
        policy = ReadPolicy(max_pixels=request.max_pixels)
    source, found = open_source(request.selection, policy, executor)
    check_apart(request.folder, found.roots, found.parents)
    if source.faults:
        refuse(source, executor)
    check_shape(facts, source, request.statistics)
    earlier = earlier_run((*found.roots, *found.parents), source, request.statistics)
    reading, clipping = reading_of(request, source, earlier)
    request = replace(request, picture_format=settled_format(request, facts))
    plan = invert_plan(request, facts, source)
    check_alpha(request, source)
    names = planned_pictures(request, named(source, earlier), source.shape[2]) or [RESTORED]
    check_not_read(request.folder, names, [*source.paths, request.statistics])
    folder = RunFolder(request.folder, names, overwrite=request.overwrite)
    inverse = inverse_of(fitted, reading, executor, clipping=clipping)
    summary = InvertSummary(
        version=__version__,
        count=len(source.names),
        shape=source.shape,
        dtype=facts.dtype,
        scale=scale_words(reading),
        statistics=str(request.statistics),
        statistics_sha256=statistics_digest(request.statistics),
    )
    if request.dry_run:
        summary.plan = PlanFacts(plan.jobs, plan.memory, plan.disk, 1)
    return InvertJob(request, source, names, facts, inverse, plan, folder, summary)


def _run(job: InvertJob, executor: Executor, progress: Progress) -> None:
    if job.request.dry_run:
        _restore_all(job, lambda _position, _picture, _values: None, executor, progress)
        return
    with job.folder as run:
        with ExitStack() as open_arrays:
            digests = _restore_all(job, _writer(job, run, open_arrays), executor, progress)
        job.summary.outputs = Outputs(
            job.source.names, [bytes.fromhex(digest) for digest in digests], job.names, run.digest
        )
        job.summary.arrays = {name: run.digest(name) for name in sorted(run.array_names())}
        run.commit(job.summary.document(iter))


Writer = Callable[[int, Decoded, Any], object]
"""Writes the restored values of the picture at a position."""


def _writer(job: InvertJob, run: RunFolder, open_arrays: ExitStack) -> Writer:
    shape, names = job.source.shape, job.names
    if job.request.picture_format == "png":
        return lambda position, picture, values: run.write(
            names[position], png_bytes(values, picture.alpha, shape, picture.icc)
        )
    if job.request.picture_format == "tiff":
        return lambda position, picture, values: run.write(
            names[position], tiff_bytes(values, picture.alpha, shape)
        )
    whole = (len(job.source.names), *shape)
    out: RowWriter = open_arrays.enter_context(run.array(RESTORED, whole, job.facts.dtype))
    return lambda position, _picture, values: out.write(position, to_array(values, shape))


def _restore_all(
    job: InvertJob, write: Writer, executor: Executor, progress: Progress
) -> list[str]:
    """Restore every picture; returns the digests of what was read."""
    total = len(job.source.names)

    def restore(position: int) -> tuple[str, Restored] | Fault:
        picture = read_or_fault(job.source, position)
        if isinstance(picture, Fault):
            return picture
        values, told = job.inverse.restore(picture.values)
        write(position, picture, values)
        return picture.digest, told

    faults: list[Fault] = []
    digests: list[str] = []
    whole = Restored()
    for result in in_order(executor, restore, range(total), 2 * job.plan.jobs):
        if isinstance(result, Fault):
            faults.append(result)
        else:
            digests.append(result[0])
            whole += result[1]
        progress("restore", len(digests) + len(faults), total)
    if faults:
        raise faults_error(faults, total)
    job.summary.restored = whole
    if job.request.exact and not job.summary.exact:
        raise DataError(f"--exact: {'; '.join(job.summary.doubts())}")
    return digests
