"""What was fitted once and is used again: statistics, their layer, and how pictures were read."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.moments import PixelMoments, PixelStatistics
from bncli.batchnorm.statistics import (
    RunningStatistics,
    RunningView,
    UnbiasedMoments,
    restored_moments,
)
from bncli.errors import ArrayError, SinglePictureError
from bncli.files import open_regular
from bncli.images.layout import to_array, to_raster
from bncli.images.policy import ReadPolicy
from bncli.runs.parameters import Parameter
from bncli.runs.reading import Batch
from bncli.runs.source import ArrayBatch, Source
from bncli.storage.arrays import naming
from bncli.storage.statistics import (
    Facts,
    Picture,
    Running,
    read_statistics,
    write_statistics,
)
from bncli.version import __version__

Raster = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The content of a stats.npz.

    Attributes:
        facts: what it says of itself.
        moments: of all pictures that were taken in.
        gamma, beta: of the layer.
        running: running mean and variance in value scale, each (pixels,), or None.
        pictures: that were taken in.
    """

    facts: Facts
    moments: PixelMoments
    gamma: Parameter
    beta: Parameter
    running: tuple[Raster, Raster] | None
    pictures: list[Picture]

    def statistics(self) -> PixelStatistics:
        """Mean and variance as they are to be used: running, unbiased, or of the batch.

        Raises:
            SinglePictureError: they are of one picture.
        """
        if self.running is not None:
            return RunningView(self.moments, *self.running, self.facts.unit)
        if self.facts.count == 1:
            raise SinglePictureError(
                f"{self.pictures[0].name}: it is the only picture in the statistics, so every "
                "variance is 0; merge them with others first"
            )
        return UnbiasedMoments(self.moments) if self.facts.ddof else self.moments

    def policy(self, asked: ReadPolicy) -> ReadPolicy:
        """How further pictures are to be read so that they go with these."""
        facts = self.facts
        return replace(asked, mode=facts.mode, alpha=facts.alpha, resize=facts.resize)

    def write(self, file: BinaryIO) -> None:
        """Write it as a stats.npz; the same content gives the same bytes."""
        planes = self.moments.planes()
        named = {"gamma": self.gamma.values, "beta": self.beta.values}
        if self.running is not None:
            named["running_mean"], named["running_variance"] = self.running
        planes |= {name: named[name] for name in self.facts.plane_names() if name in named}
        arrays = {name: to_array(plane, self.facts.shape) for name, plane in planes.items()}
        write_statistics(file, self.facts, arrays, self.pictures)


def source_facts(
    source: Source, gamma: Parameter, beta: Parameter, eps: float,
    ddof: int = 0, running: Running | None = None,
) -> Facts:  # fmt: skip
    """What is to be saved of a source beside its numbers; its pictures need not have been read."""
    policy, shape = source.policy, source.shape
    orders = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    return Facts(
        count=len(source.names),
        shape=shape,
        dtype=source.dtype.name,
        unit=source.unit,
        channel_order="as given" if isinstance(source, ArrayBatch) else orders[shape[2]],
        orientation="upright",
        mode=policy.mode,
        alpha=policy.alpha,
        resize=policy.resize,
        eps=float(eps),
        ddof=ddof,
        gamma=_origin(gamma),
        beta=_origin(beta),
        running=running,
        bncli=__version__,
    )


def fitted_batch(
    source: Source, batch: Batch, facts: Facts, gamma: Parameter, beta: Parameter,
    running: RunningStatistics | None = None,
) -> Fitted:  # fmt: skip
    """What is to be saved of a batch whose pictures have all been read.

    Args:
        source, batch: the pictures, and their moments.
        facts: of the source.
        gamma, beta: of the layer.
        running: running statistics, where they were asked for.
    """
    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    planes = None if running is None else (running.mean, running.variance)
    pictures = [
        Picture(source.names[index], digest.hex())
        for index, digest in zip(batch.indexes, batch.digests, strict=True)
    ]
    facts = replace(facts, count=batch.moments.count)
    return Fitted(facts, batch.moments, gamma, beta, planes, pictures)


def load_fitted(path: Path) -> Fitted:
    """Read a stats.npz that anybody may have made.

    Raises:
        DataError: it is no such file, or holds what no pictures can have.
        LimitError: it is of too many pictures.
    """
    facts, arrays, pictures = read_statistics(path)
    rasters = {name: to_raster(arrays.pop(name)) for name in facts.plane_names()}
    with naming(path):
        gamma = _parameter(facts.gamma, rasters.pop("gamma", None), facts.shape)
        beta = _parameter(facts.beta, rasters.pop("beta", None), facts.shape)
        running = None
        if facts.running is not None:
            running = (rasters.pop("running_mean"), rasters.pop("running_variance"))
            if not (running[1] >= 0).all():
                raise ArrayError("its running_variance is negative; it is damaged or not bncli's")
        moments = restored_moments(facts.count, np.dtype(facts.dtype), rasters)
    return Fitted(facts, moments, gamma, beta, running, pictures)


def statistics_digest(path: Path) -> str:
    """SHA-256 of a stats.npz, hexadecimal: it says which statistics pictures were made with."""
    with naming(path), open_regular(path) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _origin(parameter: Parameter) -> float | str:
    if parameter.number is not None:
        return parameter.number
    return "random" if parameter.random else "array"


def _parameter(origin: float | str, plane: Raster | None, shape: tuple[int, int, int]) -> Parameter:
    if plane is not None:
        return Parameter(plane, str(origin))
    number = float(origin)
    return Parameter(np.broadcast_to(np.float64(number), math.prod(shape)), repr(number), number)
