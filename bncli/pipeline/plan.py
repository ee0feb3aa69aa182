"""Memory, disk and workers, from the headers alone, before any pixel is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bncli.errors import LimitError
from bncli.machine import allowed_cores, allowed_memory
from bncli.pipeline.request import NormalizeRequest
from bncli.pipeline.source import Source

_PROGRAM_BYTES = 72 << 20
"""Python, numpy, Pillow and rich, with room for what threads leave lying about."""

_PICTURE_BYTES = 2048
"""Of a picture, whatever its size: names, digests, and its part of the summary."""

_BLOCK_BYTES = 8 << 20

_SHOW_BYTES = 80 << 20
"""Of the gallery, its drawings and the library that makes the page, whatever the pictures."""


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
    """

    jobs: int
    block: int
    cached: bool
    memory: int
    limit: int
    disk: int


def make_plan(source: Source, request: NormalizeRequest) -> Plan:
    """Plan a run over these pictures.

    Raises:
        LimitError: it needs more memory than this process may use.
    """
    jobs = request.jobs or allowed_cores()
    count, pixels = len(source.names), math.prod(source.shape)
    value_bytes = source.dtype.itemsize
    block = max(1, min(64, _BLOCK_BYTES // (pixels * value_bytes)))
    limit = _limit(request.max_memory)
    memory = _streaming_bytes(request, source, pixels, block, jobs)
    while memory > limit and jobs > 1 and request.jobs is None:
        jobs -= 1  # each holds a picture of its own
        memory = _streaming_bytes(request, source, pixels, block, jobs)
    if memory > limit:
        raise LimitError(
            f"pictures of {'x'.join(map(str, source.shape))} need {_megabytes(memory)} of memory, "
            f"but {_megabytes(limit)} are allowed; raise --max-memory, or use smaller pictures"
            + (" or fewer --jobs" if jobs > 1 else "")
        )
    cache = count * pixels * value_bytes
    cached = memory + cache <= limit
    return Plan(
        jobs=jobs,
        block=block,
        cached=cached,
        memory=memory + cache * cached,
        limit=limit,
        disk=_disk_bytes(count, pixels, request, value_bytes),
    )


def _limit(wanted: float | None) -> int:
    """Bytes: those asked for, or half of what is available, and never more than is available."""
    available = allowed_memory()
    if wanted is None:
        return available // 2
    return min(available, int(wanted * available) if isinstance(wanted, float) else wanted)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _streaming_bytes(
    request: NormalizeRequest, source: Source, pixels: int, block: int, jobs: int
) -> int:
    """Bytes at the peak of a run that keeps no decoded picture: the most of its stages.

    Each figure is bytes for one pixel; what is named is alive at the same time.
    """
    value = source.dtype.itemsize
    backward = request.backward is not None
    moments = {1: 18, 2: 20}.get(value, 40)
    parameters = 8 * sum(_is_array(text) for text in (request.layer.gamma, request.layer.beta))
    sums = 8 * 3 * backward
    planes, levels = 17, 16 * (request.output.picture_format == "png")
    decoding = value * (block + 3 * jobs) + jobs * (6 * value + 8 * backward)
    emitting = {"png": 8 * value, "tiff": 24, "npy": 24}[request.output.picture_format]
    writing = jobs * (emitting + 32 * backward) + 16 * backward
    shown = bool(request.show.files)
    kept = planes * (backward or not levels or shown) + levels
    stages = (
        moments + parameters + sums + decoding,
        moments + parameters + sums + planes + 8,
        parameters + sums + planes + levels,
        parameters + kept + writing,
        parameters + 8 * 8 * backward,
    )
    fixed = _PROGRAM_BYTES + _SHOW_BYTES * shown
    return fixed + _PICTURE_BYTES * len(source.names) + pixels * max(stages)


def _is_array(text: str) -> bool:
    return text == "random" or text.lower().endswith(".npy")


def _disk_bytes(count: int, pixels: int, request: NormalizeRequest, value_bytes: int) -> int:
    array = 8 if request.output.dtype == "float64" else 4
    deep = request.output.depth == "16" or (request.output.depth == "auto" and value_bytes > 1)
    picture = {"png": 1 + deep, "tiff": 4, "npy": array}[request.output.picture_format]
    gradients = array * (count + 4) + 16 if request.backward is not None else 0
    parameters = 2 * 8
    statistics = {1: 18, 2: 20}.get(value_bytes, 32) + parameters
    return pixels * (count * picture + gradients + parameters + statistics)
