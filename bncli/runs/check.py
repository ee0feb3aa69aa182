"""``bncli gradcheck``: the batch and the delta read, the check run, the error maps written."""

from __future__ import annotations

import io
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
from bncli.drawing.check_page import error_limit, page_file
from bncli.engines.threads import Threads
from bncli.engines.work import Lazily
from bncli.errors import LimitError, OptionError, OutputError
from bncli.images.batch import Fault, faults_error
from bncli.images.folder import Selection
from bncli.images.layout import to_array
from bncli.images.pillow import pillow_unlimited
from bncli.images.png import encode_png
from bncli.images.policy import ReadPolicy
from bncli.machine import allowed_cores, allowed_memory
from bncli.runs.source import open_source, read_or_fault, refuse
from bncli.storage.apart import check_apart, check_file_apart
from bncli.storage.arrays import load_array, write_array
from bncli.storage.whole_file import write_whole

Array = NDArray[Any]
_WHITE = 255
_MAPS = ("analytic.npy", "numeric.npy", "difference.npy", "error_0000.png")


@dataclass(frozen=True, slots=True)
class Check:
    """One check, with its batch and delta in memory.

    Attributes:
        target: as on the command line; None is bncli's own layer.
        request: how it is to be checked.
        x, delta: (batch, w, h, c) in value scale, or None.
    """

    target: str | None
    request: Request
    x: Array | None = None
    delta: Array | None = None

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
    if inputs.heatmap is not None:
        check_maps_folder(inputs.heatmap)
    if inputs.report is not None:
        page_file(inputs.report)
    x = _read_batch(inputs) if inputs.images else None
    delta = None
    if inputs.delta != "random":
        path = Path(inputs.delta)
        if path.suffix.lower() != ".npy" or not path.exists():
            raise OptionError(f"--delta {inputs.delta}: give random, or a FILE.npy that exists")
        wanted = x.shape if x is not None else request.shape or PROBE_SHAPE
        delta = np.array(load_array(path, wanted, "(batch, w, h, c)"), np.float64)
    check = Check(target, request, x, delta)
    _check_memory(check.shape)
    return check


def run_check(
    check: Check, *, timeout: float, maps: bool, progress: Progress | None
) -> GradcheckReport:
    """Run a check: bncli's own layer in this process, anybody else's in one of its own."""
    if check.target is not None:
        return guarded_check(
            check.target, check.request, check.x, check.delta,
            timeout=timeout, maps=maps, progress=progress,
        )  # fmt: skip
    examination = Examination(check.request, Caller(), progress)
    return examination.run(None, check.x, check.delta)


def write_maps(report: GradcheckReport, folder: str | Path) -> list[str]:
    """Write the error of every picture as a PNG, and the arrays behind it.

    White is the largest error of the batch, or a millionth of the largest gradient where that is
    larger.

    Returns:
        The names written; none where the check gave no maps.

    Raises:
        OutputError: the folder cannot be written to, or holds files of these names.
    """
    if not report.maps:
        return []
    place = Path(folder)
    files = {f"{name}.npy": _npy_bytes(array) for name, array in report.maps.items()}
    error = np.abs(report.maps["difference"])
    error = np.where(np.isfinite(error), error, np.inf)
    top = error_limit(report.maps)
    levels = np.rint(np.minimum(error / (top or 1.0), 1.0) * _WHITE).astype(np.uint8)
    for index, picture in enumerate(levels):
        shown = picture if picture.shape[-1] in {1, 3} else picture.max(axis=-1, keepdims=True)
        files[f"error_{index:04d}.png"] = encode_png(shown.swapaxes(0, 1))
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


def _read_batch(inputs: Inputs) -> Array:
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
        count = len(source.names)
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
    return checked_batch(batch, "--images", None)


def _check_memory(shape: tuple[int, ...]) -> None:
    needed, there = cost_in_bytes(shape), allowed_memory()  # type: ignore[arg-type]
    if needed > there:
        raise LimitError(
            f"the check would take about {needed / 1e6:,.0f} MB, and {there / 1e6:,.0f} MB are "
            "free; choose fewer or smaller pictures"
        )
