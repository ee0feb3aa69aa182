"""Only the statistics: a folder of pictures fitted, for merge, apply and invert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from bncli.batchnorm.statistics import RunningStatistics, check_batches
from bncli.runs.asked import Asked, ask, statistics_path
from bncli.runs.fitted import fit_batch, load_fitted, source_facts
from bncli.runs.merge import Layered, check_alike, check_no_doubles, joined, picture_order
from bncli.runs.options import FitOptions
from bncli.runs.parameters import load_layer
from bncli.runs.plan import fit_needs
from bncli.runs.reading import read_all
from bncli.runs.run import Progress, Tell, no_progress, opened
from bncli.runs.source import Source
from bncli.runs.statistics import FitSummary, report_on
from bncli.storage.whole_file import WholeFile, write_whole


def fit_folder(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Tell | None = None,
    warn: Tell | None = None,
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
    asked = ask(FitOptions, sources, statistics_path(out), options)
    WholeFile(asked.out, overwrite=asked.overwrite).check()
    old = None if asked.update_from is None else load_fitted(asked.update_from)
    with opened(asked, progress, tell, warn, file=True) as run:
        running = _running(asked, run.source)
        layer = load_layer(asked, run.source.shape)
        facts = source_facts(run.source, layer, asked.ddof, asked.running)
        if old is not None:
            check_alike(
                Layered(str(asked.out), facts, layer.gamma, layer.beta),
                Layered(str(asked.update_from), old.facts, old.gamma, old.beta),
            )
        run.settle_plan(fit_needs(asked, run.source))
        batch = read_all(run, watch=None if running is None else running.add, several=False)
        if running is not None:
            running.finish()
        fitted = fit_batch(run.source, batch, layer, facts, running)
        if old is not None:
            check_no_doubles([(str(asked.update_from), old.pictures), ("SRC", fitted.pictures)])
            fitted = joined(*sorted([old, fitted], key=picture_order))
        run.summary = summary = FitSummary(
            report=report_on(fitted, run.engine.threads),
            out=str(asked.out),
            ignored=run.found.ignored,
            unread=run.found.unread,
            excluded=run.found.excluded,
            left_out_pages=run.source.left_out_pages,
            seed=asked.seed,
            shard=None if asked.shard is None else str(asked.shard),
            added=len(batch.indexes),
            faults=(*run.source.faults, *batch.faults),
            plan=run.facts()["plan"],
        )
        if not asked.dry_run:
            summary.sha256 = write_whole(asked.out, fitted.write, overwrite=asked.overwrite)
    return summary


def _running(asked: Asked, source: Source) -> RunningStatistics | None:
    """What keeps running statistics, where they are asked for.

    Raises:
        SinglePictureError: one picture is left for the last batch.
    """
    if asked.running is None:
        return None
    check_batches(len(source.names), asked.running.batch_size)
    return RunningStatistics(
        math.prod(source.shape), source.dtype, source.unit, asked.running.momentum,
        asked.running.batch_size,
    )  # fmt: skip
