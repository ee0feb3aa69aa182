"""Memory, disk and workers, from the headers alone, before any pixel is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bncli.errors import LimitError
from bncli.images.formats import FORMATS, Format
from bncli.machine import Limits, allowed_cores, allowed_memory
from bncli.runs.asked import Asked
from bncli.runs.source import Source
from bncli.storage.statistics import Facts

_PROGRAM_BYTES = 72 << 20
"""Python, numpy, Pillow and rich, with room for what threads leave lying about."""

_PICTURE_BYTES = 512
"""Of a picture, whatever its size: names, digests, and its part of the summary."""

_DASK_BYTES = 1024
"""The same of Dask, whose scheduler may be in this process."""

_BLOCK_BYTES = 8 << 20

_DRAWING_BYTES = 80 << 20
"""Of the gallery, its drawings and the library that makes the page, whatever the pictures."""

_TRANSFORM_BYTES = 17
"""Of one pixel: mean, x_scale and dead."""

_LEVELS_BYTES = 16
"""Of one pixel: slope and intercept of the levels."""


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
        decodes: how often each file is decoded.
    """

    jobs: int
    block: int
    cached: bool
    memory: int
    limit: int
    disk: int
    disk_least: int
    decodes: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run asks of the machine.

    Attributes:
        pixel_bytes: from threads and pictures in a block to the bytes at the peak for one pixel.
        plain: bytes that are written as they are.
        packed: bytes at most that are written compressed.
        passes: how often pictures are needed.
        may_keep: whether those needed twice are kept where memory allows.
    """

    pixel_bytes: Callable[[int, int], int]
    plain: int
    packed: int
    passes: int = 1
    may_keep: bool = False


def plan_for(source: Source, asked: Asked, needs: Needs) -> Plan:
    """Plan a run with such needs over these pictures.

    Raises:
        LimitError: it needs more memory than this process may use.
    """
    jobs = asked.jobs or allowed_cores()
    count, pixels = len(source.names), math.prod(source.shape)
    value_bytes = source.dtype.itemsize
    block = max(1, min(64, _BLOCK_BYTES // (pixels * value_bytes)))
    limits = limits_of(asked)
    each = _PICTURE_BYTES + _DASK_BYTES * (asked.engine.kind == "dask")
    fixed = _PROGRAM_BYTES + each * count + _DRAWING_BYTES * bool(asked.drawing.files)
    # A file is read whole; one with much besides its pixels takes more than they do.
    beside = max(0, source.largest_file - pixels * value_bytes)

    def peak(jobs: int) -> int:
        return fixed + pixels * needs.pixel_bytes(jobs, block) + jobs * beside

    while peak(jobs) > limits.memory and jobs > 1 and asked.jobs is None:
        jobs -= 1  # each holds a picture of its own
    memory = peak(jobs)
    if memory > limits.memory:
        fewer = " or fewer --jobs" if jobs > 1 else ""
        with limits.told():
            raise LimitError(
                f"pictures of {'x'.join(map(str, source.shape))}{_in_large_files(source, pixels)} "
                f"need {memory / 1e6:,.0f} MB of memory; raise --max-memory, or use smaller "
                f"pictures{fewer}"
            )
    cache = count * pixels * value_bytes
    cached = needs.may_keep and memory + cache <= limits.memory
    # What is copied of a file is no more than the file.
    metadata = count * source.largest_file * source.policy.keep_metadata
    return Plan(
        jobs=jobs,
        block=block,
        cached=cached,
        memory=memory + cache * cached,
        limit=limits.memory,
        disk=needs.plain + needs.packed + metadata,
        disk_least=needs.plain,
        decodes=1 if cached else needs.passes,
    )


def limits_of(asked: Asked) -> Limits:
    """What a run may take: memory as asked for, or half of what is available."""
    available, wanted = allowed_memory(), asked.max_memory
    if wanted is None:
        memory = available // 2
    else:
        memory = min(available, int(wanted * available) if isinstance(wanted, float) else wanted)
    return Limits(asked.policy.max_pixels, memory)


def normalize_needs(asked: Asked, source: Source) -> Needs:
    """What normalize needs. The figures are bytes for one pixel.

    Memory is that of a run that keeps no decoded picture: the most of its stages; what stands in
    one sum is alive at the same time.
    """
    value, written = source.dtype.itemsize, FORMATS[asked.format]
    backward = asked.backward is not None
    moments, parameters = _moments_bytes(source.dtype), _parameters_bytes(asked)
    sums = 8 * 3 * backward
    levels = _LEVELS_BYTES * bool(written.levels)
    emitting = written.working_bytes(value) + 32 * backward
    transform = _TRANSFORM_BYTES * (backward or not levels or bool(asked.drawing.files))

    def pixel_bytes(jobs: int, block: int) -> int:
        decoding = _decoding_bytes(value, block, jobs) + jobs * 8 * backward
        return max(
            moments + parameters + sums + decoding,
            moments + parameters + sums + _TRANSFORM_BYTES + 8,
            parameters + sums + _TRANSFORM_BYTES + levels,
            parameters + transform + levels + jobs * emitting + 16 * backward,
            parameters + 8 * 8 * backward,
        )

    pixels, count = math.prod(source.shape), len(source.names)
    array = np.dtype(asked.dtype).itemsize
    plain, packed = _picture_bytes(source, written, normalized_dtype(asked, source.dtype))
    plain += pixels * (array * (count + 4) + 16) * backward
    packed += pixels * (min(32, moments) + 16 + 16)  # and gamma and beta twice
    local = asked.engine.kind == "local"
    return Needs(pixel_bytes, plain, packed, passes=2, may_keep=local)


def fit_needs(asked: Asked, source: Source) -> Needs:
    """What fit needs."""
    value = source.dtype.itemsize
    moments, parameters = _moments_bytes(source.dtype), _parameters_bytes(asked)
    # Running statistics: two planes, two for the step, and the moments of a batch.
    running = 0 if asked.running is None else 32 + moments
    old = 0 if asked.update_from is None else 2 * moments

    def pixel_bytes(jobs: int, block: int) -> int:
        kept = moments + parameters + running + old
        return kept + max(_decoding_bytes(value, block, jobs), _TRANSFORM_BYTES + 8)

    return Needs(pixel_bytes, 0, math.prod(source.shape) * (moments + 16 + 16))


def apply_needs(asked: Asked, source: Source, facts: Facts) -> Needs:
    """What apply needs, with statistics of these facts."""
    value, written = source.dtype.itemsize, FORMATS[asked.format]
    kept = _saved_bytes(facts) + _TRANSFORM_BYTES
    loading = 2 * _moments_bytes(source.dtype) + 8
    levels = _LEVELS_BYTES * bool(written.levels)

    def pixel_bytes(jobs: int, _block: int) -> int:
        return kept + max(loading, levels + jobs * (9 * value + written.working_bytes(value)))

    dtype = normalized_dtype(asked, source.dtype)
    return Needs(pixel_bytes, *_picture_bytes(source, written, dtype))


def invert_needs(asked: Asked, source: Source, facts: Facts) -> Needs:
    """What invert needs, with statistics of these facts."""
    value, restored = source.dtype.itemsize, np.dtype(facts.dtype)
    kept = _saved_bytes(facts) + _TRANSFORM_BYTES + 8
    loading, restoring = 2 * _moments_bytes(restored), 9 * value + 8 * restored.itemsize

    def pixel_bytes(jobs: int, _block: int) -> int:
        return kept + max(loading, jobs * restoring)

    return Needs(pixel_bytes, *_picture_bytes(source, FORMATS[asked.format], restored))


def normalized_dtype(asked: Asked, source: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The dtype of what normalize and apply write of a picture: pixel values, or y."""
    written = FORMATS[asked.format]
    if not written.levels:
        return np.dtype(written.stores or asked.dtype)
    deep = asked.depth == "16" or (asked.depth == "auto" and source != np.uint8)
    return np.dtype(np.uint16 if deep else np.uint8)


def _picture_bytes(source: Source, written: Format, dtype: np.dtype[np.generic]) -> tuple[int, int]:
    """Bytes of all pictures: of those written as they are, and at most of those compressed."""
    value = np.dtype(written.stores or dtype).itemsize
    size = len(source.names) * math.prod(source.shape) * value
    return (0, size) if written.compressed else (size, 0)


def _moments_bytes(dtype: np.dtype[np.generic]) -> int:
    if dtype.kind == "f":
        return 40
    # Sums, of squares too, and both ends.
    sums = 16 if dtype in (np.uint8, np.uint16) else 24
    return sums + 2 * dtype.itemsize


def _decoding_bytes(value_bytes: int, block: int, jobs: int) -> int:
    """Of all pictures that are under way, and of the block they make."""
    return value_bytes * (block + 3 * jobs) + jobs * 6 * value_bytes


def _parameters_bytes(asked: Asked) -> int:
    arrays = (
        text == "random" or text.lower().endswith(".npy") for text in (asked.gamma, asked.beta)
    )
    return 8 * sum(arrays)


def _saved_bytes(facts: Facts) -> int:
    """Of gamma and beta that were saved."""
    return 8 * sum(isinstance(origin, str) for origin in (facts.gamma, facts.beta))


def _in_large_files(source: Source, pixels: int) -> str:
    large = source.largest_file > 2 * pixels * source.dtype.itemsize + _BLOCK_BYTES
    return f" in files of up to {source.largest_file / 1e6:,.0f} MB" if large else ""
