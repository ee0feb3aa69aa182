"""The statistics of the union: several stats.npz made one."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from bncli.batchnorm.float_moments import FloatMoments
from bncli.batchnorm.moments import Moments, PixelMoments
from bncli.batchnorm.wide_moments import WideMoments
from bncli.errors import ArrayError, BncliError, DataError, OptionError, ShapeError
from bncli.machine import allowed_cores
from bncli.pool import Pool
from bncli.runs.asked import statistics_path
from bncli.runs.fitted import Fitted, load_fitted
from bncli.runs.parameters import Parameter
from bncli.runs.statistics import MergeSummary, report_on
from bncli.storage.apart import check_file_apart
from bncli.storage.statistics import Facts, Pictures, repeated_digests
from bncli.storage.whole_file import WholeFile, write_whole
from bncli.version import __version__

_LISTED = 20
_FIELDS = {
    "shape": "shape (w, h, c)",
    "dtype": "dtype",
    "unit": "value scale",
    "channel_order": "channel order",
    "orientation": "orientation",
    "mode": "mode",
    "alpha": "alpha",
    "resize": "resize",
    "eps": "eps",
    "ddof": "ddof",
    "gamma": "gamma",
    "beta": "beta",
}
"""What statistics must share, and what messages call it."""


@dataclass(frozen=True, slots=True)
class Layered:
    """What statistics must share to be joined, and where they are from."""

    place: str
    facts: Facts
    gamma: Parameter
    beta: Parameter


def merge_statistics(
    paths: Sequence[str | Path], out: str | Path, *, overwrite: bool = False
) -> MergeSummary:
    """Join the statistics of several sets of pictures: ``bncli merge`` as a function.

    The file does not depend on the order of *paths*. For 8 and 16-bit pictures it has the bytes of
    one fit over all of them.

    Args:
        paths: the stats.npz files, two or more.
        out: the .npz file that is written.
        overwrite: whether it may be replaced.

    Raises:
        BncliError: nothing was written, and what was there before is as it was.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from bncli import fit_folder
        >>> batch = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/batch.npy", batch)
        ...     _ = fit_folder(f"{folder}/batch.npy", f"{folder}/a.npz", shard="1/2")
        ...     _ = fit_folder(f"{folder}/batch.npy", f"{folder}/b.npz", shard="2/2")
        ...     merged = merge_statistics([f"{folder}/a.npz", f"{folder}/b.npz"], f"{folder}/c.npz")
        >>> print(merged.report.facts.count, merged.report.channels[0].mean)
        3 3.0
    """
    began = time.perf_counter()
    files, target = [Path(path) for path in paths], statistics_path(out)
    if len(files) < 2:  # noqa: PLR2004 - several
        raise OptionError("one file is nothing to merge; give two or more")
    WholeFile(target, overwrite=overwrite).check()
    check_file_apart(target, [], [str(path) for path in files])
    order, twins = _checked(files)
    whole = load_fitted(order[0])
    for path in order[1:]:
        whole = joined(whole, load_fitted(path))
    with Pool(allowed_cores(), thread_name_prefix="bncli") as executor:
        report = report_on(whole, executor)
    summary = MergeSummary(report, str(target), tuple(map(str, files)), twins)
    summary.sha256 = write_whole(target, whole.write, overwrite=overwrite)
    summary.seconds = time.perf_counter() - began
    return summary


def _checked(files: Sequence[Path]) -> tuple[list[Path], int]:
    """The files in the order in which they are joined, found to fit; only one is held at a time."""
    first: Layered | None = None
    pictures: list[tuple[Path, Pictures]] = []
    for path in files:
        fitted = load_fitted(path)
        layered = Layered(str(path), fitted.facts, fitted.gamma, fitted.beta)
        first = first or layered
        check_alike(layered, first)
        pictures.append((path, fitted.pictures))
    twins = check_no_doubles([(str(path), listed) for path, listed in pictures])
    # Sums of floating-point numbers show the order they were joined in: let it be one.
    pictures.sort(key=lambda pair: _order(pair[1]))
    return [path for path, _ in pictures], twins


def picture_order(fitted: Fitted) -> bytes:
    """The key by which statistics are put in order before they are joined."""
    return _order(fitted.pictures)


def _order(pictures: Pictures) -> bytes:
    return b"".join(picture.key() for picture in pictures.ordered())


def joined(one: Fitted, other: Fitted) -> Fitted:
    """The statistics of the union of two sets that fit together and share no picture.

    Raises:
        LimitError, NonFiniteError: the sums overflow.
    """
    facts = replace(one.facts, count=one.facts.count + other.facts.count, bncli=__version__)
    pictures = one.pictures.and_those(other.pictures)
    moments = _sum(one.moments, other.moments)
    return Fitted(facts, moments, one.gamma, one.beta, None, pictures)


def _sum(one: PixelMoments, other: PixelMoments) -> PixelMoments:
    if isinstance(one, Moments) and isinstance(other, Moments):
        return one + other
    if isinstance(one, WideMoments) and isinstance(other, WideMoments):
        return one + other
    assert isinstance(one, FloatMoments)  # noqa: S101 - their facts are alike
    assert isinstance(other, FloatMoments)  # noqa: S101 - likewise
    return one + other


def check_alike(new: Layered, first: Layered) -> None:
    """Refuse to join statistics of other pictures, policies or layers.

    Raises:
        DataError: they differ; the message names the field and both values.
    """
    for layered in (first, new):
        if layered.facts.running is not None:
            raise ArrayError(
                f"{layered.place}: it holds running statistics, which depend on the order of all "
                "pictures; fit them in one run",
                paths=(layered.place,),
            )
    for field, name in _FIELDS.items():
        here, there = (getattr(layered.facts, field) for layered in (new, first))
        if here == there and field in {"gamma", "beta"} and isinstance(here, str):
            if np.array_equal(getattr(new, field).values, getattr(first, field).values):
                continue
            here, there = f"{here} numbers", "others"
        elif here == there:
            continue
        kind: type[BncliError] = ShapeError if field == "shape" else DataError
        raise kind(
            f"{new.place}: its {name} is {here}, but that of {first.place} is {there}; "
            "fit both with the same options",
            paths=(new.place, first.place),
        )


def check_no_doubles(sets: Sequence[tuple[str, Pictures]]) -> int:
    """Refuse a picture that is in two sets: of one digest, and one name the end of the other.

    Two files of equal bytes are two pictures, as they are to normalize, unless their names say that
    they are one: ``a.png`` and ``monday/a.png`` are, ``a.png`` and ``b.png`` are not.

    Returns:
        How many pictures have the bytes of one in another set, but are not counted twice.

    Raises:
        DataError: there are such pictures; each is named, with both sets.
    """
    several = repeated_digests(functools.reduce(Pictures.and_those, (one for _, one in sets)))
    seen: dict[bytes, list[tuple[str, str]]] = {}
    doubles: list[tuple[str, str]] = []
    twins = 0
    for place, every in sets:
        pictures = [picture for picture in every if picture.digest in several]
        earlier = {p.digest: list(seen[p.digest]) for p in pictures if p.digest in seen}
        for picture in pictures:
            others = earlier.get(picture.digest, [])
            double = next((o for o in others if _is_one(o[1], picture.name)), None)
            if double is not None:
                line = f"{picture.name}: it is in {double[0]} and again in {place}"
                doubles.append((picture.name, line))
            twins += bool(others)
        for picture in pictures:
            seen.setdefault(picture.digest, []).append((place, picture.name))
    if doubles:
        lines = [f"{line}; count it once" for _, line in doubles[:_LISTED]]
        if len(doubles) > _LISTED:
            lines.append(f"and {len(doubles) - _LISTED} more pictures")
        raise DataError(*lines, paths=tuple(name for name, _ in doubles))
    return twins


def _is_one(name: str, other: str) -> bool:
    short, long = sorted((PurePosixPath(name).parts, PurePosixPath(other).parts), key=len)
    return long[-len(short) :] == short
