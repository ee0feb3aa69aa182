"""Forward, backward and update of one tile: arrays in, arrays out, no input or output, no state.

A tile is some pixels of the whole batch, shape (batch, pixels). The formulas are those of Ioffe &
Szegedy, "Batch Normalization" (2015), section 3, per activation; the backward is theirs with the
chain rule written out and the terms collected.

Every function is analytic, so that a complex step through it gives exact derivatives: squares
are products, never absolute values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
"""Floating-point or complex numbers of any precision."""

_PIVOT_PICTURES = 4

BLOCK_PICTURES = 8
"""That the backward holds at once: so few that they stay in cache, however long the rows are."""


class TileMoments(NamedTuple):
    """Per-pixel statistics of a tile, each of shape (pixels,).

    The mean is ``pivot + offset``: near 1e6 a float32 mean alone would have lost the digits that
    matter.
    """

    pivot: Numbers
    offset: Numbers
    variance: Numbers
    inv_std: Numbers


def forward_tile(
    x: Numbers, gamma: Numbers, beta: Numbers, eps: float, out: Numbers
) -> TileMoments:
    """Write ``y = gamma * x_norm + beta`` into *out*.

    Args:
        x: (batch, pixels), left untouched.
        gamma, beta: (pixels,), scale and shift.
        eps: added to the variance (divided by batch, not by batch - 1) under the root.
        out: (batch, pixels), may not overlap *x*.

    Returns:
        The statistics of the tile. A pixel that is the same in all pictures has variance exactly
        0, whatever its value, and its y is exactly beta.
    """
    batch = len(x)
    pivot = _pivot(x)
    work = np.empty(x.shape, x.dtype)
    np.subtract(x, pivot, out=work)
    # The tile is still in cache: sum and square it now, not in further passes over x.
    offset = np.add.reduce(work, axis=0) / batch
    # Near the pivot hardly a digit cancels here: the offset is at most sqrt(batch) / 4 deviations.
    variance = np.einsum("bp,bp->p", work, work) / batch - offset * offset
    if variance.dtype.kind == "f":
        np.maximum(variance, 0, out=variance)
    inv_std = 1 / np.sqrt(variance + eps)
    scale = gamma * inv_std
    np.multiply(work, scale, out=work)
    np.add(work, beta - offset * scale, out=out)
    return TileMoments(pivot, offset, variance, inv_std)


def normalize_tile(x: Numbers, moments: TileMoments, out: Numbers) -> None:
    """Write ``x_norm = (x - mean) * inv_std`` into *out*.

    Args:
        x: (batch, pixels), left untouched.
        moments: what the forward returned for this tile.
        out: (batch, pixels), may be *x*.
    """
    np.subtract(x, moments.pivot, out=out)
    np.subtract(out, moments.offset, out=out)
    np.multiply(out, moments.inv_std, out=out)


def backward_tile(
    delta: Numbers, x: Numbers, moments: TileMoments, gamma: Numbers, out: Numbers
) -> tuple[Numbers, Numbers]:
    """Write the gradient with respect to the input into *out*.

    Two passes over the pictures, a block of them at a time: memory is read in long rows, which is
    faster than to keep a narrow tile of all pictures in cache.

    Args:
        delta: (batch, pixels), gradient of the loss with respect to y; may be *out*.
        x: (batch, pixels), the input of the forward, left untouched.
        moments: what the forward returned for this tile.
        gamma: (pixels,).
        out: (batch, pixels), may be *delta*, may not overlap *x*.

    Returns:
        grad_gamma and grad_beta, each (pixels,): ``sum_b delta * x_norm`` and ``sum_b delta``.
    """
    pixels, dtype = x.shape[1], np.result_type(x, delta)
    work = np.empty((min(len(x), BLOCK_PICTURES), pixels), dtype)
    grad_beta, products = np.zeros((2, pixels), dtype)
    blocks = [slice(i, i + BLOCK_PICTURES) for i in range(0, len(x), BLOCK_PICTURES)]
    for block in blocks:
        centred = np.subtract(x[block], moments.pivot, out=work[: len(x[block])])
        grad_beta += np.add.reduce(delta[block], axis=0)
        products += np.einsum("bp,bp->p", delta[block], centred)
    grad_gamma = (products - moments.offset * grad_beta) * moments.inv_std
    # x_norm is never written out: (centred - offset) * inv_std is folded into slope and constant.
    slope = grad_gamma * moments.inv_std / -len(x)
    constant = grad_beta / -len(x) - moments.offset * slope
    scale = gamma * moments.inv_std
    for block in reversed(blocks):  # what was read last is still in cache
        centred = np.subtract(x[block], moments.pivot, out=work[: len(x[block])])
        input_gradient(delta[block], centred, slope, constant, scale, out[block])
    return grad_gamma, grad_beta


def input_gradient(
    delta: Numbers, centred: Numbers, slope: Numbers, constant: Numbers, scale: Numbers,
    out: Numbers,
) -> None:  # fmt: skip
    """Write ``scale * (delta + centred * slope + constant)`` into *out*.

    With ``centred = x - mean``, ``slope = -inv_std * grad_gamma / B``, ``scale = gamma * inv_std``
    and ``constant = -grad_beta / B`` that is the gradient with respect to the input.

    Args:
        delta: (any number of pictures, pixels), left untouched unless it is *out*.
        centred: as *delta*; overwritten.
        slope, constant, scale: (pixels,).
        out: as *delta*, may be *delta* itself.
    """
    np.multiply(centred, slope, out=centred)
    np.add(centred, delta, out=centred)
    np.add(centred, constant, out=centred)
    np.multiply(centred, scale, out=out)


def _pivot(x: Numbers) -> Numbers:
    """A value near the mean of every pixel, and equal to it where all pictures are equal."""
    if len(x) < _PIVOT_PICTURES:
        first: Numbers = x[0]
        return first
    # Quarters first: the sum of four equal ones is exact, and cannot overflow.
    quarters = x[:_PIVOT_PICTURES] * x.dtype.type(1 / _PIVOT_PICTURES)
    pivot: Numbers = (quarters[0] + quarters[1]) + (quarters[2] + quarters[3])
    return pivot


def descend(
    parameter: Numbers, gradient: Numbers, velocity: Numbers,
    momentum: float, decay: float, rate: float,
) -> tuple[Numbers, Numbers]:  # fmt: skip
    """One step of gradient descent with momentum and weight decay.

    ``v = momentum * v + gradient + decay * parameter;  parameter = parameter - rate * v``, which
    is torch.optim.SGD with dampening 0 and nesterov off.

    Returns:
        The new parameter and the new velocity; the arguments are left untouched.
    """
    velocity = momentum * velocity + (gradient + decay * parameter)
    return parameter - rate * velocity, velocity
