"""The one place that cuts the pixel axis, and what runs a kernel over the tiles, on threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.machine import allowed_cores
from bncli.pool import Pool

Raster = NDArray[Any]
"""Pictures as rows, (batch, pixels), or one value for each pixel, (pixels,)."""

_TILE_BYTES = 1 << 22
"""Of one operand: so that it stays in cache from one pass of a kernel to the next, and the calls
are few enough for threads not to wait for one another."""

_LEAST_PIXELS = 512
"""Shorter rows would cost more in calls than they save in cache."""

_FIXED_PIXELS = 1 << 14
"""Some planes of so many float64 stay in cache together."""


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


def fixed_slices(pixels: int, times: int = 1) -> list[slice]:
    """Cut the pixel axis of one picture into tiles of the same length on every machine.

    Where sums of tiles are joined, the cuts decide the last bits.

    Args:
        pixels: length of the axis.
        times: how many times the usual length: that of the channels keeps them together, and a
            kernel that holds little is faster with more.
    """
    length = _FIXED_PIXELS * times
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

    # Asking the system for its cores takes longer than one small tile.
    workers = min(threads or allowed_cores(), len(slices)) if len(slices) > 1 else 1
    try:
        if workers == 1:
            for tile in slices:
                watched(tile)
            return True
        with Pool(workers, thread_name_prefix="bncli-tile") as pool:
            for _ in pool.map(watched, slices):
                pass
    except FloatingPointError:
        return False
    return True
