"""Forward and backward as two functions over (batch, features), as in the CS231n course."""

import numpy as np


def forward(x, gamma, beta, bn_param):
    n, _ = x.shape
    assert bn_param["mode"] == "train"
    mean = x.mean(axis=0)
    centred = x - mean
    inv_std = 1 / np.sqrt(x.var(axis=0) + bn_param.get("eps", 1e-5))
    x_norm = centred * inv_std
    return gamma * x_norm + beta, (x_norm, gamma, inv_std, n)


def backward(dout, cache):
    x_norm, gamma, inv_std, n = cache
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_norm).sum(axis=0)
    dx = gamma * inv_std * (dout - dbeta / n - x_norm * dgamma / n)
    return dx, dgamma, dbeta


def backward_without_mean(dout, cache):
    x_norm, gamma, inv_std, n = cache
    dgamma = (dout * x_norm).sum(axis=0)
    return gamma * inv_std * (dout - x_norm * dgamma / n), dgamma, dout.sum(axis=0)


def forward_with_riddle(x, gamma, beta, riddle):
    return x, riddle


def forward_of_three(x, gamma, beta):
    return gamma * x + beta, x, gamma


def backward_of_three(dout, cache):
    x, gamma = cache
    return dout * gamma, (dout * x).sum(axis=0), dout.sum(axis=0)
