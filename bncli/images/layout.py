"""The one place that knows how a raster of a file, (h * w * c,), is an array (w, h, c)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


def to_array(raster: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """The (w, h, c) view of a raster; leading axes stay: (batch, pixels) is (batch, w, h, c)."""
    width, height, channels = shape
    return raster.reshape(*raster.shape[:-1], height, width, channels).swapaxes(-3, -2)


def to_raster(array: NDArray[Any], dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
    """The raster of an array (w, h, c); leading axes stay."""
    turned = np.ascontiguousarray(array.swapaxes(-3, -2), dtype)
    return turned.reshape(*array.shape[:-3], -1)


def to_file_order(raster: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """The (h, w, c) view of a raster, as picture files hold it."""
    width, height, channels = shape
    return raster.reshape(height, width, channels)


def to_picture(raster: NDArray[Any], alpha: NDArray[Any] | None, shape: Shape) -> NDArray[Any]:
    """A raster in file order, (h, w, c), with its alpha channel, (h * w,), as the last.

    Alpha is brought to the dtype of the raster: the whole range of integers, [0, 1] of floats.
    """
    pixels = to_file_order(raster, shape)
    if alpha is None:
        return pixels
    plane = alpha.reshape(*pixels.shape[:2], 1)
    if plane.dtype != pixels.dtype:
        plane = _in_dtype(plane, pixels.dtype)
    return np.concatenate([pixels, plane], axis=2)


def _in_dtype(alpha: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind != "f" else 1
    if dtype.kind != "u":
        return (alpha / np.float64(opaque)).astype(dtype)
    white = np.iinfo(dtype).max
    if alpha.dtype == np.float16:  # it ends below 65535
        alpha = alpha.astype(np.float32)
    return np.clip(np.rint(alpha * (white / opaque)), 0, white).astype(dtype)
