"""Layers of torch: a module whose backward is autograd's, and functions with their own."""

import torch


class Module(torch.nn.Module):
    def __init__(self, num_features, eps=1e-8):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(num_features))
        self.bias = torch.nn.Parameter(torch.zeros(num_features))

    def forward(self, x):
        centred = x - x.mean(0)
        variance = (centred * centred).mean(0)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        inv_std = 1 / torch.sqrt(x.var(0, unbiased=False) + eps)
        x_norm = (x - x.mean(0)) * inv_std
        ctx.save_for_backward(x_norm, gamma, inv_std)
        return x_norm * gamma + beta

    @staticmethod
    def backward(ctx, delta):
        x_norm, gamma, inv_std = ctx.saved_tensors
        along = x_norm * (delta * x_norm).mean(0)
        dx = gamma * inv_std * (delta - delta.mean(0) - along)
        return dx, (delta * x_norm).sum(0), delta.sum(0), None


class Forgetful(Function):
    @staticmethod
    def backward(ctx, delta):
        x_norm, gamma, inv_std = ctx.saved_tensors
        dx = gamma * inv_std * (delta - delta.mean(0))
        return dx, (delta * x_norm).sum(0), delta.sum(0), None
