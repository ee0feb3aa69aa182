"""``bncli gradcheck``: the batch and the delta read, the check run, the error maps written."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.checking.child import guarded_check
from bncli.checking.examine import Examination, Progress
from bncli.checking.question import (
    PROBE_SHAPE,
    Request,
    checked_batch,
    cost_in_bytes,
    cost_in_forwards,
)
from bncli.checking.report import GradcheckReport
from bncli.checking.target import Caller
from bncli.drawing.check_page import allowed_error, error_shares, page_file
from bncli.drawing.thumbnails import error_colours
from bncli.engines.threads import Threads
from bncli.errors import LimitError, OptionError, OutputError
from bncli.images.batch import Fault, faults_error
from bncli.images.folder import Selection
from bncli.images.layout import to_array
from bncli.images.pillow import pillow_unlimited
from bncli.images.png import encode_png
from bncli.images.policy import ReadPolicy
from bncli.machine import allowed_cores, allowed_memory
from bncli.packed import Lazily
from bncli.runs.source import open_source, read_or_fault, refuse
from bncli.storage.apart import check_apart, check_file_apart
from bncli.storage.arrays import load_array, write_array
from bncli.storage.whole_file import write_whole

Array = NDArray[Any]
_MINUTE = 1_000_000_000
"""Elements that go through a forward of NumPy, and through what is asked of it."""

_LEAST = 5
"""Pictures that are asked whatever it takes: fewer cancel too much."""

_MAPS = ("analytic.npy", "numeric.npy", "difference.npy", "error_0000.png")


@dataclass(frozen=True, slots=True)
class Check:
    """One check, with its batch and delta in memory.

    Attributes:
        target: as on the command line; None is bncli's own layer.
        request: how it is to be checked.
        x, delta: (batch, w, h, c) in value scale, or None.
        left_out: that pictures were left out, and how to ask them all; empty if none were.
    """

    target: str | None
    request: Request
    x: Array | None = None
    delta: Array | None = None
    left_out: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the batch that will be checked."""
        return self.x.shape if self.x is not None else self.request.shape or PROBE_SHAPE

    @property
    def forwards(self) -> int:
        """About how many forwards of that batch it will take."""
        return cost_in_forwards(self.shape)  # type: ignore[arg-type]

    @property
    def memory(self) -> int:
        """About how many bytes it will take, beside the target's own."""
        return cost_in_bytes(self.shape)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where batch and delta come from.

    Attributes:
        images: folders, files, globs, or one .npy batch; empty for a probe.
        delta: ``random`` or the name of a .npy file.
        heatmap: the folder for the error maps, which may not touch the images' own.
        report: the file for the page, which may not lie there either.
    """

    images: tuple[str, ...] = ()
    delta: str = "random"
    heatmap: str | None = None
    report: str | None = None


def prepare_check(target: str | None, request: Request, inputs: Inputs) -> Check:
    """Read what a check needs.

    Raises:
        BncliError: it cannot be read, does not fit, or is too large for the memory there is.
    """
    if inputs.images and request.shape is not None:
        raise OptionError("--shape is for a probe; with --images the pictures say the shape")
    if request.limit is not None and not inputs.images:
        raise OptionError("--limit is for --images; give B of --shape for a probe")
    if inputs.heatmap is not None:
        check_maps_folder(inputs.heatmap)
    if inputs.report is not None:
        page_file(inputs.report)
    x, count = _read_batch(inputs, request.limit) if inputs.images else (None, 0)
    delta = None
    if inputs.delta != "random":
        path = Path(inputs.delta)
        if path.suffix.lower() != ".npy" or not path.exists():
            raise OptionError(f"--delta {inputs.delta}: give random, or a FILE.npy that exists")
        wanted = (count, *x.shape[1:]) if x is not None else request.shape or PROBE_SHAPE
        delta = np.array(load_array(path, wanted, "(batch, w, h, c)"), np.float64)
    left_out = ""
    if x is not None and len(x) < count:
        delta = None if delta is None else delta[: len(x)]  # delta[i] belongs to the i-th
        left_out = f"the first {len(x)} of {count} pictures are checked"
        if request.limit is None:
            minutes = _minutes((count, *x.shape[1:]))
            left_out += f"; all take about {max(minutes, 1):.0f} min: --limit {count} asks them"
    check = Check(target, request, x, delta, left_out)
    _check_memory(check.shape)
    return check


def run_check(
    check: Check, *, timeout: float, maps: bool, progress: Progress | None
) -> GradcheckReport:
    """Run a check: bncli's own layer in this process, anybody else's in one of its own."""
    if check.target is not None:
        report = guarded_check(
            check.target, check.request, check.x, check.delta,
            timeout=timeout, maps=maps, progress=progress,
        )  # fmt: skip
    else:
        examination = Examination(check.request, Caller(), progress)
        report = examination.run(None, check.x, check.delta)
    if check.left_out:
        report.notes = (*report.notes, check.left_out)
    return report


def write_maps(report: GradcheckReport, folder: str | Path) -> list[str]:
    """Write the error of every picture as a PNG, and the arrays behind it.

    Colours are those of :func:`bncli.drawing.thumbnails.error_colours`; of the channels of a pixel
    the largest error counts.

    Returns:
        The names written; none where the check gave no maps.

    Raises:
        OutputError: the folder cannot be written to, or holds files of these names.
    """
    if not report.maps:
        return []
    place = Path(folder)
    files = {f"{name}.npy": _npy_bytes(array) for name, array in report.maps.items()}
    for index, shares in enumerate(error_shares(report)):
        upright = np.fmax.reduce(shares, axis=-1).swapaxes(0, 1)
        colours = error_colours(upright, allowed_error(report))
        files[f"error_{index:04d}.png"] = encode_png(colours)
    check_maps_folder(folder, files)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(
            f"{place}: {problem.strerror}; choose another --heatmap", paths=(str(place),)
        ) from problem
    for name, content in files.items():
        write_whole(place / name, content, overwrite=None)
    return list(files)


def _npy_bytes(array: Array) -> bytes:
    buffer = io.BytesIO()
    write_array(buffer, array)
    return buffer.getvalue()


def check_maps_folder(folder: str | Path, names: Iterable[str] = _MAPS) -> None:
    """Raise OutputError if the folder is none, or holds files that would be replaced."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise OutputError(f"{place}: it is no folder; choose another", paths=(str(place),))
    there = [name for name in names if (place / name).exists()]
    if there:
        raise OutputError(
            f"{place}: it holds {there[0]} already; choose another folder", paths=(str(place),)
        )


def _read_batch(inputs: Inputs, limit: int | None) -> tuple[Array, int]:
    """The pictures to check on, and how many were named."""
    selection = Selection(sources=inputs.images)
    jobs = allowed_cores()
    with pillow_unlimited(), Threads(jobs) as engine:
        source, found = open_source(selection, ReadPolicy(), engine)
        if source.faults:
            refuse(source, engine)
        if inputs.heatmap is not None:
            check_apart(Path(inputs.heatmap), found.roots, found.parents)
        if inputs.report is not None:
            check_file_apart(Path(inputs.report), found.roots, source.paths)
        named = len(source.names)
        count = _affordable(named, source.shape) if limit is None else min(named, limit)
        _check_memory((count, *source.shape))
        batch = np.empty((count, *source.shape))
        faults = []
        results = engine.map(read_or_fault, Lazily(source.picture, count))
        for picture, result in zip(batch, results, strict=True):
            if isinstance(result, Fault):
                faults.append(result)
            else:
                picture[...] = to_array(result.values, source.shape) / source.unit
    if faults:
        raise faults_error(faults, count)
    return checked_batch(batch, "--images", None), named


def _affordable(count: int, shape: tuple[int, ...]) -> int:
    """How many of *count* pictures of *shape* are checked in a minute or so."""
    while count > _LEAST and _minutes((count, *shape)) > 1:
        count -= 1
    return count


def _minutes(shape: tuple[int, ...]) -> float:
    return cost_in_forwards(shape) * math.prod(shape) / _MINUTE  # type: ignore[arg-type]


def _check_memory(shape: tuple[int, ...]) -> None:
    needed, there = cost_in_bytes(shape), allowed_memory()  # type: ignore[arg-type]
    if needed > there:
        raise LimitError(
            f"the check would take about {needed / 1e6:,.0f} MB, and {there / 1e6:,.0f} MB are "
            "free; choose fewer or smaller pictures"
        )
