"""Inference mode: pictures normalized with statistics that were saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bncli.batchnorm.transform import Planes, Survey, survey
from bncli.engines.work import Engine, Lazily
from bncli.images.batch import Fault, faults_error
from bncli.images.folder import Found
from bncli.images.header import pillow_unlimited
from bncli.runs.apply_input import apply_plan, check_goes_with
from bncli.runs.applying import Applying
from bncli.runs.asked import Asked, ask, local_path
from bncli.runs.emit import Emitter
from bncli.runs.emitters import check_finite, make_emitter, recorded
from bncli.runs.engine import open_engine
from bncli.runs.fitted import load_fitted, statistics_digest
from bncli.runs.options import ApplyOptions
from bncli.runs.places import Place
from bncli.runs.plan import Plan, limits_of
from bncli.runs.prepare import NORMALIZED, check_alpha, planned_pictures
from bncli.runs.reading import Progress, fault_of, no_progress, refuse
from bncli.runs.showing import Showing
from bncli.runs.source import Source, open_source
from bncli.runs.summary import ApplySummary, Outputs, PlanFacts
from bncli.storage.apart import check_apart, check_not_read
from bncli.storage.output import RunFolder
from bncli.storage.placing import settle
from bncli.storage.statistics import Facts
from bncli.version import __version__

if TYPE_CHECKING:
    from bncli.drawing.gallery import Gallery


@dataclass(frozen=True, slots=True)
class ApplyJob:
    """What a run needs to begin.

    Attributes:
        request: what the user asked.
        source: the pictures.
        plan: how the machine is used.
        planes: what is done to each pixel.
        found: what is known of the statistics.
        folder: where the results go.
        showing: where the run is drawn.
        gallery: what is drawn of it, or None.
        names: of the picture files, one for each picture; none for one array.
        summary: of the run, as far as it is known.
    """

    request: Asked
    source: Source
    plan: Plan
    planes: Planes
    found: Survey
    folder: RunFolder
    showing: Showing
    gallery: Gallery | None
    names: list[str]
    summary: ApplySummary


def apply_folder(
    statistics: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Unpack[ApplyOptions],
) -> ApplySummary:
    """Normalize pictures with saved statistics: ``bncli apply`` as a function.

    What becomes of a picture does not depend on the others.

    Args:
        statistics: the .npz file that fit, merge or normalize left.
        sources: folders, files, globs, or one .npy batch; one picture is enough.
        out: the output folder.
        progress: is told of every picture that has been written.
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
        >>> from bncli import fit_folder
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     np.save(f"{folder}/one.npy", batch[2:])
        ...     _ = fit_folder(f"{folder}/batch.npy", f"{folder}/stats.npz")
        ...     _ = apply_folder(
        ...         f"{folder}/stats.npz", f"{folder}/one.npy", f"{folder}/out", format="npy"
        ...     )
        ...     y = np.load(f"{folder}/out/normalized.npy")
        >>> print(y.ravel().round(4))
        [1.3887]
    """
    began = time.perf_counter()
    request = ask(ApplyOptions, sources, local_path(out, "folder"), options, statistics)
    with (
        pillow_unlimited(),
        limits_of(request.policy.max_pixels, request.max_memory).told(),
        open_engine(request.engine, request.jobs, warn) as engine,
    ):
        job = _prepare(request, engine)
        if tell is not None:
            memory, limit = job.plan.memory / 1e6, job.plan.limit / 1e6
            tell(f"{len(job.source.names)} pictures in natural order; each is decoded once")
            tell(f"{job.plan.jobs} threads; {memory:,.0f} of {limit:,.0f} MB of memory")
        _run(job, engine, progress)
    job.summary.seconds = time.perf_counter() - began
    return job.summary


def _prepare(request: Asked, engine: Engine) -> ApplyJob:
    fitted = load_fitted(request.statistics)
    source, selected = open_source(request.selection, fitted.policy(request.policy), engine)
    out = request.output.folder
    check_apart(out, selected.roots, selected.parents)
    if not request.dry_run:
        settle(out)
    if source.faults and not request.skip:
        refuse(source, engine)
    check_goes_with(fitted.facts, source, request.statistics)
    plan = apply_plan(request, fitted.facts, source)
    engine.narrow(plan.jobs)
    check_alpha(request, source)
    whole = [NORMALIZED] if request.output.picture_format == "npy" else []
    names = planned_pictures(request, source.names, source.shape[2])
    check_not_read(out, [*names, *whole], [*source.paths, request.statistics])
    folder = RunFolder(out, [*names, *whole], overwrite=request.output.overwrite)
    showing = Showing(request.show, request.output, [*names, *whole])
    showing.check_apart(selected.roots, [*source.paths, request.statistics])
    facts = fitted.facts
    planes = Planes.blank(fitted.gamma.values, fitted.beta.values, facts.unit)
    moments = fitted.statistics()
    found = survey(moments, planes, facts.eps, facts.shape, engine.threads)
    check_finite(found)
    summary = _blank_summary(request, source, selected, facts, found)
    if request.dry_run:
        summary.plan = PlanFacts(plan.jobs, plan.memory, plan.disk, 1)
    job = ApplyJob(request, source, plan, planes, found, folder, showing, None, names, summary)
    if not showing.wanted or request.dry_run:
        return job
    from bncli.runs.draw_run import gallery_of

    return replace(job, gallery=gallery_of(job, source.names, planes, found, moments))


def _blank_summary(
    request: Asked, source: Source, selected: Found, facts: Facts, found: Survey
) -> ApplySummary:
    return ApplySummary(
        version=__version__,
        count=len(source.names),
        shape=source.shape,
        dtype=source.dtype.name,
        ignored=selected.ignored,
        excluded=selected.excluded,
        eps=facts.eps,
        gamma=str(facts.gamma),
        beta=str(facts.beta),
        seed=0,
        faults=source.faults,
        dead_pixels=found.dead,
        statistics=str(request.statistics),
        statistics_sha256=statistics_digest(request.statistics),
        fitted=facts.count,
    )


def _run(job: ApplyJob, engine: Engine, progress: Progress) -> None:
    source, request = job.source, job.request
    indexes: Sequence[int] = range(len(source.names))
    if request.dry_run or (request.skip and request.output.picture_format == "npy"):
        # One array has no gaps: who is in it must be known before the first is written.
        indexes = _decodable(job, indexes, engine, progress)
    if request.dry_run:
        return
    job.summary.channels = job.found.channels
    with job.folder as run, job.showing:
        with ExitStack() as open_arrays:
            emitter = make_emitter(
                job, len(indexes), job.planes, job.found, run, open_arrays, engine, others=True
            )
            written = _emit(job, indexes, emitter, run, engine, progress)
        _report(job, indexes, written, run)
        if job.gallery is not None:
            job.showing.stage(job.gallery, job.summary.document())
        run.commit(job.summary.document(iter))
        job.showing.place()


def _decodable(
    job: ApplyJob, indexes: Sequence[int], engine: Engine, progress: Progress
) -> list[int]:
    kept: list[int] = []
    faults: list[Fault] = []
    for index, fault in enumerate(engine.map(fault_of, Lazily(job.source.picture, len(indexes)))):
        if fault is None:
            kept.append(index)
        else:
            faults.append(fault)
        progress("check", index + 1, len(indexes))
    _take_faults(job, faults, len(kept))
    return kept


def _emit(
    job: ApplyJob, indexes: Sequence[int], emitter: Emitter, run: RunFolder,
    engine: Engine, progress: Progress,
) -> list[tuple[bytes, tuple[int, ...]] | None]:  # fmt: skip
    """Read and write every picture; None where one cannot be read."""
    outputs = [job.names[index] for index in indexes] if job.names else []

    def place(position: int) -> Place:
        output = outputs[position] if outputs else ""
        return Place(job.source.picture(indexes[position]), position, "", output)

    faults: list[Fault] = []
    written: list[tuple[bytes, tuple[int, ...]] | None] = []
    for result in engine.map(Applying(emitter, job.gallery), Lazily(place, len(indexes))):
        if isinstance(result, Fault):
            faults.append(result)
            written.append(None)
        else:
            digest, emitted = result
            if job.gallery is not None and emitted.glimpse is not None:
                job.gallery.add(emitted.glimpse)
            noted = recorded(run, engine, outputs, len(written), emitted)
            written.append((bytes.fromhex(digest), noted.clipped))
        progress("write", len(written), len(indexes))
    _take_faults(job, faults, len(indexes) - len(faults))
    return written


def _take_faults(job: ApplyJob, faults: Sequence[Fault], left: int) -> None:
    total = len(job.source.names) + len(job.source.faults)
    job.summary.faults = (*job.summary.faults, *faults)
    if faults and not (job.request.skip and left):
        raise faults_error(job.summary.faults, total)
    job.summary.count = left


def _report(
    job: ApplyJob,
    indexes: Sequence[int],
    written: Sequence[tuple[bytes, tuple[int, ...]] | None],
    run: RunFolder,
) -> None:
    rows = [
        (index, *done) for index, done in zip(indexes, written, strict=True) if done is not None
    ]
    job.summary.clipped = tuple(map(sum, zip(*(clipped for *_, clipped in rows), strict=True)))
    job.summary.outputs = Outputs(
        names=[job.source.names[index] for index, *_ in rows],
        digests=[digest for _, digest, _ in rows],
        paths=[job.names[index] for index, *_ in rows] if job.names else [NORMALIZED],
        digest_of=run.digest,
    )
    job.summary.arrays = {name: run.digest(name) for name in sorted(run.array_names())}
