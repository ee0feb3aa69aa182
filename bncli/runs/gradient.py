"""The gradient of the input, a picture at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bncli.batchnorm.gradients import InputGradient
from bncli.images.layout import Shape, to_array
from bncli.runs.reading import DeltaRows
from bncli.storage.rows import RowWriter

Raster = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Gradient:
    """What the gradient of the input needs and where it goes.

    Attributes:
        delta: gives the delta of one picture.
        input: gives the gradient of one picture.
        out: (batch, w, h, c), receives the gradients, a picture at a time.
    """

    delta: DeltaRows
    input: InputGradient
    out: RowWriter

    def write(self, position: int, x: Raster, shape: Shape) -> Raster:
        """Write the gradient of one picture; returns it, (pixels,)."""
        gradient = self.input.of(self.delta(position), x)
        self.out.write(position, to_array(gradient, shape))
        return gradient
