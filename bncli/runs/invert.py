"""Undo: back from normalized pictures to the pixel values they had."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from bncli.batchnorm.inverse import Inverse, Restored
from bncli.engines.work import Engine, Lazily
from bncli.errors import DataError
from bncli.images.batch import Fault, faults_error
from bncli.images.header import pillow_unlimited
from bncli.images.policy import ReadPolicy
from bncli.runs.asked import Asked, ask, local_path
from bncli.runs.emitters import writer
from bncli.runs.engine import open_engine
from bncli.runs.fitted import load_fitted, statistics_digest
from bncli.runs.invert_input import (
    array_of_run,
    check_shape,
    earlier_run,
    inverse_of,
    invert_plan,
    named,
    reading_of,
    scale_words,
    settled_format,
)
from bncli.runs.invert_summary import InvertSummary
from bncli.runs.options import InvertOptions
from bncli.runs.places import Place
from bncli.runs.plan import Plan, limits_of
from bncli.runs.prepare import check_alpha, planned_pictures
from bncli.runs.reading import Progress, no_progress, refuse
from bncli.runs.restorer import Restorer
from bncli.runs.source import Source, open_source
from bncli.runs.summary import Outputs, PlanFacts
from bncli.storage.apart import check_apart, check_not_read
from bncli.storage.output import RunFolder
from bncli.storage.placing import settle
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

    request: Asked
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
    warn: Callable[[str], None] | None = None,
    **options: Unpack[InvertOptions],
) -> InvertSummary:
    """Restore the pixel values of normalized pictures: ``bncli invert`` as a function.

    Args:
        statistics: the .npz file they were normalized with.
        sources: folders, files, globs, or one .npy batch, of normalized pictures.
        out: the output folder.
        progress: is told of every picture that has been restored.
        tell: is told, in words, what was decided before it is done.
        warn: is told, in words, what the user should know.
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
    arrays = [array_of_run(source) for source in listed]
    request = ask(InvertOptions, arrays, local_path(out, "folder"), options, statistics)
    with (
        pillow_unlimited(),
        limits_of(request.policy.max_pixels, request.max_memory).told(),
        open_engine(request.engine, request.jobs, warn) as engine,
    ):
        job = _prepare(request, engine)
        if tell is not None:
            tell(f"{len(job.source.names)} pictures, {job.summary.scale}; {job.plan.jobs} threads")
        _run(job, engine, progress)
    job.summary.seconds = time.perf_counter() - began
    return job.summary


def _prepare(request: Asked, engine: Engine) -> InvertJob:
    fitted = load_fitted(request.statistics)
    facts = fitted.facts
    alpha = "normalize" if facts.alpha == "normalize" else "keep"
    policy = ReadPolicy(alpha=alpha, max_pixels=request.policy.max_pixels)
    npy = all(name.lower().endswith(".npy") for name in request.selection.sources)
    if npy:
        policy = ReadPolicy(max_pixels=request.policy.max_pixels)
    source, found = open_source(request.selection, policy, engine)
    check_apart(request.output.folder, found.roots, found.parents)
    if not request.dry_run:
        settle(request.output.folder)
    if source.faults:
        refuse(source, engine)
    check_shape(facts, source, request.statistics)
    earlier = earlier_run((*found.roots, *found.parents), source, request.statistics)
    reading, clipping = reading_of(request, source, earlier)
    request = request.with_format(settled_format(request, facts))
    plan = invert_plan(request, facts, source)
    engine.narrow(plan.jobs)
    check_alpha(request, source)
    names = planned_pictures(request, named(source, earlier), source.shape[2]) or [RESTORED]
    check_not_read(request.output.folder, names, [*source.paths, request.statistics])
    folder = RunFolder(request.output.folder, names, overwrite=request.overwrite)
    inverse = inverse_of(fitted, reading, engine.threads, clipping=clipping)
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


def _run(job: InvertJob, engine: Engine, progress: Progress) -> None:
    if job.request.dry_run:
        nothing = Restorer(job.inverse, job.source.shape, job.request.output.picture_format)
        _restore_all(job, nothing, None, engine, progress)
        return
    with job.folder as run:
        with ExitStack() as open_arrays:
            restorer = _restorer(job, run, open_arrays, engine)
            digests = _restore_all(job, restorer, run, engine, progress)
        job.summary.outputs = Outputs(
            job.source.names, [bytes.fromhex(digest) for digest in digests], job.names, run.digest
        )
        job.summary.arrays = {name: run.digest(name) for name in sorted(run.array_names())}
        run.commit(job.summary.document(iter))


def _restorer(job: InvertJob, run: RunFolder, open_arrays: ExitStack, engine: Engine) -> Restorer:
    shape, kind = job.source.shape, job.request.output.picture_format
    if kind != "npy":
        return Restorer(job.inverse, shape, kind, writer(run, engine))
    whole = (len(job.source.names), *shape)
    rows = open_arrays.enter_context(run.array(RESTORED, whole, job.facts.dtype))
    return Restorer(job.inverse, shape, kind, None, rows)


def _restore_all(
    job: InvertJob, restorer: Restorer, run: RunFolder | None, engine: Engine, progress: Progress
) -> list[str]:
    """Restore every picture; returns the digests of what was read."""
    total, pictures = len(job.source.names), job.request.output.picture_format != "npy"

    def place(position: int) -> Place:
        output = job.names[position] if pictures else ""
        return Place(job.source.picture(position), position, "", output)

    faults: list[Fault] = []
    digests: list[str] = []
    whole = Restored()
    for result in engine.map(restorer, Lazily(place, total)):
        if isinstance(result, Fault):
            faults.append(result)
        else:
            if engine.remote and run is not None and result.written is not None:
                run.record(job.names[len(digests) + len(faults)], result.written)
            digests.append(result.digest)
            whole += result.told
        progress("restore", len(digests) + len(faults), total)
    if faults:
        raise faults_error(faults, total)
    job.summary.restored = whole
    if job.request.exact and not job.summary.exact:
        raise DataError(f"--exact: {'; '.join(job.summary.doubts())}")
    return digests
