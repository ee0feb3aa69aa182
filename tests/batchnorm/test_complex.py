"""A layer of complex numbers: the gradients are linear in delta, so each part has its own."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import textbook

from bncli import BatchNorm
from bncli.errors import OptionError

SHAPE = (6, 3, 2, 2)


@pytest.fixture
def parts(rng):
    """Pictures, gamma, and the two parts of a delta."""
    return rng.random(SHAPE), rng.random(SHAPE[1:]), *rng.standard_normal((2, *SHAPE))


def test_a_complex_delta_gives_the_gradients_of_its_parts(parts):
    """For pictures that are real: nothing of the imaginary part is lost."""
    x, gamma, real, imaginary = parts
    layer = BatchNorm(gamma)
    layer.forward(x)
    layer.delta = real + 1j * imaginary
    found = layer.backward()

    first, second = (textbook(x, gamma, delta=delta) for delta in (real, imaginary))
    assert np.allclose(found, first.grad_input + 1j * second.grad_input, rtol=0, atol=1e-12)
    for given, one, other in (
        (layer.scales_updates, first.grad_gamma, second.grad_gamma),
        (layer.bias_updates, first.grad_beta, second.grad_beta),
    ):
        assert np.allclose(given, one + 1j * other, rtol=0, atol=1e-12)


def test_a_complex_step_of_delta_is_the_gradient_of_a_direction(parts):
    """The textbook's answer for the direction, through one backward of the whole."""
    x, gamma, delta, direction = parts
    layer = BatchNorm(gamma)
    layer.forward(x)
    layer.delta = delta + 1e-30j * direction
    expected = textbook(x, gamma, delta=direction).grad_input
    assert np.allclose(layer.backward().imag / 1e-30, expected, rtol=0, atol=1e-12)


def test_a_complex_gradient_needs_a_complex_receiver(parts):
    """One of real numbers would lose half of it, and is refused; a complex one takes it."""
    x, gamma, real, imaginary = parts
    layer = BatchNorm(gamma)
    layer.forward(x)
    layer.delta = real + 1j * imaginary
    with pytest.raises(OptionError, match="float64, which cannot hold a complex128 gradient"):
        layer.backward(np.empty(SHAPE))
    receiver = np.empty(SHAPE, np.complex128)
    assert np.array_equal(layer.backward(receiver), receiver)


@pytest.mark.parametrize("name", ["scales", "bias"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_complex_parameters_make_the_output_complex(parts, name, dtype):
    """Whatever the pictures are, no part of gamma or beta is lost."""
    x, gamma, *_ = parts
    turned = gamma + 2j * gamma[::-1]
    x_norm = textbook(x.astype(dtype)).x_norm
    found = BatchNorm(**{name: turned}).forward(x.astype(dtype))
    expected = turned * x_norm if name == "scales" else x_norm + turned
    assert found.dtype.kind == "c"
    assert np.allclose(found, expected, rtol=0, atol=1e-6)


def test_a_complex_variance_may_be_anything(parts):
    """Of imaginary numbers it is below 0, which is no rounding to be cut off: as it is written."""
    x, gamma, beta, _ = parts
    turned = (1j + 0.1) * x
    centred = turned - turned.mean(axis=0)
    expected = gamma * centred / np.sqrt((centred * centred).mean(axis=0) + 1e-8) + beta[0]
    found = BatchNorm(gamma, beta[0]).forward(turned)
    assert np.allclose(found, expected, rtol=0, atol=1e-10)
