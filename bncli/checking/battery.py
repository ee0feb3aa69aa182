"""The questions that are put to a target beside the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bncli.checking.layouts import Shape
from bncli.checking.question import (
    PROBE_SHAPE,
    SECOND_SHAPE,
    Array,
    Question,
    draw_batch,
    draw_delta,
    draw_parameters,
)
from bncli.checking.session import Target

Sizes = tuple[int, int, int, int]
_SHAPES: tuple[Sizes, ...] = ((16, 5, 5, 3), (8, 4, 4, 1), (3, 33, 32, 1), (70, 2, 3, 2))
"""Many pictures and few, square and not, one channel and several, more pixels than pictures."""

_EXTREME = ((16, 5, 5, 3), (70, 2, 3, 2))
_CONSTANT = (8, 4, 4, 1)
LAST = 3
_MORE_CHANNELS = 4


def fitting(shape: Sizes, probe: Shape, *, fixed: bool) -> Sizes:
    """*shape*, with what a layer of fixed width cannot have changed to what *probe* has."""
    batch, width, height, channels = shape
    if fixed or probe[1:3] != PROBE_SHAPE[1:3]:
        _, width, height, channels = probe
    elif probe[3] != PROBE_SHAPE[3]:
        channels = probe[3]
    return batch, width, height, channels


def ask(
    target: Target, shape: Sizes, seed: int, eps: float, axes: tuple[int, ...],
    *, x: Array | None = None, extreme: bool = False,
    variances: tuple[float, ...] = (0.0, 1.0, 100.0),
) -> Question:  # fmt: skip
    """A random question to a target.

    Args:
        target: whose parameters are drawn.
        shape: (batch, w, h, c).
        seed: of everything random.
        eps: that the layer adds to the variance.
        axes: over which it reduces.
        x: the batch; None is a random one, in which some groups have tiny variances.
        extreme: with parameters that are 0, large and tiny.
        variances: that some groups have, in units of eps.

    Raises:
        TargetFailure: it cannot be made for that shape.
    """
    parameters = draw_parameters(target.parameter_shapes(shape), seed, extreme=extreme)
    if x is not None:
        return Question(x, draw_delta(shape, seed), parameters, eps, axes)
    drawn = Question(
        draw_batch(shape, seed, eps, axes, variances),
        draw_delta(shape, seed),
        parameters,
        eps,
        axes,
    )
    # Single precision can hold it all, so both precisions are asked the same question.
    return drawn.to(np.float32).to(np.float64)


def battery(
    target: Target, probe: Shape, seed: int, eps: float, axes: tuple[int, ...]
) -> Iterator[Question]:
    """The questions that every target is asked, beside one at the shape of *probe*.

    Raises:
        TargetFailure: it cannot be made for one of the shapes; there are no more then.
    """
    for sizes in _SHAPES:
        shape = fitting(sizes, probe, fixed=target.maker.fixed)
        if axes == (LAST,) and not target.maker.fixed and probe[:LAST] == PROBE_SHAPE[:LAST]:
            batch, width, height, _ = shape
            shape = (batch, width, height, sizes[LAST] + _MORE_CHANNELS)
        found = ask(target, shape, seed, eps, axes, extreme=sizes in _EXTREME)
        if sizes == _CONSTANT:
            found = replace(found, delta=np.ones(shape))
        yield found


def second_shapes(probe: Shape) -> tuple[Sizes, ...]:
    """Shapes at which a count that fits *probe* by chance is found out, the best first."""
    batch, width, height, channels = SECOND_SHAPE
    return (
        (batch, width, height, channels),
        (batch, width, height, probe[3]),
        (batch, *probe[1:]),  # type: ignore[return-value]
    )
