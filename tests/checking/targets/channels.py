"""Batch normalization of each channel of (N, C, H, W); N stands where N*H*W belongs."""

import numpy as np


def forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + eps)
    x_hat = (x - mean) * inv_std
    out = gamma[None, :, None, None] * x_hat + beta[None, :, None, None]
    return out, (x_hat, inv_std, gamma)


def backward(dout, cache):
    x_hat, inv_std, gamma = cache
    n = dout.shape[0]
    dgamma = (dout * x_hat).sum(axis=(0, 2, 3))
    dbeta = dout.sum(axis=(0, 2, 3))
    wide = (1, -1, 1, 1)
    dx = n * dout - dbeta.reshape(wide) - x_hat * dgamma.reshape(wide)
    return gamma.reshape(wide) * inv_std / n * dx, dgamma, dbeta
