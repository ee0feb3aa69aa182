"""What is to be inverted: what its numbers mean, and what it was made with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from bncli.batchnorm.inverse import FloatReading, Inverse, LevelReading, Reading
from bncli.batchnorm.transform import Planes, survey
from bncli.errors import DataError, ImageError, OptionError
from bncli.images.formats import FORMATS, format_holding
from bncli.runs.asked import Asked
from bncli.runs.fitted import Fitted, statistics_digest
from bncli.runs.plan import PLANES_BYTES, Needs, Plan, limits_of, moments_bytes, plan_for
from bncli.runs.prepare import NORMALIZED
from bncli.runs.source import ArrayBatch, Source
from bncli.storage.placing import SUMMARY
from bncli.storage.statistics import Facts
from bncli.storage.summary_file import EarlierRun, read_summary


def array_of_run(source: str | Path) -> str | Path:
    """The folder of a run of --format npy stands for the array in it."""
    array = Path(source) / NORMALIZED
    return array if str(source) and array.is_file() else source


def check_shape(facts: Facts, source: Source, path: Path) -> None:
    """Raise ImageError unless the pictures have the shape of the statistics."""
    if source.shape == facts.shape:
        return
    given, wanted = ("x".join(map(str, shape)) for shape in (source.shape, facts.shape))
    raise ImageError(
        f"{source.names[0]}: its shape is {given}, but {path} is of {wanted}; "
        "give the statistics it was normalized with",
        paths=(source.names[0], str(path)),
    )


def earlier_run(folders: Sequence[Path], source: Source, statistics: Path) -> EarlierRun | None:
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
            runs.append(read_summary(folder / SUMMARY))
        except DataError:
            if source.dtype.kind == "u":  # else nothing of it is needed
                raise
    for run in runs:
        if run.statistics_sha256 != statistics_digest(statistics):
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


def reading_of(request: Asked, source: Source, earlier: EarlierRun | None) -> tuple[Reading, bool]:
    """What the numbers of the files mean, and whether black and white may be clipped values.

    Raises:
        DataError, OptionError: that cannot be known.
    """
    name = source.names[0]
    stored = source.rows.dtype if isinstance(source, ArrayBatch) else source.dtype
    if stored.kind == "f" or isinstance(source, ArrayBatch):
        if stored.kind != "f":
            raise DataError(f"{name}: it holds {stored}; y is floating-point", paths=(name,))
        if request.output.scale.kind == "range":
            raise OptionError("--scale is for PNG; these files hold y itself")
        return FloatReading(float(np.finfo(stored).eps)), False
    white = int(np.iinfo(stored).max)
    if request.output.scale.kind == "range":
        return LevelReading(request.output.scale.low, request.output.scale.high, white), True
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
    return LevelReading(earlier.low, earlier.high, white), earlier.clipped > 0


def settled_format(request: Asked, facts: Facts) -> str:
    """The format that is written; floating-point values and one array stay what they were."""
    chosen = request.output.picture_format
    if chosen == "auto":
        return format_holding(facts.dtype, one_array=facts.channel_order == "as given").name
    if not FORMATS[chosen].holds(facts.dtype):
        raise OptionError(
            f"--format {chosen} does not hold the {facts.dtype} values that were fitted"
        )
    return chosen


def named(source: Source, earlier: EarlierRun | None) -> Sequence[str]:
    """What the pictures were called before they were made one array."""
    listed = isinstance(source, ArrayBatch) and earlier is not None
    if listed and earlier is not None and len(earlier.sources) == len(source.names):
        return earlier.sources
    return source.names


def inverse_of(fitted: Fitted, reading: Reading, executor: Executor, *, clipping: bool) -> Inverse:
    """From y back to the pixel values that were fitted."""
    facts, statistics = fitted.facts, fitted.statistics()
    planes = Planes.blank(fitted.gamma.values, fitted.beta.values, facts.unit)
    survey(statistics, planes, facts.eps, facts.shape, executor)
    spread = np.maximum(statistics.maximum - planes.mean, planes.mean - statistics.minimum)
    return Inverse(planes, spread, np.dtype(facts.dtype), reading, clipping)


def scale_words(reading: Reading) -> str:
    """How y became the numbers of the files."""
    if isinstance(reading, LevelReading):
        return f"y {reading.low:.6g} to {reading.high:.6g} in {reading.white + 1:,} levels"
    return "y as it is"


def invert_plan(request: Asked, facts: Facts, source: Source) -> Plan:
    """Plan a run over these pictures; LimitError if it needs more memory than it may use."""
    value, written = source.dtype.itemsize, np.dtype(facts.dtype).itemsize
    parameters = 8 * sum(isinstance(origin, str) for origin in (facts.gamma, facts.beta))
    kept = parameters + PLANES_BYTES + 8

    def pixel_bytes(jobs: int, _block: int) -> int:
        return kept + max(2 * moments_bytes(written), jobs * (9 * value + 8 * written))

    disk = len(source.names) * math.prod(source.shape) * (2 * written)
    limits = limits_of(request.policy.max_pixels, request.max_memory)
    return plan_for(source, Needs(request.jobs, limits, pixel_bytes, (0, disk)))
