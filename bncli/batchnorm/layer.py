"""The batch normalization layer: forward, backward, update."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bncli.batchnorm.demands import (
    LayerParameter,
    as_batch,
    as_dtype,
    as_numbers,
    check_receiver,
    check_same_shape,
    check_settings,
    check_update_options,
    raise_non_finite,
)
from bncli.batchnorm.kernels import (
    BLOCK_PICTURES,
    Numbers,
    TileMoments,
    backward_tile,
    descend,
    forward_tile,
    normalize_tile,
)
from bncli.batchnorm.tiling import run_tiles, tile_slices
from bncli.errors import NonFiniteError, OptionError, StateError
from bncli.machine import allowed_cores


class BatchNorm:
    """Batch normalization of every pixel over the batch (Ioffe & Szegedy 2015, per activation).

    ``output = scales * x_norm + bias`` with ``x_norm = (x - mean) / sqrt(variance + eps)``; mean
    and variance are taken over the batch, the variance divided by batch.

    float32 input computes in float32, complex input in complex numbers, all other input in
    float64.

    Args:
        scales: gamma, shape (w, h, c); None is ones. Copied.
        bias: beta, shape (w, h, c); None is zeros. Copied.
        eps: added to the variance, finite and > 0, in squared units of the input.
        threads: how many to compute on; None is every core allowed.

    Raises:
        OptionError: eps is not a finite number > 0, or threads is less than 1.
        ShapeError: scales or bias is not of shape (w, h, c).
        NonFiniteError: scales or bias holds NaN or infinity.

    Attributes:
        scales, bias: gamma and beta, (w, h, c), checked and copied; None: ones and zeros.
        x: the input of the last forward, (batch, w, h, c).
        output: what the last forward computed, (batch, w, h, c).
        mean, variance, inv_std: of the last forward, each (w, h, c).
        delta: the gradient of the loss with respect to the output; you set it, backward reads it.
        grad_input: what the last backward computed, (batch, w, h, c).
        scales_updates, bias_updates: the gradients of gamma and beta, each (w, h, c).

    Examples:
        >>> import numpy as np
        >>> layer = BatchNorm()
        >>> x = np.array([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1)
        >>> print(layer.forward(x).ravel().round(4))
        [-0.9258 -0.4629  1.3887]
        >>> layer.delta = np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1, 1)
        >>> print(layer.backward().ravel().round(4))
        [ 0.1763 -0.2204  0.0441]
        >>> layer.update(lr=0.1)
        >>> print(layer.scales.ravel().round(4), layer.bias.ravel())
        [1.0926] [-0.1]
    """

    scales = LayerParameter()
    bias = LayerParameter()

    def __init__(
        self,
        scales: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        *,
        eps: float = 1e-8,
        threads: int | None = None,
    ) -> None:
        check_settings(eps, threads)
        self.eps = float(eps)
        self.threads = threads
        self.scales = scales
        self.bias = bias
        if self.scales is not None and self.bias is not None:
            check_same_shape("bias", self.bias.shape, "scales", self.scales.shape)
        self.x: Numbers | None = None
        self.output: Numbers | None = None
        self.delta: ArrayLike | None = None
        self.mean: Numbers | None = None
        self.variance: Numbers | None = None
        self.inv_std: Numbers | None = None
        self.grad_input: Numbers | None = None
        self.scales_updates: Numbers | None = None
        self.bias_updates: Numbers | None = None
        self._moments: TileMoments | None = None
        self._velocities: tuple[Numbers, Numbers] | None = None
        self._rate_factor = 1.0

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the output, (batch, w, h, c); StateError before the first forward."""
        return self._forwarded().shape

    @property
    def x_norm(self) -> Numbers:
        """``(x - mean) * inv_std``, (batch, w, h, c), computed anew at each reading.

        Raises:
            StateError: forward has not run.
        """
        x = self._forwarded()
        moments = self._moments
        assert moments is not None  # noqa: S101 - forward sets both or none
        rows = x.reshape(len(x), -1)
        x_norm = np.empty(rows.shape, x.dtype)
        normalize_tile(rows, moments, x_norm)
        return x_norm.reshape(x.shape)

    def forward(self, inpt: ArrayLike, copy: bool = False) -> Numbers:  # noqa: FBT002 - the origin's
        """Normalize a batch.

        Args:
            inpt: (batch, w, h, c) with at least two pictures, finite. Never written to.
            copy: with False the layer keeps *inpt* itself until the next forward (when it is of
                the dtype the layer computes in), so leave it as it is until backward has run; with
                True the layer keeps a copy of its own, and you may overwrite *inpt* at once.

        Returns:
            The output, (batch, w, h, c); also at ``self.output``.

        Raises:
            ShapeError: *inpt* does not have four axes, or does not fit scales or bias.
            SinglePictureError: there is one picture only.
            NonFiniteError: *inpt* holds NaN or infinity, or its variance overflows.
        """
        x = self._checked_input(inpt, copy=copy)
        if x.real.dtype.type(self.eps) == 0:
            raise OptionError(f"eps is {self.eps}, which is 0 in {x.dtype}; choose a larger one")
        shape = x.shape[1:]
        gamma, beta = self._parameters(shape, x.dtype)
        output = np.empty(x.shape, x.dtype)
        moments = TileMoments(*np.empty((4, math.prod(shape)), x.dtype))
        finite = self._run_forward(x, gamma, beta, output, moments)
        if not (finite and np.isfinite(moments.variance).all()):
            raise_non_finite(x, "the input", "its variance or the output overflows")

        self.x, self.output, self._moments = x, output, moments
        self.mean = (moments.pivot + moments.offset).reshape(shape)
        self.variance = moments.variance.reshape(shape)
        self.inv_std = moments.inv_std.reshape(shape)
        self.delta = self.grad_input = self.scales_updates = self.bias_updates = None
        return output

    def backward(self, delta: Numbers | None = None, copy: bool = False) -> Numbers:  # noqa: FBT002 - the origin's
        """Compute the three gradients from ``self.delta``, the gradient coming from the next layer.

        It may be called again: neither ``self.delta`` nor anything else it reads is changed, unless
        you hand it ``self.delta`` itself as *delta*.

        Args:
            delta: an array of shape (batch, w, h, c) to receive the gradient of the input.
            copy: with False *delta* is overwritten with the gradient of the input; with True it is
                left alone, and the gradient is only returned.

        Returns:
            The gradient of the input, (batch, w, h, c); also at ``self.grad_input``. The gradients
            of gamma and beta are at ``self.scales_updates`` and ``self.bias_updates``.

        Raises:
            StateError: forward has not run, or ``self.delta`` is not set.
            ShapeError: ``self.delta`` or *delta* is not of the output's shape.
            NonFiniteError: ``self.delta`` holds NaN or infinity.
            OptionError: *delta* cannot hold the gradient.
        """
        x = self._forwarded()
        if self.delta is None:
            raise StateError("set layer.delta to the gradient of the output before backward()")
        upstream = as_numbers(self.delta, "layer.delta")
        check_same_shape("layer.delta", upstream.shape, "the output", x.shape)
        dtype = np.result_type(x.dtype, upstream.dtype) if upstream.dtype.kind == "c" else x.dtype
        receiver = None if copy or delta is None else delta
        check_receiver(receiver, x.shape, dtype)

        grad_input = np.empty(x.shape, dtype)
        grads = np.empty((2, math.prod(x.shape[1:])), dtype)
        if not self._run_backward(x, upstream.astype(dtype, copy=False), grad_input, grads):
            raise_non_finite(upstream, "layer.delta", "the gradient overflows")
        self.grad_input = grad_input
        self.scales_updates, self.bias_updates = grads.reshape(2, *x.shape[1:])
        if receiver is not None:
            receiver[...] = grad_input
        return grad_input

    def update(
        self, momentum: float = 0.0, decay: float = 0.0, lr: float = 1e-2, lr_decay: float = 1.0
    ) -> None:
        """Take one step of gradient descent on scales and bias.

        Equal to ``torch.optim.SGD(lr, momentum, weight_decay=decay)`` whose rate is multiplied by
        *lr_decay* after each step.

        Args:
            momentum: how much of the last step is kept, >= 0.
            decay: weight decay, >= 0.
            lr: the learning rate before any decay, >= 0.
            lr_decay: factor on the rate after each step, >= 0.

        Raises:
            StateError: backward has not run since the last forward.
            OptionError: a value is out of its range.
        """
        check_update_options(momentum, decay, lr, lr_decay)
        if self.scales_updates is None or self.bias_updates is None:
            raise StateError("call backward() before update()")
        scales, bias = self._parameters(self.scales_updates.shape, self.scales_updates.dtype)
        velocities = self._velocities or (np.zeros_like(scales), np.zeros_like(bias))
        rate = lr * self._rate_factor
        with np.errstate(all="ignore"):
            gamma, v_gamma = descend(
                scales, self.scales_updates, velocities[0], momentum, decay, rate
            )
            beta, v_beta = descend(bias, self.bias_updates, velocities[1], momentum, decay, rate)
        if not (np.isfinite(gamma).all() and np.isfinite(beta).all()):
            raise NonFiniteError("the step overflows; choose a smaller lr")
        self.scales, self.bias, self._velocities = gamma, beta, (v_gamma, v_beta)
        self._rate_factor *= lr_decay

    def _forwarded(self) -> Numbers:
        if self.x is None:
            raise StateError("call forward() first")
        return self.x

    def _parameters(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Numbers, Numbers]:
        """Gamma and beta of this dtype, ones and zeros where none were given."""
        scales = np.ones(shape, dtype) if self.scales is None else self.scales
        bias = np.zeros(shape, dtype) if self.bias is None else self.bias
        check_same_shape("the input is", shape, "scales", scales.shape)
        check_same_shape("the input is", shape, "bias", bias.shape)
        return as_dtype(scales, dtype, "scales"), as_dtype(bias, dtype, "bias")

    def _checked_input(self, inpt: ArrayLike, *, copy: bool) -> Numbers:
        given = as_batch(inpt)
        dtype = given.dtype if given.dtype.kind in "fc" else np.dtype(np.float64)
        if dtype != np.float32:
            dtype = np.result_type(dtype, np.float64)
        for parameter in (self.scales, self.bias):
            if parameter is not None and parameter.dtype.kind == "c":
                dtype = np.result_type(dtype, parameter.dtype)
        x = np.ascontiguousarray(given, dtype)
        return x.copy() if copy and np.may_share_memory(x, given) else x

    def _run_forward(
        self, x: Numbers, gamma: Numbers, beta: Numbers, output: Numbers, moments: TileMoments
    ) -> bool:
        """Fill in output and moments; whether nothing overflowed."""
        rows, out = x.reshape(len(x), -1), output.reshape(len(x), -1)
        flat_gamma, flat_beta = gamma.reshape(-1), beta.reshape(-1)

        def kernel(tile: slice) -> None:
            found = forward_tile(
                rows[:, tile], flat_gamma[tile], flat_beta[tile], self.eps, out[:, tile]
            )
            for whole, part in zip(moments, found, strict=True):
                whole[tile] = part

        # NaN or infinity anywhere in a pixel makes its variance NaN or infinite.
        return run_tiles(kernel, tile_slices(rows.shape[1], len(x) * x.itemsize), self.threads)

    def _run_backward(
        self, x: Numbers, upstream: Numbers, grad_input: Numbers, grads: Numbers
    ) -> bool:
        """Fill in the gradients; whether all of them are finite."""
        assert self._moments is not None  # noqa: S101 - forward sets both or none
        moments = self._moments
        rows, deltas, out = (a.reshape(len(x), -1) for a in (x, upstream, grad_input))
        gamma = self._parameters(x.shape[1:], x.dtype)[0].reshape(-1)

        def kernel(tile: slice) -> None:
            part = TileMoments(*(whole[tile] for whole in moments))
            grads[0, tile], grads[1, tile] = backward_tile(
                deltas[:, tile], rows[:, tile], part, gamma[tile], out[:, tile]
            )

        pixels, batch = rows.shape[1], len(x)
        parts = len(tile_slices(pixels, batch * x.itemsize))  # too little work is not worth threads
        threads = min(parts, self.threads or allowed_cores()) if parts > 1 else 1
        tiles = tile_slices(pixels, min(batch, BLOCK_PICTURES) * x.itemsize, threads)
        # NaN or infinity anywhere in the delta of a pixel is in its sum.
        return run_tiles(kernel, tiles, self.threads) and bool(np.isfinite(grads).all())
