"""Memory, disk and workers, from the headers alone, before any pixel is decoded."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bncli.errors import LimitError, OutputError
from bncli.images.formats import FORMATS
from bncli.limits import Limits
from bncli.machine import allowed_cores, allowed_memory
from bncli.runs.asked import Asked, Layer
from bncli.runs.source import Source

_PROGRAM_BYTES = 72 << 20
"""Python, numpy, Pillow and rich, with room for what threads leave lying about."""

_PICTURE_BYTES = 2048
"""Of a picture, whatever its size: names, digests, and its part of the summary."""

_BLOCK_BYTES = 8 << 20

SHOW_BYTES = 80 << 20
"""Of the gallery, its drawings and the library that makes the page, whatever the pictures."""

PLANES_BYTES = 17
"""Of one pixel: mean, x_scale and dead."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run will use the machine.

    Attributes:
        jobs: threads.
        block: pictures whose moments are taken at once; it depends on their shape alone, so that
            floating-point results do not depend on the machine.
        cached: whether the decoded pictures are kept, so that each file is decoded once.
        memory: bytes at the peak.
        limit: bytes allowed.
        disk: bytes of the output at most.
        disk_least: bytes of the output at least: what is not compressed.
    """

    jobs: int
    block: int
    cached: bool
    memory: int
    limit: int
    disk: int
    disk_least: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of the machine.

    Attributes:
        jobs: threads that the user asked for, or None.
        limits: what it may take.
        pixel_bytes: from threads and pictures in a block to the bytes at the peak for one pixel.
        disk: bytes that are written as they are, and bytes at most that are written compressed.
        passes: how often pictures are needed; those needed twice are kept where memory allows.
        fixed_bytes: at the peak, whatever the pictures.
    """

    jobs: int | None
    limits: Limits
    pixel_bytes: Callable[[int, int], int]
    disk: tuple[int, int]
    passes: int = 1
    fixed_bytes: int = 0


def make_plan(source: Source, request: Asked) -> Plan:
    """Plan a run of normalize over these pictures.

    Raises:
        LimitError: it needs more memory than this process may use.
    """
    value_bytes = source.dtype.itemsize
    disk = _disk_bytes(len(source.names), math.prod(source.shape), request, value_bytes)
    needs = Needs(
        jobs=request.jobs,
        limits=limits_of(request.policy.max_pixels, request.max_memory),
        pixel_bytes=lambda jobs, block: _normalize_bytes(request, value_bytes, block, jobs),
        disk=disk,
        passes=2 if request.engine.kind == "local" else 1,
        fixed_bytes=SHOW_BYTES * bool(request.show.files),
    )
    return plan_for(source, needs)


def plan_for(source: Source, needs: Needs) -> Plan:
    """Plan a run with such needs over these pictures.

    Raises:
        LimitError: it needs more memory than this process may use.
    """
    jobs = needs.jobs or allowed_cores()
    count, pixels = len(source.names), math.prod(source.shape)
    value_bytes = source.dtype.itemsize
    block = max(1, min(64, _BLOCK_BYTES // (pixels * value_bytes)))
    limits = needs.limits
    # A file is read whole; one with much besides its pixels takes more than they do.
    beside = max(0, source.largest_file - pixels * value_bytes)

    def peak(jobs: int) -> int:
        under_way = pixels * needs.pixel_bytes(jobs, block) + jobs * beside
        return _PROGRAM_BYTES + needs.fixed_bytes + _PICTURE_BYTES * count + under_way

    while peak(jobs) > limits.memory and jobs > 1 and needs.jobs is None:
        jobs -= 1  # each holds a picture of its own
    memory = peak(jobs)
    if memory > limits.memory:
        fewer = " or fewer --jobs" if jobs > 1 else ""
        with limits.told():
            raise LimitError(
                f"pictures of {'x'.join(map(str, source.shape))}{_in_large_files(source, pixels)} "
                f"need {_megabytes(memory)} of memory; raise --max-memory, or use smaller pictures"
                f"{fewer}"
            )
    cache = count * pixels * value_bytes
    cached = needs.passes > 1 and memory + cache <= limits.memory
    return Plan(
        jobs=jobs,
        block=block,
        cached=cached,
        memory=memory + cache * cached,
        limit=limits.memory,
        disk=sum(needs.disk),
        disk_least=needs.disk[0],
    )


def limits_of(max_pixels: int, max_memory: float | None) -> Limits:
    """What a run may take: memory as asked for, or half of what is available."""
    return Limits(max_pixels, _limit(max_memory))


def free_disk(out: Path) -> int | None:
    """Bytes free where *out* is or would be made; None where the system does not say."""
    place = out.absolute()
    while not place.exists():
        place = place.parent
    try:
        status = os.statvfs(place)
    except (AttributeError, OSError):  # Windows, or a file system that does not answer
        return None
    return status.f_bavail * status.f_frsize


def check_disk(plan: Plan, out: Path) -> None:
    """Raise OutputError if even what is written uncompressed has no room."""
    free = free_disk(out)
    if free is not None and plan.disk_least > free:
        raise OutputError(
            f"{out}: the run needs at least {_megabytes(plan.disk_least)} of disk, but "
            f"{_megabytes(free)} are free; free some space or choose another disk",
            paths=(str(out),),
        )


def moments_bytes(value_bytes: int) -> int:
    """Bytes of the moments of one pixel, by those of its values."""
    return {1: 18, 2: 20}.get(value_bytes, 40)


def parameters_bytes(layer: Layer) -> int:
    """Bytes of gamma and beta of one pixel."""
    return 8 * sum(_is_array(text) for text in (layer.gamma, layer.beta))


def decoding_bytes(value_bytes: int, block: int, jobs: int) -> int:
    """Bytes of one pixel of all pictures that are under way, and of the block they make."""
    return value_bytes * (block + 3 * jobs) + jobs * 6 * value_bytes


def _limit(wanted: float | None) -> int:
    """Bytes: those asked for, or half of what is available, and never more than is available."""
    available = allowed_memory()
    if wanted is None:
        return available // 2
    return min(available, int(wanted * available) if isinstance(wanted, float) else wanted)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _normalize_bytes(request: Asked, value: int, block: int, jobs: int) -> int:
    """Bytes at the peak of a run that keeps no decoded picture: the most of its stages.

    Each figure is bytes for one pixel; what is named is alive at the same time.
    """
    backward = request.backward is not None
    moments, parameters = moments_bytes(value), parameters_bytes(request.layer)
    sums = 8 * 3 * backward
    planes, levels = PLANES_BYTES, 16 * (request.output.picture_format == "png")
    decoding = decoding_bytes(value, block, jobs) + jobs * 8 * backward
    emitting = FORMATS[request.output.picture_format].working_bytes(value)
    writing = jobs * (emitting + 32 * backward) + 16 * backward
    shown = bool(request.show.files)
    kept = planes * (backward or not levels or shown) + levels
    return max(
        moments + parameters + sums + decoding,
        moments + parameters + sums + planes + 8,
        parameters + sums + planes + levels,
        parameters + kept + writing,
        parameters + 8 * 8 * backward,
    )


def _in_large_files(source: Source, pixels: int) -> str:
    large = source.largest_file > 2 * pixels * source.dtype.itemsize + _BLOCK_BYTES
    return f" in files of up to {_megabytes(source.largest_file)}" if large else ""


def _is_array(text: str) -> bool:
    return text == "random" or text.lower().endswith(".npy")


def _disk_bytes(count: int, pixels: int, request: Asked, value_bytes: int) -> tuple[int, int]:
    """What is written as it is, and the most that is written compressed."""
    array = 8 if request.output.dtype == "float64" else 4
    deep = request.output.depth == "16" or (request.output.depth == "auto" and value_bytes > 1)
    picture = {"png": 1 + deep, "tiff": 4, "npy": array}[request.output.picture_format]
    gradients = array * (count + 4) + 16 if request.backward is not None else 0
    parameters = 2 * 8
    statistics = {1: 18, 2: 20}.get(value_bytes, 32) + parameters
    least = pixels * gradients
    if request.output.picture_format == "png":
        return least, pixels * (count * picture + parameters + statistics)
    return least + pixels * count * picture, pixels * (parameters + statistics)
