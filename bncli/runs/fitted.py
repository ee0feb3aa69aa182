"""What was fitted once and is used again: statistics, their layer, and how pictures were read."""

from __future__ import annotations

import math
from concurrent.futures import Executor
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
from bncli.batchnorm.transform import Survey, Transform, survey
from bncli.errors import ArrayError, SinglePictureError
from bncli.images.layout import to_array, to_raster
from bncli.images.policy import ReadPolicy
from bncli.packed import Picked
from bncli.runs.parameters import Layer, Parameter
from bncli.runs.reading import Batch
from bncli.runs.source import ArrayBatch, Source
from bncli.storage.arrays import naming
from bncli.storage.statistics import (
    Facts,
    Pictures,
    Running,
    read_statistics,
    write_statistics,
)
from bncli.version import __version__

Raster = NDArray[Any]

STATS = "stats.npz"


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
    pictures: Pictures

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

    def transform(self, executor: Executor) -> tuple[Transform, Survey]:
        """What is done to each pixel, and what is known of the pictures behind it.

        Raises:
            SinglePictureError: the statistics are of one picture.
        """
        return self.transform_by(self.statistics(), executor)

    def transform_by(
        self, statistics: PixelStatistics, executor: Executor
    ) -> tuple[Transform, Survey]:
        """The same with these statistics in place of its own."""
        facts = self.facts
        transform = Transform.blank(self.gamma.values, self.beta.values, facts.unit)
        return transform, survey(statistics, transform, facts.eps, facts.shape[2], executor)

    def policy(self, asked: ReadPolicy) -> ReadPolicy:
        """How further pictures are to be read so that they go with these, and as is asked."""
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
    source: Source, layer: Layer, ddof: int = 0, running: Running | None = None
) -> Facts:
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
        eps=float(layer.eps),
        ddof=ddof,
        gamma=layer.gamma.saved,
        beta=layer.beta.saved,
        running=running,
        bncli=__version__,
    )


def fit_batch(
    source: Source, batch: Batch, layer: Layer, facts: Facts,
    running: RunningStatistics | None = None,
) -> Fitted:  # fmt: skip
    """What is to be saved of a batch whose pictures have all been read.

    Args:
        source, batch: the pictures, and their moments.
        layer: with gamma and beta.
        facts: of the source.
        running: running statistics, where they were asked for.
    """
    assert batch.moments is not None  # noqa: S101 - the first pass has just ended
    planes = None if running is None else (running.mean, running.variance)
    pictures = Pictures(Picked(source.names, batch.indexes), batch.digests)
    facts = replace(facts, count=batch.moments.count)
    return Fitted(facts, batch.moments, layer.gamma, layer.beta, planes, pictures)


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


def _parameter(origin: float | str, plane: Raster | None, shape: tuple[int, int, int]) -> Parameter:
    if plane is not None:
        return Parameter(plane, str(origin))
    number = float(origin)
    return Parameter(np.broadcast_to(np.float64(number), math.prod(shape)), repr(number), number)
