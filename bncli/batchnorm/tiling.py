"""Runs a kernel over cache-sized tiles of the pixel axis, on threads; no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bncli.machine import allowed_cores

_TILE_BYTES = 1 << 22
"""Of one operand: so that it stays in cache from one pass of a kernel to the next, and the calls
are few enough for threads not to wait for one another."""

_LEAST_PIXELS = 512
"""Shorter rows would cost more in calls than they save in cache."""


def tile_slices(pixels: int, row_bytes: int, threads: int = 1) -> list[slice]:
    """Cut the pixel axis into tiles of nearly one length.

    Args:
        pixels: length of the axis.
        row_bytes: bytes of one pixel over the pictures that a kernel holds at once.
        threads: how many are to have a tile of their own.
    """
    length = max(_LEAST_PIXELS, _TILE_BYTES // max(1, row_bytes))
    length = math.ceil(pixels / max(threads, math.ceil(pixels / length), 1)) or 1
    return [slice(start, min(start + length, pixels)) for start in range(0, pixels, length)]


def run_tiles(
    kernel: Callable[[slice], None], slices: list[slice], threads: int | None = None
) -> bool:
    """Call *kernel* once for every slice, on threads where that pays.

    Args:
        kernel: writes its results into arrays of its caller's; slices never overlap.
        slices: from :func:`tile_slices`.
        threads: how many; None is every core allowed.

    Returns:
        Whether no number overflowed; where one did, the results are of no use. NaN and infinity
        that come in are not noticed here.
    """

    def watched(tile: slice) -> None:
        # The processor notices overflow by itself: asking it is free, looking at results is not.
        # numpy's error state belongs to the thread, so it is set where the kernel runs.
        with np.errstate(all="ignore", over="raise"):
            kernel(tile)

    workers = min(threads or allowed_cores(), len(slices))
    try:
        if workers <= 1:
            for tile in slices:
                watched(tile)
            return True
        with ThreadPoolExecutor(workers, thread_name_prefix="bncli-tile") as pool:
            for _ in pool.map(watched, slices):
                pass
    except FloatingPointError:
        return False
    return True
