"""Gradients a picture at a time against the textbook of the whole batch."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracle import textbook

from bncli.batchnorm.gradients import GradientSums, InputGradient, square_sum
from bncli.batchnorm.moments import moments_for
from bncli.batchnorm.transform import Transform, survey


def test_streamed_gradient_sums(rng):
    """One picture at a time gives the gradients of the whole batch, near a low variance too."""
    x = 60000 + rng.integers(0, 3, (40, 30))
    delta = rng.standard_normal(x.shape)
    sums = GradientSums(x[0])
    for row, delta_row in zip(x, delta, strict=True):
        sums.add(row, delta_row)
    mean = x.mean(axis=0)
    grad_gamma, grad_beta = sums.gradients(mean, np.full(30, 0.5))

    assert np.allclose(grad_gamma, (delta * (x - mean) * 0.5).sum(axis=0), rtol=0, atol=1e-12)
    assert np.allclose(grad_beta, delta.sum(axis=0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("shape", [(3, 4, 2), (70, 90, 3)])
def test_input_gradient(rng, dtype, shape):
    """Picture by picture it is the gradient of the textbook, in one tile and in several."""
    x = rng.integers(0, 256, (4, *shape)).astype(dtype)
    delta, gamma, beta = rng.standard_normal((3, 4, *shape))
    unit = 255.0 if dtype == np.uint8 else 1.0
    book = textbook(x / unit, gamma[0], beta[0], delta=delta)
    rows = x.reshape(4, -1)
    moments = moments_for(rows.shape[1], dtype)
    moments.add(rows)
    transform = Transform.blank(gamma[0].ravel(), beta[0].ravel(), unit)
    with ThreadPoolExecutor(2) as pool:
        survey(moments, transform, 1e-8, shape[2], pool)
    gradient = InputGradient(transform, book.grad_gamma.ravel(), book.grad_beta.ravel(), 4)

    for row, one, expected in zip(rows, delta, book.grad_input, strict=True):
        found = gradient.of(one.ravel(), row)
        scale = np.abs(expected).max()
        assert np.abs(found.reshape(shape) - expected).max() <= 1e-12 * scale
        again = pickle.loads(pickle.dumps(gradient)).of(one.ravel(), row)  # noqa: S301 - our own
        assert np.array_equal(found, again)


def test_square_sum():
    """Sum of the squares; infinite where it overflows."""
    assert square_sum(np.array([3.0, -4.0])) == 25
    assert square_sum(np.array([1e200])) == np.inf
