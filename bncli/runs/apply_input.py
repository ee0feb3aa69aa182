"""What apply reads: pictures that go with the statistics, in the memory that there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bncli.errors import ImageError
from bncli.images.formats import FORMATS
from bncli.runs.asked import Asked
from bncli.runs.plan import (
    PLANES_BYTES,
    SHOW_BYTES,
    Needs,
    Plan,
    limits_of,
    moments_bytes,
    plan_for,
)
from bncli.runs.source import Source
from bncli.storage.statistics import Facts


def check_goes_with(facts: Facts, source: Source, path: Path) -> None:
    """Refuse pictures that the statistics are not of.

    Raises:
        ImageError: they differ; the message names the field and both values.
    """
    name, (width, height, channels) = source.names[0], source.shape
    floats = source.dtype.kind == "f" and np.dtype(facts.dtype).kind == "f"
    size = "{}x{}".format(*facts.shape[:2])
    pairs = {
        "dtype": (facts.dtype if floats else source.dtype.name, facts.dtype),
        "value scale": (f"1 at {source.unit:g}", f"1 at {facts.unit:g}"),
        f"number of channels (mode {facts.mode}, alpha {facts.alpha})": (channels, facts.shape[2]),
        "size": (f"{width}x{height}", size),
    }
    for field, (given, wanted) in pairs.items():
        if given != wanted:
            raise ImageError(
                f"{name}: its {field} is {given}, but {path} is of {wanted}; fit pictures like it",
                paths=(name, str(path)),
            )


def apply_plan(request: Asked, facts: Facts, source: Source) -> Plan:
    """Memory, disk and workers of a run.

    Raises:
        LimitError: it needs more memory than this process may use.
    """
    value, kind = source.dtype.itemsize, request.output.picture_format
    parameters = 8 * sum(isinstance(origin, str) for origin in (facts.gamma, facts.beta))
    moments, levels = moments_bytes(value), 16 * (kind == "png")

    def pixel_bytes(jobs: int, _block: int) -> int:
        under_way = jobs * (9 * value + FORMATS[kind].working_bytes(value))
        return parameters + PLANES_BYTES + max(2 * moments + 8, levels + under_way)

    written = {"png": 2 * value, "tiff": 4, "npy": 8}[kind]
    disk = len(source.names) * source.shape[0] * source.shape[1] * source.shape[2] * written
    limits = limits_of(request.policy.max_pixels, request.max_memory)
    drawn = SHOW_BYTES * bool(request.show.files)
    needs = Needs(request.jobs, limits, pixel_bytes, (0, disk), fixed_bytes=drawn)
    return plan_for(source, needs)
