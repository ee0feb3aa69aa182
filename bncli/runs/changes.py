"""What is done to every picture: statistics applied to it, or its pixel values restored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.inverse import Inverse, Restored
from bncli.batchnorm.levels import Levels, Scale, ToLevels, black_and_white, own_levels
from bncli.batchnorm.moments import PixelStatistics
from bncli.batchnorm.transform import Survey, Transform
from bncli.errors import NonFiniteError
from bncli.runs.plan import normalized_dtype
from bncli.runs.run import Run
from bncli.runs.summary import Scaling
from bncli.storage.arrays import narrowed
from bncli.travels import travels

if TYPE_CHECKING:  # most runs draw nothing
    from bncli.drawing.gallery import Gallery

Raster = NDArray[Any]


@travels
@dataclass(frozen=True, slots=True)
class Clipped:
    """Values that were clipped, for each channel."""

    counts: tuple[int, ...]

    def __add__(self, other: Clipped) -> Clipped:
        return Clipped(tuple(map(sum, zip(self.counts, other.counts, strict=True))))


@dataclass(frozen=True, slots=True)
class Applying:
    """From a picture to its pixel values, or to y itself.

    Attributes:
        channels: of the picture.
        levels: gives the pixel values, of formats that hold such.
        transform: gives y, of the others.
        dtype: that y is rounded to, or None where whoever writes it does that.
    """

    channels: int
    levels: ToLevels | None
    transform: Transform | None
    dtype: np.dtype[Any] | None

    @property
    def nothing(self) -> Clipped:
        """No value was clipped."""
        return Clipped((0,) * self.channels)

    def __call__(self, x: Raster) -> tuple[Raster, Clipped]:
        """The values of one picture, and how many were clipped."""
        if self.levels is not None:
            values, clipped = self.levels(x)
            return values, self._by_channel(clipped)
        assert self.transform is not None  # noqa: S101 - it is one or the other
        y = self.transform.y(x)
        return y if self.dtype is None else narrowed(y, self.dtype), self.nothing

    def facts(self, note: Clipped) -> dict[str, Any]:
        """A note as JSON knows it."""
        return {"clipped": list(note.counts)}

    def noted(self, facts: Mapping[str, Any]) -> Clipped | None:
        """The note whose facts these are, or None."""
        counts = facts.get("clipped")
        if not isinstance(counts, list) or [type(n) for n in counts] != [int] * self.channels:
            return None
        return Clipped(tuple(counts)) if min(counts) >= 0 else None

    def _by_channel(self, clipped: Raster | None) -> Clipped:
        if clipped is None:
            return self.nothing
        counts = np.count_nonzero(clipped.reshape(-1, self.channels), axis=0)
        return Clipped(tuple(map(int, counts)))


@dataclass(frozen=True, slots=True)
class Restoring:
    """From a normalized picture to the pixel values it had.

    Attributes:
        inverse: gives them.
    """

    inverse: Inverse

    @property
    def nothing(self) -> Restored:
        """Nothing is off."""
        return Restored()

    def __call__(self, stored: Raster) -> tuple[Raster, Restored]:
        """The values of one picture, and by how much they can be off."""
        return self.inverse.restore(stored)

    def facts(self, note: Restored) -> dict[str, Any]:
        """A note as JSON knows it."""
        return {"restored": asdict(note)}

    def noted(self, facts: Mapping[str, Any]) -> Restored | None:
        """The note whose facts these are, or None."""
        found = facts.get("restored")
        names = [each.name for each in fields(Restored)]
        if not isinstance(found, dict) or list(found) != names:
            return None
        error, *counts = found.values()
        sound = type(error) is float and 0 <= error < math.inf
        sound = sound and all(type(count) is int and count >= 0 for count in counts)
        return Restored(error, *counts) if sound else None


def applying(
    run: Run, transform: Transform, found: Survey, *, others: bool
) -> tuple[Applying, Scaling]:
    """What normalizes the pictures of a run, and how their y become the numbers of files.

    Args:
        run: the run.
        transform, found: what is done to each pixel, and what is known of the statistics behind it.
        others: whether the pictures may be others than those of the statistics.
    """
    asked, channels = run.asked, run.source.shape[2]
    written, dtype = run.format, normalized_dtype(asked, run.source.dtype)
    if not written.levels:
        stored = None if run.array else dtype
        scaling = Scaling("none", asked.format, None, None, None)
        return Applying(channels, None, transform, stored), scaling
    scale, depth = _scale(run), 8 * dtype.itemsize
    if scale.kind == "image":
        levels = own_levels(transform, dtype)
        return Applying(channels, levels, None, None), Scaling(
            "image", asked.format, depth, None, None
        )
    low, high = black_and_white(scale, found)
    straight = Levels(low, high, dtype).straight(transform, run.engine.threads, revived=others)
    scaling = Scaling(scale.kind, asked.format, depth, low, high)
    return Applying(channels, straight, None, None), scaling


def check_finite(found: Survey) -> None:
    """Raise NonFiniteError if y overflows."""
    if not all(np.isfinite([c.low, c.high, c.std]).all() for c in found.channels):
        raise NonFiniteError("y overflows: gamma, beta or the pictures are too large; rescale them")


def gallery_of(
    run: Run, names: Sequence[str], transform: Transform, found: Survey, moments: PixelStatistics
) -> Gallery | None:
    """What sees the pictures of a run pass by, where something is to be drawn of them.

    Args:
        run: the run.
        names: of the pictures of the batch.
        transform, found, moments: of the statistics they are normalized with.
    """
    if run.asked.dry_run or not run.asked.drawing.files:
        return None
    from bncli.drawing.gallery import Gallery, Subject

    scale, source = _scale(run), run.source
    y_range = black_and_white(Scale("minmax"), found)
    ends: tuple[float, float] | None = y_range
    if run.format.levels:
        ends = None if scale.kind == "image" else black_and_white(scale, found)
    subject = Subject(
        names=names,
        shape=source.shape,
        dtype=source.dtype,
        transform=transform,
        y_range=y_range,
        black_white=ends,
        alpha_last=source.policy.alpha == "normalize" and source.shape[2] in {2, 4},
    )
    return Gallery(subject, moments)


def _scale(run: Run) -> Scale:
    assert run.asked.scale is not None  # noqa: S101 - only invert may leave it to its input
    return run.asked.scale
