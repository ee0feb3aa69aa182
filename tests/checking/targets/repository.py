"""A stand-in with the protocol of a repository's layer: input_shape is indexed, the delta is an
attribute, and the gradient is added into the argument. Its formula is wrong as the original's."""

import numpy as np


class BatchNorm_layer:  # noqa: N801 - the name that such a class has
    epsil = 1e-8

    def __init__(self, scales=None, bias=None, input_shape=None, **kwargs):
        self.batch, self.w, self.h, self.c = input_shape
        self.scales, self.bias = scales, bias
        self.scales_update = self.bias_update = None
        self.output = self.delta = None
        self.optimizer = None

    def _factors(self):
        per_value = 1.0 / (self.w * self.h * self.c)
        return per_value, per_value

    def forward(self, inpt, *args, **kwargs):
        if inpt.shape[1:] != (self.w, self.h, self.c):
            raise ValueError("the shape of the input is not the one I was made for")
        self.x = inpt
        self.mean = self.x.mean(axis=0)
        self.var = 1.0 / np.sqrt(self.x.var(axis=0) + self.epsil)
        self.x_norm = (self.x - self.mean) * self.var
        self.output = self.scales * self.x_norm + self.bias
        self.delta = np.zeros(shape=self.output.shape, dtype=float)
        return self

    def backward(self, delta=None, *args, **kwargs):
        for_mean, for_variance = self._factors()
        self.bias_update = self.delta.sum(axis=0)
        self.scales_update = (self.delta * self.x_norm).sum(axis=0)
        self.delta *= self.scales
        mean_delta = (self.delta * (-self.var)).mean(axis=0)
        var_delta = (self.delta * (self.x - self.mean)).sum(axis=0)
        var_delta *= -0.5 * self.var * self.var * self.var
        self.delta = (
            self.delta * self.var
            + var_delta * 2 * (self.x - self.mean) * for_variance
            + mean_delta * for_mean
        )
        if delta is not None:
            delta += self.delta
        return self

    def update(self):
        self.optimizer.update(params=[self.scales], gradients=[self.scales_update])


class Mended(BatchNorm_layer):
    """With the same protocol, and a right formula."""

    def _factors(self):
        return 1.0, 1.0 / self.batch
