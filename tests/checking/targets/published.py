"""The class that a documentation page publishes: its forward is right, its backward is not."""

import numpy as np


class BatchNormalization:
    def __init__(self, scales=None, bias=None, **kwargs):
        self.scales, self.bias = scales, bias
        self.epsil = 1e-8
        self.x = self.mean = self.var = self.x_norm = None
        self.output = self.delta = None
        self.scales_updates = self.bias_updates = None

    def forward(self, inpt, copy=False):
        self.x = inpt.copy() if copy else inpt
        self.mean = self.x.mean(axis=0)
        self.var = 1.0 / np.sqrt(self.x.var(axis=0) + self.epsil)
        self.x_norm = (self.x - self.mean) * self.var
        self.output = self.x_norm.copy()
        if self.scales is not None:
            self.output = self.output * self.scales
        if self.bias is not None:
            self.output = self.output + self.bias
        self.delta = np.zeros(self.output.shape)

    def backward(self, delta=None, copy=False):
        per_value = 1.0 / np.prod(self.mean.shape)
        self.bias_updates = self.delta.sum(axis=0)
        self.scales_updates = (self.delta * self.x_norm).sum(axis=0)
        self.delta = self.delta * self.scales
        mean_delta = (self.delta * -self.var).mean(axis=0)
        var_delta = (self.delta * (self.x - self.mean)).sum(axis=0)
        var_delta = var_delta * (-0.5 * self.var * self.var * self.var)
        self.delta = (
            self.delta * self.var
            + var_delta * 2 * (self.x - self.mean) * per_value
            + mean_delta * per_value
        )
        if delta is not None:
            delta[:] = self.delta
