"""The layouts in which a layer may take its arrays: there, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bncli.checking.question import Array

LAYOUTS = ("image", "flat")
"""(batch, w, h, c) and (batch, pixels), in the order in which they are tried."""


def laid_out(batch: Array, layout: str) -> Array:
    """A batch (batch, w, h, c) as the layer takes it."""
    return batch.reshape(len(batch), -1) if layout == "flat" else batch


def parameter_laid_out(parameter: Array, layout: str) -> Array:
    """Gamma or beta (w, h, c) as the layer takes it."""
    return parameter.reshape(-1) if layout == "flat" else parameter


def in_image_layout(value: Any, layout: str, shape: tuple[int, ...]) -> Any:
    """A gradient for a batch of *shape*, if it is an array of fitting size; else as it came."""
    if not isinstance(value, np.ndarray) or layout != "flat":
        return value
    if value.size == math.prod(shape) and value.shape[0] == shape[0]:
        return value.reshape(shape)
    return value.reshape(shape[1:]) if value.size == math.prod(shape[1:]) else value
