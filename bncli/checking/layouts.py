"""The layouts in which a layer may take its arrays: there, and back."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from bncli.checking.question import Array

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """One of them.

    Attributes:
        name: on the command line.
        words: its axes.
        axes: for each of its axes, those of (batch, w, h, c) that it is made of.
        features: which of its axes is as wide as the layer.
    """

    name: str
    words: str
    axes: tuple[tuple[int, ...], ...]
    features: int

    def shape(self, shape: Shape) -> Shape:
        """Of a batch (batch, w, h, c) as the layer takes it."""
        return tuple(math.prod(shape[axis] for axis in merged) for merged in self.axes)

    def there(self, batch: Array) -> Array:
        """A batch (batch, w, h, c) as the layer takes it."""
        order = [axis for merged in self.axes for axis in merged]
        return batch.transpose(order).reshape(self.shape(batch.shape))

    def back(self, array: Array, shape: Shape) -> Array:
        """An array of the layer's axes, of length 1 or that of *shape*, as (batch, w, h, c).

        Args:
            array: with as many axes as the layout.
            shape: of the batch; an axis of length 1 stays one.
        """
        order = [axis for merged in self.axes for axis in merged]
        lengths: list[int] = []
        for length, merged in zip(array.shape, self.axes, strict=True):
            full = [shape[axis] for axis in merged]
            lengths += full if length == math.prod(full) else [1] * len(merged)
        return array.reshape(lengths).transpose(np.argsort(order))

    def axes_of(self, parameter: Shape, shape: Shape) -> tuple[int, ...] | None:
        """The axes of the layout that a parameter has, for a batch of *shape*; None if none fit.

        The lengths of a probe differ, so that there is one answer.
        """
        laid = self.shape(shape)
        lengths = tuple(length for length in parameter if length != 1)
        if not lengths:
            return ()
        for count in range(1, len(laid) + 1):
            for axes in combinations(range(len(laid)), count):
                own = tuple(laid[axis] for axis in axes if laid[axis] != 1)
                if own == lengths or (len(lengths) == 1 and lengths[0] == math.prod(own)):
                    return axes
        return None

    def wide(self, parameter: Array, axes: tuple[int, ...], shape: Shape) -> Array:
        """A parameter in the axes (batch, w, h, c), of length 1 where it has none."""
        laid = self.shape(shape)
        lengths = [laid[axis] if axis in axes else 1 for axis in range(len(laid))]
        return self.back(parameter.reshape(lengths), shape)


_LAYOUTS = (
    Layout("image", "(batch, w, h, c)", ((0,), (1,), (2,), (3,)), 3),
    Layout("nchw", "(N, C, H, W)", ((0,), (3,), (2,), (1,)), 1),
    Layout("flat", "(N, D)", ((0,), (1, 2, 3)), 1),
    Layout("ntd", "(N, T, D)", ((0,), (1, 2), (3,)), 2),
    Layout("nhwc", "(N, H, W, C)", ((0,), (2,), (1,), (3,)), 3),
    Layout("dn", "(D, N)", ((1, 2, 3), (0,)), 0),
)
LAYOUTS = {layout.name: layout for layout in _LAYOUTS}
"""In the order in which they are tried."""

LAST_RESORT = ("nhwc", "dn")
"""Tried where no other serves: (N, H, W, C) is (batch, w, h, c) in all but the names."""


def parameter_shapes(layout: Layout, shape: Shape) -> tuple[Shape, ...]:
    """The shapes that gamma and beta may have where it is for us to choose, likeliest first."""
    laid = layout.shape(shape)
    width = laid[layout.features]
    kept = tuple(width if axis == layout.features else 1 for axis in range(len(laid)))
    shapes = {"image": [laid[1:]], "nhwc": [laid[1:]], "dn": [kept]}.get(layout.name, [])
    return tuple(dict.fromkeys([*shapes, (width,), kept]))


def without_ones(shape: Shape) -> Shape:
    """A shape without its axes of length 1, which make no difference."""
    return tuple(length for length in shape if length != 1)


def reshaped(array: Any, shape: Shape) -> Array | None:
    """An array in *shape* if no more than axes of length 1 differ; else None."""
    if isinstance(array, np.ndarray) and without_ones(array.shape) == without_ones(shape):
        return array.reshape(shape)
    return None
