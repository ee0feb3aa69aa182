"""Memory, disk and workers, from the headers alone, before any pixel is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bncli.errors import LimitError
from bncli.machine import allowed_cores, allowed_memory
from bncli.pipeline.request import NormalizeRequest
from bncli.pipeline.source import Source

_PROGRAM_BYTES = 96 << 20
_MOMENT_BYTES = {1: 18, 2: 20, 4: 40, 8: 40}
"""Dtype's bytes -> bytes of the moments of a pixel."""

_PLANE_BYTES = 8 * 12
"""Of a pixel: mean, variance, inv_std, x_scale, gamma, beta, slope, intercept, and what they are
computed from."""

_WORKER_BYTES = 8 * 6
"""Of a pixel: one picture being decoded, scaled, filtered and compressed."""

_BLOCK_BYTES = 8 << 20


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
    memory = (
        _PROGRAM_BYTES
        + pixels * (_MOMENT_BYTES.get(value_bytes, 40) + _PLANE_BYTES)
        + pixels * jobs * _WORKER_BYTES
        + pixels * value_bytes * (block + 2 * jobs)
    )
    limit = allowed_memory()
    if memory > limit:
        raise LimitError(
            f"pictures of {'x'.join(map(str, source.shape))} need {memory / 1e9:.2f} GB, but this "
            f"process may use {limit / 1e9:.2f} GB; use smaller pictures or fewer --jobs"
        )
    cache = count * pixels * value_bytes
    cached = memory + cache <= limit // 2
    return Plan(
        jobs=jobs,
        block=block,
        cached=cached,
        memory=memory + cache * cached,
        limit=limit,
        disk=_disk_bytes(count, pixels, request, value_bytes),
    )


def _disk_bytes(count: int, pixels: int, request: NormalizeRequest, value_bytes: int) -> int:
    array_bytes = 8 if request.output.dtype == "float64" else 4
    deep = request.output.depth == "16" or (request.output.depth == "auto" and value_bytes > 1)
    per_value = {"png": 1 + deep, "tiff": 4, "npy": array_bytes}[request.output.picture_format]
    gradients = array_bytes * (count + 4) * pixels if request.backward is not None else 0
    return count * pixels * per_value + gradients + pixels * (_MOMENT_BYTES[8] + 16)
