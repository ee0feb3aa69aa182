"""stats.npz: the statistics of a batch, which describe themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.storage.arrays import write_members

FORMAT = "bncli.stats/1"


def write_statistics(
    file: BinaryIO, facts: Mapping[str, Any], planes: Mapping[str, NDArray[Any]]
) -> None:
    """Write a stats.npz.

    Args:
        file: open for writing.
        facts: what describes the batch, as JSON knows it.
        planes: the moments, and gamma and beta where they are no plain numbers; each (w, h, c).
    """
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    narrowed = {name: _narrowed(plane) for name, plane in planes.items()}
    write_members(file, {"facts": np.frombuffer(text.encode(), np.uint8), **narrowed})


def _narrowed(plane: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in 32 bits where they are integers that fit: half the file."""
    fits = plane.dtype == np.uint64 and int(plane.max()) < 1 << 32
    return plane.astype(np.uint32) if fits else plane
