"""How values are spread over a range: counts in bins of one width, added up a picture at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bncli.batchnorm.tiling import Raster
from bncli.travels import travels

BINS = 64
_MOST_CHANNELS = 4


@travels
@dataclass(slots=True)
class Histogram:
    """Counts of values, for each channel; of more than four channels, for all together.

    Attributes:
        low, high: the range of the bins; what lies outside counts in the first or last.
        channels: of the pictures.
        counts: (channels or 1, bins), int64.
        outside: how many values lay outside.
    """

    low: float
    high: float
    channels: int
    counts: NDArray[np.int64] = field(init=False)
    outside: int = 0

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.series, BINS), np.int64)

    @property
    def series(self) -> int:
        """How many lines there are to draw."""
        return self.channels if self.channels <= _MOST_CHANNELS else 1

    def empty(self) -> Histogram:
        """Another of the same range, with nothing counted."""
        return Histogram(self.low, self.high, self.channels)

    def add(self, values: Raster) -> None:
        """Count values of whole pixels, (pixels,), channels side by side."""
        if values.min() < self.low or values.max() > self.high:
            self.outside += int(np.count_nonzero((values < self.low) | (values > self.high)))
        # Quarters: the width of a range near the end of floats would be infinite.
        low, width = self.low / 4, self.high / 4 - self.low / 4
        places = values / 4
        places -= low
        places /= width if width > 0 else np.inf
        places *= BINS
        np.clip(places, 0, BINS - 1, out=places)
        bins = places.astype(np.intp)
        for series in range(self.series):
            self.counts[series] += np.bincount(bins[series :: self.series], minlength=BINS)

    def add_levels(self, levels: NDArray[Any]) -> None:
        """Count pixel values, uint8 or uint16, whose whole range is that of the bins."""
        count = np.iinfo(levels.dtype).max + 1
        for series in range(self.series):
            each = np.bincount(levels[series :: self.series], minlength=count)
            self.counts[series] += each.reshape(BINS, -1).sum(axis=1)

    def join(self, other: Histogram) -> None:
        """Add the counts of another of the same range."""
        self.counts += other.counts
        self.outside += other.outside
