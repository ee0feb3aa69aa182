"""Pictures and planes made small, a few rows at a time, and made visible.

A cell is what becomes one pixel of the thumbnail. Where nothing has to be made smaller, cells are
single pixels and the thumbnail shows every one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.images.layout import Shape

Plane = NDArray[Any]
Rows = Callable[[int, int], Plane]
"""Rows of a picture, from one up to another, (rows, w, channels)."""

SIDE = 420
_GREY, _COLOUR = 1, 3
_WHITE = 255
_SQUARE, _LIGHT, _DARK = 8, 0.95, 0.82

_BLUE_WHITE_RED = ((33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240),
                   (247, 247, 247), (253, 219, 199), (244, 165, 130), (214, 96, 77),
                   (178, 24, 43))  # fmt: skip
"""ColorBrewer's RdBu (Cynthia Brewer, Penn State), turned round."""

_WHITE_RED = ((255, 255, 255), (254, 232, 200), (253, 187, 132), (239, 101, 72), (179, 0, 0),
              (127, 0, 0))  # fmt: skip
"""ColorBrewer's OrRd, from white."""

_NOT_FINITE = (120, 0, 160)
_NOT_ASKED = (158, 158, 158)
_FIRST_RED = 0.2
"""Where the colours of an error begin: the least that is wrong must be seen beside white."""

_LEAST_ALLOWED = 1e-15


@dataclass(frozen=True, slots=True)
class Range:
    """What is drawn black and what white."""

    low: float
    high: float

    def share(self, values: Plane) -> Plane:
        """Where *values* lie in the range, from 0 to 1."""
        width = self.high - self.low
        with np.errstate(all="ignore"):  # the range may be empty, or past what floats hold
            share = (values - self.low) / width if width > 0 else np.zeros(np.shape(values))
        return np.clip(np.nan_to_num(share, nan=0.0), 0, 1)


def thumbnail_size(width: int, height: int, side: int = SIDE) -> tuple[int, int]:
    """Width and height of at most *side*, of the same proportions, at least 1."""
    factor = min(1.0, side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def cell_means(rows: Rows, shape: Shape) -> Plane:
    """The mean of every cell, (h, w, channels), float64.

    Args:
        rows: of the picture.
        shape: (w, h, channels) of the picture.
    """
    return _by_cells(rows, shape, _mean)


def cell_extremes(rows: Rows, shape: Shape) -> Plane:
    """The value farthest from 0 of every cell and all its channels, with its sign, (h, w)."""
    return _by_cells(rows, shape, _extreme)[..., 0]


def cell_largest(rows: Rows, shape: Shape) -> Plane:
    """The largest value of every cell and all its channels, (h, w); NaN where all of them are."""
    return _by_cells(rows, shape, _largest)[..., 0]


def to_picture(means: Plane, shown: Range, alpha: Plane | None = None) -> NDArray[np.uint8]:
    """Cells as 8-bit grey or RGB, (h, w, 1 or 3).

    Args:
        means: (h, w, channels); other than 1 or 3 channels become their mean.
        shown: what is black and white.
        alpha: (h, w, 1) from 0 to 1, or None: where the picture lies upon light squares.
    """
    share = shown.share(means)
    if share.shape[2] not in {_GREY, _COLOUR}:
        share = share.mean(axis=2, keepdims=True)
    if alpha is not None:
        share = share * alpha + _squares(*share.shape[:2]) * (1 - alpha)
    levels: NDArray[np.uint8] = np.rint(share * _WHITE).astype(np.uint8)
    return levels


def signed_colours(values: Plane, limit: float) -> NDArray[np.uint8]:
    """Blue below 0, white at 0, red above; as dark as may be from *limit* on; (h, w, 3)."""
    return _coloured(values, Range(-limit, limit), _BLUE_WHITE_RED)


def error_colours(errors: Plane, allowed: float) -> NDArray[np.uint8]:
    """White up to what is *allowed*, then red, by the logarithm, darkest from 1 on; (h, w, 3).

    The same error has the same colour in every map, so that one that is all wrong is all red.

    Args:
        errors: (h, w), relative, >= 0; NaN, which is grey, where nothing was asked; infinity, which
            is violet, where what was given is no finite number.
        allowed: >= 0.
    """
    least = max(allowed, _LEAST_ALLOWED)
    with np.errstate(all="ignore"):
        decades = np.log10(errors / least) / max(-np.log10(least), 1.0)
    share = np.where(errors > allowed, _FIRST_RED + (1 - _FIRST_RED) * decades, 0.0)
    colours = _coloured(share, Range(0, 1), _WHITE_RED)
    colours[np.isnan(errors)] = _NOT_ASKED
    colours[np.isinf(errors)] = _NOT_FINITE
    return colours


def _coloured(
    values: Plane, shown: Range, stops: tuple[tuple[int, int, int], ...]
) -> NDArray[np.uint8]:
    # An empty range is that of zeros alone, the middle of the signed colours.
    share = shown.share(values) if shown.high > shown.low else np.full(np.shape(values), 0.5)
    places = np.linspace(0, 1, len(stops))
    bands = [np.interp(share, places, [stop[k] for stop in stops]) for k in range(_COLOUR)]
    colours = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    colours[~np.isfinite(values)] = _NOT_FINITE
    return colours


def _squares(height: int, width: int) -> Plane:
    row, column = np.ogrid[:height, :width]
    odd = (row // _SQUARE + column // _SQUARE) % 2
    return np.where(odd == 1, _DARK, _LIGHT)[..., None]


def _by_cells(
    rows: Rows, shape: Shape, reduce: Callable[[Plane, NDArray[np.intp]], Plane]
) -> Plane:
    width, height, _ = shape
    columns, lines = thumbnail_size(width, height)
    starts = np.arange(columns) * width // columns
    edges = np.arange(lines + 1) * height // lines
    return np.stack([
        reduce(rows(int(first), int(end)), starts)
        for first, end in pairwise(edges)
    ])  # fmt: skip


def _mean(block: Plane, starts: NDArray[np.intp]) -> Plane:
    sums = np.add.reduceat(block.sum(axis=0, dtype=np.float64), starts, axis=0)
    counts = np.diff([*starts, block.shape[1]]) * len(block)
    means: Plane = sums / counts[:, None]
    return means


def _extreme(block: Plane, starts: NDArray[np.intp]) -> Plane:
    least = np.minimum.reduceat(block.min(axis=(0, 2)), starts)
    most = np.maximum.reduceat(block.max(axis=(0, 2)), starts)
    return np.where(most >= -least, most, least)[:, None]


def _largest(block: Plane, starts: NDArray[np.intp]) -> Plane:
    largest: Plane = np.fmax.reduceat(np.fmax.reduce(block, axis=(0, 2)), starts)
    return largest[:, None]
