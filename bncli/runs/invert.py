"""Undo: back from normalized pictures to the pixel values they had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from bncli.batchnorm.inverse import FloatNumbers, Inverse, Restored
from bncli.batchnorm.levels import Levels
from bncli.errors import DataError, ImageError, OptionError
from bncli.images.formats import FORMATS, format_holding
from bncli.runs.asked import Asked, ask, check_one_writer, check_place_for_metadata, local_path
from bncli.runs.changes import Restoring
from bncli.runs.fitted import Fitted, load_fitted
from bncli.runs.identity import key_of
from bncli.runs.options import InvertOptions
from bncli.runs.plan import invert_needs
from bncli.runs.reading import batch_for
from bncli.runs.run import NORMALIZED, RESTORED, Progress, Run, Tell, no_progress, opened
from bncli.runs.source import ArrayBatch, Source
from bncli.runs.summary import InvertSummary
from bncli.runs.writing import Done, write_all
from bncli.storage.arrays import digest_of_file
from bncli.storage.journal import Inputs
from bncli.storage.placing import SUMMARY
from bncli.storage.statistics import Facts
from bncli.storage.summary_file import EarlierRun, read_summary


def invert_folder(
    statistics: str | Path,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    progress: Progress = no_progress,
    tell: Tell | None = None,
    warn: Tell | None = None,
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
        What was done, and by how much it can be off; its ``exit_code`` is 3 where pictures were
        skipped.

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
    listed = [sources] if isinstance(sources, str | Path) else sources
    listed, path = [_array_of_run(source) for source in listed], Path(statistics)
    asked = ask(InvertOptions, listed, local_path(out, "folder"), options, path)
    fitted, digest = load_fitted(path), digest_of_file(path)
    facts, dtype = fitted.facts, np.dtype(fitted.facts.dtype)
    with opened(_as_normalized(asked, facts), progress, tell, warn) as run:
        _check_shape(facts, run.source, path)
        earlier = _earlier_run((*run.found.roots, *run.found.parents), run.source, path, digest)
        numbers, clipping = _numbers_of(asked, run.source, earlier)
        run.asked = _with_format(run.asked, facts)
        run.settle_plan(invert_needs(run.asked, run.source, facts))
        words = _words(numbers)
        key = key_of("invert", InvertOptions, run, statistics=digest, numbers=words)
        run.settle_names(RESTORED, [], key, called=_called(run.source, earlier))
        run.summary = summary = InvertSummary(
            **{**run.facts(), "dtype": facts.dtype},
            scale=words,
            statistics=str(path),
            statistics_sha256=digest,
        )
        change = Restoring(_inverse(run, fitted, numbers, clipping=clipping))
        del fitted  # for large pictures it is most of the memory
        batch = batch_for(run, decode=run.asked.skip and bool(run.array))
        names = run.names(batch.indexes)
        run.begin(summary, Inputs(names))
        if asked.dry_run:
            done = write_all(run, None, batch, change, dtype)
            done.tell(run, None, batch, summary)
            _tell(summary, done, exact=asked.exact)
            return summary
        with run.writing() as files:
            done = write_all(run, files, batch, change, dtype)
            done.tell(run, files, batch, summary)
            _tell(summary, done, exact=asked.exact)
            run.commit(files, summary, None)
    return summary


def _tell(summary: InvertSummary, done: Done[Restored], *, exact: bool) -> None:
    """Say by how much the values can be off.

    Raises:
        DataError: they had to be exact, and are not.
    """
    summary.restored = done.note
    if exact and not summary.exact:
        raise DataError(f"--exact: {'; '.join(summary.doubts())}")


def _array_of_run(source: str | Path) -> str | Path:
    """The folder of a run of --format npy stands for the array in it."""
    array = Path(source) / NORMALIZED
    return array if str(source) and array.is_file() else source


def _as_normalized(asked: Asked, facts: Facts) -> Asked:
    """What is asked, with normalized pictures read as normalize wrote them."""
    alpha = "normalize" if facts.alpha == "normalize" else "keep"
    if all(name.lower().endswith(".npy") for name in asked.selection.sources):
        alpha = "keep"  # an array has none
    return replace(asked, policy=replace(asked.policy, alpha=alpha))


def _with_format(asked: Asked, facts: Facts) -> Asked:
    """What is asked, with the format known: floating-point values and arrays stay what they were.

    Raises:
        OptionError: the format holds no such values, or this engine cannot write it.
    """
    name = asked.format
    if name == "auto":
        name = format_holding(facts.dtype, one_array=facts.channel_order == "as given").name
    if not FORMATS[name].holds(facts.dtype):
        raise OptionError(
            f"--format {name} does not hold the {facts.dtype} values that were fitted"
        )
    check_one_writer(asked.engine, name)
    check_place_for_metadata(asked.policy, name)
    return replace(asked, format=name)


def _check_shape(facts: Facts, source: Source, path: Path) -> None:
    """Raise ImageError unless the pictures have the shape of the statistics."""
    if source.shape == facts.shape:
        return
    given, wanted = ("x".join(map(str, shape)) for shape in (source.shape, facts.shape))
    raise ImageError(
        f"{source.names[0]}: its shape is {given}, but {path} is of {wanted}; "
        "give the statistics it was normalized with",
        paths=(source.names[0], str(path)),
    )


def _earlier_run(
    folders: Sequence[Path], source: Source, statistics: Path, digest: str
) -> EarlierRun | None:
    """What the run that made the pictures left word of; None where there is no summary.json.

    Raises:
        DataError: they were made with other statistics.
        OptionError: there are several runs, which do not agree.
    """
    runs = []
    for folder in dict.fromkeys(folders):
        if not (folder / SUMMARY).exists():
            continue
        try:
            runs.append(read_summary(folder / SUMMARY, len(source.names)))
        except DataError:
            if source.dtype.kind == "u":  # else nothing of it is needed
                raise
    for run in runs:
        if run.statistics_sha256 != digest:
            raise DataError(
                f"{run.path}: its pictures were made with other statistics than {statistics}; "
                "give the stats.npz of that run",
                paths=(str(run.path), str(statistics)),
            )
        if (run.scale, run.low, run.high) != (runs[0].scale, runs[0].low, runs[0].high):
            raise OptionError(
                f"{run.path}: its scale is not that of {runs[0].path}; invert them one by one"
            )
    if not runs:
        return None
    return replace(runs[0], clipped=sum(run.clipped for run in runs))


def _numbers_of(
    asked: Asked, source: Source, earlier: EarlierRun | None
) -> tuple[Levels | FloatNumbers, bool]:
    """What the numbers of the files mean, and whether black and white may be clipped values.

    Raises:
        DataError, OptionError: that cannot be known.
    """
    name = source.names[0]
    stored = source.rows.dtype if isinstance(source, ArrayBatch) else source.dtype
    if stored not in (np.uint8, np.uint16) or isinstance(source, ArrayBatch):
        if stored.kind != "f":
            raise DataError(f"{name}: it holds {stored}; y is floating-point", paths=(name,))
        if asked.scale is not None:
            raise OptionError("--scale is for PNG; these files hold y itself")
        return FloatNumbers(float(np.finfo(stored).eps)), False
    if asked.scale is not None:
        return Levels(asked.scale.low, asked.scale.high, stored), True
    if earlier is None:
        raise OptionError(
            f"{name}: no summary.json beside it says which y are black and white; "
            "give --scale LO:HI",
            paths=(name,),
        )
    if earlier.scale == "image":
        raise ImageError(
            f"{name}: it was normalized with --scale image, and the range of each picture is not "
            "kept; only other scales can be inverted",
            paths=(name,),
        )
    if earlier.low is None or earlier.high is None:
        raise OptionError(f"{earlier.path}: it is of files that hold y itself; give --scale LO:HI")
    return Levels(earlier.low, earlier.high, stored), earlier.clipped > 0


def _called(source: Source, earlier: EarlierRun | None) -> Sequence[str]:
    """What the pictures were called before they were made one array."""
    listed = earlier.sources if isinstance(source, ArrayBatch) and earlier is not None else ()
    return listed if len(listed) == len(source.names) else source.names


def _words(numbers: Levels | FloatNumbers) -> str:
    """How y became the numbers of the files."""
    if isinstance(numbers, Levels):
        return f"y {numbers.low:.6g} to {numbers.high:.6g} in {numbers.white + 1:,} levels"
    return "y as it is"


def _inverse(
    run: Run, fitted: Fitted, numbers: Levels | FloatNumbers, *, clipping: bool
) -> Inverse:
    facts = fitted.facts
    dtype, written = np.dtype(facts.dtype), np.dtype(run.format.stores or facts.dtype)
    return Inverse.of(
        fitted.statistics(), fitted.gamma.values, fitted.beta.values, facts.unit, facts.eps,
        facts.shape[2], dtype, written, numbers, run.engine.threads, clipping=clipping,
    )  # fmt: skip
