"""Inference mode: pictures normalized with statistics that were saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from bncli.errors import ImageError
from bncli.runs.asked import ask, local_path
from bncli.runs.changes import applying, check_finite, gallery_of
from bncli.runs.fitted import load_fitted
from bncli.runs.identity import key_of
from bncli.runs.options import ApplyOptions
from bncli.runs.plan import apply_needs, normalized_dtype
from bncli.runs.reading import batch_for
from bncli.runs.run import NORMALIZED, Progress, Run, Tell, no_progress, opened
from bncli.runs.source import Source
from bncli.runs.summary import ApplySummary
from bncli.runs.writing import write_all
from bncli.storage.arrays import digest_of_file
from bncli.storage.journal import Inputs
from bncli.storage.statistics import Facts


def apply_folder(
    statistics: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Tell | None = None,
    warn: Tell | None = None,
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
    path = Path(statistics)
    asked = ask(ApplyOptions, sources, local_path(out, "folder"), options, path)
    fitted = load_fitted(path)
    policy = fitted.policy(asked.policy)
    with opened(replace(asked, policy=policy), progress, tell, warn) as run:
        _check_goes_with(fitted.facts, run.source, path)
        run.settle_plan(apply_needs(run.asked, run.source, fitted.facts))
        digest = digest_of_file(path)
        run.settle_names(NORMALIZED, [], key_of("apply", ApplyOptions, run, statistics=digest))
        run.summary = summary = _summary(run, fitted.facts, path, digest)
        transform, found = fitted.transform(run.engine.threads)
        check_finite(found)
        summary.dead_pixels = found.dead
        batch = batch_for(run, decode=asked.skip and bool(run.array))
        names = run.names(batch.indexes)
        run.begin(summary, Inputs(names))
        gallery = gallery_of(run, names, transform, found, fitted.moments)
        change, scaling = applying(run, transform, found, others=True)
        del fitted, transform  # for large pictures they are most of the memory
        dtype = normalized_dtype(run.asked, run.source.dtype)
        if asked.dry_run:
            write_all(run, None, batch, change, dtype).tell(run, None, batch, summary)
            return summary
        summary.channels, summary.scaling = found.channels, scaling
        with run.writing() as files:
            done = write_all(run, files, batch, change, dtype, observer=gallery)
            summary.clipped = done.note.counts
            done.tell(run, files, batch, summary)
            run.commit(files, summary, gallery)
    return summary


def _summary(run: Run, facts: Facts, path: Path, digest: str) -> ApplySummary:
    return ApplySummary(
        **run.facts(),
        eps=facts.eps,
        gamma=str(facts.gamma),
        beta=str(facts.beta),
        statistics=str(path),
        statistics_sha256=digest,
        fitted=facts.count,
    )


def _check_goes_with(facts: Facts, source: Source, path: Path) -> None:
    """Raise ImageError, with the field and both values, if the statistics are of other pictures."""
    name, (width, height, channels) = source.names[0], source.shape
    floats = source.dtype.kind == "f" and np.dtype(facts.dtype).kind == "f"
    size = "{}x{}".format(*facts.shape[:2])
    pairs = {
        "dtype": (facts.dtype if floats else source.dtype.name, facts.dtype),
        "value scale": (f"1 at {source.unit:g}", f"1 at {facts.unit:g}"),
        f"number of channels (mode {facts.mode}, alpha {facts.alpha})": (channels, facts.shape[2]),
        "size": (f"{width}x{height}", size),
    }
    for field, (given, wanted) in pairs.items():
        if given != wanted:
            raise ImageError(
                f"{name}: its {field} is {given}, but {path} is of {wanted}; fit pictures like it",
                paths=(name, str(path)),
            )
