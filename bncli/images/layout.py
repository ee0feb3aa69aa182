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
