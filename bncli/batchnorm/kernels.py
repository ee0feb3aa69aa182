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


class TileMoments(NamedTuple):
    """Per-pixel statistics of a tile, each of shape (pixels,).

    The mean is ``pivot + offset``, with the first picture as the pivot: near 1e6 a float32 mean
    alone would have lost the digits that matter.
    """

    offset: Numbers
    variance: Numbers
    inv_std: Numbers


def center_tile(x: Numbers, pivot: Numbers, offset: Numbers, out: Numbers) -> None:
    """Write ``x - mean`` into *out*, where the mean is ``pivot + offset``.

    Args:
        x: (batch, pixels), left untouched.
        pivot, offset: (pixels,), the two parts of the mean.
        out: (batch, pixels), may be *x*.
    """
    np.subtract(x, pivot, out=out)
    np.subtract(out, offset, out=out)


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
    work = np.empty(x.shape, x.dtype)
    # Against the first picture, not 0: equal values cancel exactly, and large ones keep their bits.
    np.subtract(x, x[0], out=work)
    offset = np.add.reduce(work, axis=0) / len(x)
    np.subtract(work, offset, out=work)
    # The centred tile is still in cache: square it now, not in a second pass over x.
    variance = np.einsum("bp,bp->p", work, work) / len(x)
    inv_std = 1 / np.sqrt(variance + eps)
    np.multiply(work, gamma * inv_std, out=work)
    np.add(work, beta, out=out)
    return TileMoments(offset, variance, inv_std)


def gradient_sums(delta: Numbers, x_norm: Numbers) -> tuple[Numbers, Numbers]:
    """Gradients of gamma and beta: ``sum_b delta * x_norm`` and ``sum_b delta``, each (pixels,).

    Args:
        delta: (batch, pixels), gradient of the loss with respect to y.
        x_norm: (batch, pixels).
    """
    return np.einsum("bp,bp->p", delta, x_norm), np.add.reduce(delta, axis=0)


def input_gradient(
    delta: Numbers, x_norm: Numbers, scale: Numbers, grad_gamma: Numbers, grad_beta: Numbers,
    batch: int, out: Numbers,
) -> None:  # fmt: skip
    """Write the gradient with respect to the input into *out*.

    The formula is ``scale * (delta - grad_beta / B - x_norm * grad_gamma / B)``.

    Args:
        delta: (any number of pictures, pixels), left untouched unless it is *out*.
        x_norm: as *delta*; overwritten.
        scale: (pixels,), gamma * inv_std.
        grad_gamma, grad_beta: (pixels,), sums over the whole batch.
        batch: the number of pictures in the whole batch, B.
        out: as *delta*, may be *delta* itself.
    """
    np.multiply(x_norm, grad_gamma / -batch, out=x_norm)
    np.subtract(x_norm, grad_beta / batch, out=x_norm)
    np.add(delta, x_norm, out=x_norm)
    np.multiply(x_norm, scale, out=out)


def backward_tile(
    delta: Numbers, x: Numbers, moments: TileMoments, gamma: Numbers, out: Numbers
) -> tuple[Numbers, Numbers]:
    """Write the gradient with respect to the input into *out*.

    Args:
        delta: (batch, pixels), gradient of the loss with respect to y; may be *out*.
        x: (batch, pixels), the input of the forward, left untouched.
        moments: what the forward returned for this tile.
        gamma: (pixels,).
        out: (batch, pixels), may be *delta*, may not overlap *x*.

    Returns:
        grad_gamma and grad_beta, each (pixels,).
    """
    x_norm = np.empty(x.shape, x.dtype)
    center_tile(x, x[0], moments.offset, x_norm)
    np.multiply(x_norm, moments.inv_std, out=x_norm)
    grad_gamma, grad_beta = gradient_sums(delta, x_norm)
    input_gradient(delta, x_norm, gamma * moments.inv_std, grad_gamma, grad_beta, len(x), out)
    return grad_gamma, grad_beta


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
