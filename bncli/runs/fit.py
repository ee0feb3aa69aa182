"""Only the statistics: a folder of pictures fitted, for merge, apply and invert."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from bncli.batchnorm.inference import RunningStatistics, check_batches
from bncli.engines.work import Engine
from bncli.images.batch import Fault
from bncli.images.header import pillow_unlimited
from bncli.runs.asked import Asked, ask, statistics_path
from bncli.runs.engine import open_engine
from bncli.runs.fitted import Fitted, fitted_batch, load_fitted, source_facts
from bncli.runs.merge import Layered, check_alike, check_no_doubles, joined, picture_order
from bncli.runs.options import FitOptions
from bncli.runs.parameters import load_parameter
from bncli.runs.plan import (
    PLANES_BYTES,
    Needs,
    Plan,
    decoding_bytes,
    limits_of,
    moments_bytes,
    parameters_bytes,
    plan_for,
)
from bncli.runs.reading import Progress, collect, no_progress, refuse
from bncli.runs.source import Source, open_source
from bncli.runs.statistics_report import FitSummary, report_on
from bncli.runs.summary import PlanFacts
from bncli.storage.apart import check_file_apart
from bncli.storage.whole_file import WholeFile, write_whole


def fit_folder(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Unpack[FitOptions],
) -> FitSummary:
    """Save the statistics of a set of pictures: ``bncli fit`` as a function.

    Args:
        sources: folders, files, globs, or one .npy batch.
        out: the .npz file that is written.
        progress: is told of every picture that has been read.
        tell: is told, in words, what was decided before it is done.
        warn: is told, in words, what the user should know.
        **options: those of the command, by the same names, with underscores.

    Returns:
        What was found; its ``exit_code`` is 3 where pictures were skipped.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     summary = fit_folder(f"{folder}/batch.npy", f"{folder}/stats.npz")
        >>> print(summary.report.facts.count, summary.report.channels[0].mean)
        3 3.0
    """
    began = time.perf_counter()
    request = ask(FitOptions, sources, statistics_path(out), options)
    WholeFile(request.output.folder, overwrite=request.overwrite).check()
    with (
        pillow_unlimited(),
        limits_of(request.policy.max_pixels, request.max_memory).told(),
        open_engine(request.engine, request.jobs, warn) as engine,
    ):
        summary = _fit(request, engine, progress, tell)
    summary.seconds = time.perf_counter() - began
    return summary


def _fit(
    request: Asked, engine: Engine, progress: Progress, tell: Callable[[str], None] | None
) -> FitSummary:
    old = None if request.update_from is None else load_fitted(request.update_from)
    source, found = open_source(request.selection, request.policy, engine, request.shard)
    updated = [] if request.update_from is None else [request.update_from]
    check_file_apart(request.output.folder, found.roots, [*source.paths, *updated])
    if source.faults and not request.skip:
        refuse(source, engine)
    if request.running is not None:
        check_batches(len(source.names), request.running.batch_size)
    gamma, beta = (load_parameter(name, request.layer, source.shape) for name in ("gamma", "beta"))
    facts = source_facts(source, gamma, beta, request.layer.eps, request.ddof, request.running)
    new = Layered(str(request.output.folder), facts, gamma, beta)
    if old is not None:
        check_alike(new, Layered(str(request.update_from), old.facts, old.gamma, old.beta))
    plan = _plan(request, source)
    engine.narrow(plan.jobs)
    if tell is not None:
        _tell(tell, source, plan)
    fitted, faults = _take_in(request, source, plan, new, engine, progress)
    added = len(fitted.pictures)
    if old is not None:
        check_no_doubles([(str(request.update_from), old.pictures), ("SRC", fitted.pictures)])
        fitted = joined(*sorted([old, fitted], key=picture_order))
    summary = FitSummary(
        report=report_on(fitted, engine.threads),
        out=str(request.output.folder),
        ignored=found.ignored,
        excluded=found.excluded,
        seed=request.layer.seed,
        shard=None if request.shard is None else str(request.shard),
        added=added,
        faults=faults,
    )
    if request.dry_run:
        summary.plan = PlanFacts(plan.jobs, plan.memory, plan.disk, 1)
    else:
        summary.sha256 = write_whole(
            request.output.folder, fitted.write, overwrite=request.overwrite
        )
    return summary


def _take_in(
    request: Asked, source: Source, plan: Plan, new: Layered,
    engine: Engine, progress: Progress,
) -> tuple[Fitted, tuple[Fault, ...]]:  # fmt: skip
    """Read every picture once."""
    running = None
    if request.running is not None:
        pixels, settings = math.prod(source.shape), request.running
        running = RunningStatistics(
            pixels, source.dtype, source.unit, settings.momentum, settings.batch_size
        )
    batch = collect(
        source, engine, plan, None, skip=request.skip, progress=progress, least=1,
        watch=None if running is None else running.add,
    )  # fmt: skip
    if running is not None:
        running.finish()
    fitted = fitted_batch(source, batch, new.facts, new.gamma, new.beta, running)
    return fitted, (*source.faults, *batch.faults)


def _plan(request: Asked, source: Source) -> Plan:
    value = source.dtype.itemsize
    moments, parameters = moments_bytes(value), parameters_bytes(request.layer)
    # Running statistics: two planes, two for the step, and the moments of a batch.
    running = 0 if request.running is None else 32 + moments
    old = 0 if request.update_from is None else 2 * moments

    def pixel_bytes(jobs: int, block: int) -> int:
        kept = moments + parameters + running + old
        return kept + max(decoding_bytes(value, block, jobs), PLANES_BYTES + 8)

    disk = math.prod(source.shape) * (moments + 16 + 16)
    limits = limits_of(request.policy.max_pixels, request.max_memory)
    return plan_for(source, Needs(request.jobs, limits, pixel_bytes, (0, disk)))


def _tell(tell: Callable[[str], None], source: Source, plan: Plan) -> None:
    names = source.names
    tell(f"{len(names)} pictures in natural order, from {names[0]} to {names[-1]}")
    memory, limit = plan.memory / 1e6, plan.limit / 1e6
    tell(f"each is decoded once; {plan.jobs} threads; {memory:,.0f} of {limit:,.0f} MB of memory")
