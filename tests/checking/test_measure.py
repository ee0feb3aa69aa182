"""No right gradient fails, and the smallest wrong one does: two pictures, constant pixels."""

from __future__ import annotations

import numpy as np
import pytest

from bncli import gradcheck


class Channels:
    """Batch normalization of each channel, and room for an error in its gradients."""

    axes = (0, 1, 2)

    def __init__(self, gamma=None, beta=None, eps=1e-5):
        self.gamma = np.ones(2) if gamma is None else gamma
        self.beta = np.zeros(2) if beta is None else beta
        self.eps = eps

    def forward(self, x):
        centred = x - x.mean(self.axes)
        self.inv_std = 1 / np.sqrt((centred * centred).mean(self.axes) + self.eps)
        self.x_norm = centred * self.inv_std
        return self.gamma * self.x_norm + self.beta

    def backward(self, delta):
        self.dgamma = (delta * self.x_norm).sum(self.axes)
        self.dbeta = delta.sum(self.axes)
        along = self.x_norm * (delta * self.x_norm).mean(self.axes)
        grad = self.gamma * self.inv_std * (delta - delta.mean(self.axes) - along)
        return self.spoilt(grad)

    def spoilt(self, grad):
        return grad


class Pixels(Channels):
    """The same, of each pixel."""

    axes = (0,)

    def __init__(self, gamma, beta, eps=1e-8):
        super().__init__(gamma, beta, eps)


def spoilt(layer, change):
    """*layer*, with an error in its gradient of the input."""
    return type("Spoilt", (layer,), {"spoilt": lambda _, grad: change(grad)})


@pytest.mark.parametrize("layer", [Pixels, Channels])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_seed_makes_a_right_layer_wrong(layer, dtype):
    """Some pixels, or channels, are constant; of two pictures the gradient is a cancellation."""
    for pictures in (2, 3):
        shape = (pictures, 3, 2, 2)
        report = gradcheck(layer, shape=shape, seeds=2, dtype=dtype, layout="image")
        assert report.passed, str(report)


@pytest.mark.parametrize("layer", [Pixels, Channels])
@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-6), ("float32", 1e-3)])
def test_a_tiny_error_is_found(layer, dtype, error):
    """A factor of 1 + 1e-6 in double precision, of 1 + 1e-3 in single."""
    wrong = spoilt(layer, lambda grad: grad * (1 + error))
    for pictures in (2, 5):
        shape = (pictures, 3, 2, 2)
        report = gradcheck(wrong, shape=shape, seed=pictures, dtype=dtype, layout="image")
        assert not report.quantities["grad_input"].passed


def test_one_wrong_value_of_many_is_found_and_named():
    """Of 2,640 values, 40 are sampled; the wrong one is not among them, and yet is the worst."""

    def change(grad):
        grad = grad.copy()
        grad[-1, -1, -1, 1] *= 1.5
        return grad

    report = gradcheck(spoilt(Channels, change), shape=(10, 11, 12, 2), layout="image")

    quantity = report.quantities["grad_input"]
    assert quantity.checked < quantity.total == 2640
    assert (quantity.wrong, quantity.worst_index) == (1, (9, 10, 11, 1))


def test_a_gradient_of_nan_is_called_so():
    """With the number of elements."""
    report = gradcheck(spoilt(Pixels, lambda grad: grad * np.nan), layout="image")

    assert report.status == "fail"
    assert "is NaN in 120 of 120 elements" in str(report)
