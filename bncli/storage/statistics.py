"""stats.npz: the statistics of a batch, which describe themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.storage.arrays import members_bytes

FORMAT = "bncli.stats/1"


def statistics_bytes(facts: Mapping[str, Any], planes: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a stats.npz.

    Args:
        facts: what describes the batch, as JSON knows it.
        planes: the moments, and gamma and beta where they are no plain numbers; each (w, h, c).
    """
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    narrowed = {name: _narrowed(plane) for name, plane in planes.items()}
    return members_bytes({"facts": np.frombuffer(text.encode(), np.uint8), **narrowed})


def _narrowed(plane: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in 32 bits where they are integers that fit: half the file."""
    fits = plane.dtype == np.uint64 and int(plane.max()) < 1 << 32
    return plane.astype(np.uint32) if fits else plane
