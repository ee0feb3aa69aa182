"""The layer against the textbook, HIPS autograd and the complex step."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from oracle import textbook

from bncli import BatchNorm
from bncli.errors import NonFiniteError, ShapeError

SHAPE = (5, 7, 4, 3)


def problem(rng, shape=SHAPE, dtype=np.float64):
    """x, gamma, beta, delta; one pixel is constant."""
    x = rng.random(shape)
    x[:, 0, 0, 0] = 0.1
    parameters = rng.random((2, *shape[1:])) + 0.5
    delta = rng.standard_normal(shape)
    return (a.astype(dtype) for a in (x, *parameters, delta))


def relative(found, expected):
    """Largest error against the largest value: what digits are right at the array's own scale."""
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_forward_and_gradients_equal_the_textbook(rng):
    """Output and all three gradients agree with the step-by-step textbook to 1e-12."""
    x, gamma, beta, delta = problem(rng)
    layer = BatchNorm(gamma, beta)
    layer.forward(x)
    layer.delta = delta
    layer.backward()
    book = textbook(x, gamma, beta, delta=delta)

    assert relative(layer.output, book.output) < 1e-12
    assert relative(layer.x_norm, book.x_norm) < 1e-12
    assert relative(layer.mean, book.mean) < 1e-12
    assert relative(layer.variance, book.variance) < 1e-12
    assert relative(layer.inv_std, 1 / np.sqrt(book.variance + 1e-8)) < 1e-12
    assert relative(layer.grad_input, book.grad_input) < 1e-12
    assert relative(layer.scales_updates, book.grad_gamma) < 1e-12
    assert relative(layer.bias_updates, book.grad_beta) < 1e-12


def test_gradients_equal_autograd(rng):
    """HIPS autograd, from the forward formula alone, gives the same three gradients to 1e-12."""
    x, gamma, beta, delta = problem(rng)

    def loss(x, gamma, beta):
        mean = anp.mean(x, axis=0)
        variance = anp.mean((x - mean) ** 2, axis=0)
        return anp.sum(delta * (gamma * (x - mean) / anp.sqrt(variance + 1e-8) + beta))

    layer = BatchNorm(gamma, beta)
    layer.forward(x)
    layer.delta = delta
    grad_input = layer.backward()
    expected = [autograd.grad(loss, argument)(x, gamma, beta) for argument in range(3)]

    assert relative(grad_input, expected[0]) < 1e-12
    assert relative(layer.scales_updates, expected[1]) < 1e-12
    assert relative(layer.bias_updates, expected[2]) < 1e-12


def test_three_steps_of_sgd_equal_a_loop_written_out(rng):
    """Three updates with momentum, decay and rate decay agree with SGD on autograd's gradients."""
    x, gamma, beta, delta = problem(rng)
    layer = BatchNorm(gamma, beta)
    parameters = [gamma.copy(), beta.copy()]
    velocities = [np.zeros_like(gamma), np.zeros_like(beta)]
    rate = 0.3
    for _ in range(3):
        layer.forward(x)
        layer.delta = delta * layer.output  # a gradient that depends on the parameters
        layer.backward()
        layer.update(momentum=0.9, decay=0.02, lr=0.3, lr_decay=0.7)
        book = textbook(x, *parameters)
        book = textbook(x, *parameters, delta=delta * book.output)
        for k, gradient in enumerate((book.grad_gamma, book.grad_beta)):
            velocities[k] = 0.9 * velocities[k] + gradient + 0.02 * parameters[k]
            parameters[k] = parameters[k] - rate * velocities[k]
        rate *= 0.7

    assert relative(layer.scales, parameters[0]) < 1e-12
    assert relative(layer.bias, parameters[1]) < 1e-12


def test_torch_agrees(rng):
    """Where PyTorch is installed, its gradients and three steps of its SGD are ours."""
    torch = pytest.importorskip("torch")
    x, gamma, beta, delta = problem(rng)
    layer = BatchNorm(gamma, beta)
    parameters = [torch.tensor(p, requires_grad=True) for p in (gamma, beta)]
    sgd = torch.optim.SGD(parameters, lr=0.3, momentum=0.9, weight_decay=0.02)
    decay = torch.optim.lr_scheduler.ExponentialLR(sgd, 0.7)
    for _ in range(3):
        layer.forward(x)
        layer.delta = delta
        grad_input = layer.backward()
        layer.update(momentum=0.9, decay=0.02, lr=0.3, lr_decay=0.7)
        leaf = torch.tensor(x, requires_grad=True)
        flat = torch.nn.functional.batch_norm(
            leaf.reshape(len(x), -1), None, None, training=True, eps=1e-8
        ).reshape(x.shape)
        sgd.zero_grad()
        ((flat * parameters[0] + parameters[1]) * torch.tensor(delta)).sum().backward()
        assert relative(grad_input, leaf.grad.numpy()) < 1e-12
        sgd.step()
        decay.step()

    assert relative(layer.scales, parameters[0].detach().numpy()) < 1e-12
    assert relative(layer.bias, parameters[1].detach().numpy()) < 1e-12


def test_the_example_of_the_origin_runs():
    """The origin's own example needs another import line and nothing else."""
    from bncli import BatchNorm as BatchNorm_layer

    batch, w, h, c = (5, 10, 8, 3)
    input = np.random.uniform(low=0.0, high=1.0, size=(batch, w, h, c))  # noqa: A001, NPY002
    scales = np.random.uniform(low=0.0, high=1.0, size=(w, h, c))  # noqa: NPY002
    bias = np.random.uniform(low=0.0, high=1.0, size=(w, h, c))  # noqa: NPY002
    layer = BatchNorm_layer(scales=scales, bias=bias)
    layer.forward(inpt=input, copy=False)
    out_img = layer.output
    delta = np.random.uniform(low=0.0, high=1.0, size=input.shape)  # noqa: NPY002
    layer.delta = np.random.uniform(low=0.0, high=1.0, size=out_img.shape)  # noqa: NPY002
    upstream = layer.delta.copy()
    layer.backward(delta, copy=False)
    layer.update(momentum=0.0, decay=0.0, lr=1e-2, lr_decay=1.0)

    book = textbook(input, scales, bias, delta=upstream)
    assert relative(out_img, book.output) < 1e-12
    assert relative(delta, book.grad_input) < 1e-12
    assert relative(layer.scales, scales - 1e-2 * book.grad_gamma) < 1e-12
    assert layer.out_shape == (batch, w, h, c)


def test_float32_far_from_zero(rng):
    """float32 at 1e6 + U(0, 1), where one pass gives negative variances, comes out right."""
    x = (1e6 + rng.random((64, 3, 5, 2))).astype(np.float32)
    layer = BatchNorm()
    output = layer.forward(x)

    assert output.dtype == np.float32
    assert relative(output, textbook(x).output) < 1e-5
    assert relative(layer.variance, textbook(x).variance) < 1e-5


@pytest.mark.parametrize(
    ("given", "computed"),
    [("f4", "f4"), ("f8", "f8"), ("f2", "f8"), ("u1", "f8"), ("i8", "f8"), ("?", "f8"),
     ("c8", "c16"), ("c16", "c16"), (">f8", "f8")],
)  # fmt: skip
def test_what_it_computes_in(rng, given, computed):
    """float32 stays, complex stays complex, everything else computes in float64."""
    x = (rng.random((3, 2, 4, 1)) * 2).astype(given)

    assert BatchNorm().forward(x).dtype == np.dtype(computed)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dead_pixels(rng, dtype):
    """A constant pixel, whatever its value, gives exactly beta, and finite gradients."""
    x, gamma, beta, delta = problem(rng, dtype=dtype)
    layer = BatchNorm(gamma, beta)
    layer.forward(x)
    layer.delta = delta
    layer.backward()

    assert layer.variance[0, 0, 0] == 0
    assert (layer.x_norm[:, 0, 0, 0] == 0).all()
    assert (layer.output[:, 0, 0, 0] == beta[0, 0, 0]).all()
    assert np.isfinite(layer.grad_input).all()


def test_complex_step_through_the_forward(rng):
    """An imaginary step of 1e-30 through the forward gives backward's gradients to 1e-12."""
    x, gamma, beta, delta = problem(rng)
    layer = BatchNorm(gamma, beta)
    layer.forward(x)
    layer.delta = delta
    grad_input = layer.backward()
    direction = rng.standard_normal(x.shape)
    stepped = BatchNorm(gamma, beta).forward(x + 1e-30j * direction)
    turned = BatchNorm(gamma + 1e-30j, beta).forward(x)

    assert np.isclose((delta * stepped.imag).sum() / 1e-30, (grad_input * direction).sum(), 1e-12)
    assert relative((delta * turned.imag).sum(axis=0) / 1e-30, layer.scales_updates) < 1e-12


def test_copy(rng):
    """copy=True protects from later changes of the input, and of the argument of backward."""
    x, gamma, beta, delta = problem(rng)
    expected = textbook(x, gamma, beta, delta=delta).grad_input
    layer = BatchNorm(gamma, beta)
    given = x.copy()
    layer.forward(given, copy=True)
    given[...] = 0
    layer.delta = delta
    receiver = np.full(SHAPE, 7.0)

    assert relative(layer.backward(receiver, copy=True), expected) < 1e-12
    assert (receiver == 7).all()
    assert layer.forward(x) is layer.output
    assert layer.x is x


def test_backward_may_be_repeated(rng):
    """backward changes nothing it reads; given layer.delta itself, it overwrites that."""
    x, gamma, beta, delta = problem(rng)
    layer = BatchNorm(gamma, beta)
    layer.forward(x)
    layer.delta = delta
    before = delta.copy()
    first = layer.backward()

    assert np.array_equal(first, layer.backward())
    assert np.array_equal(delta, before)
    layer.backward(layer.delta)
    assert np.array_equal(delta, first)


def test_threads_and_layout_change_nothing(rng):
    """One thread or many, contiguous or transposed input: the same bits."""
    x = rng.random((6, 90, 110, 3))
    delta = rng.random(x.shape)

    def run(x, threads):
        layer = BatchNorm(threads=threads)
        layer.forward(x)
        layer.delta = delta
        return layer.output, layer.backward(), layer.scales_updates

    turned = np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    for other in (run(x, 4), run(turned, 3)):
        assert all(map(np.array_equal, run(x, 1), other))


batches = st.tuples(*[st.integers(2, 8), *[st.integers(1, 6)] * 3]).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-100, 100, width=32))
)


@given(x=batches)
def test_moments_of_x_norm(x):
    """x_norm has mean 0 and variance v / (v + eps), pixel by pixel."""
    layer = BatchNorm()
    layer.forward(x)
    book = textbook(x)

    assert np.abs(layer.x_norm.mean(axis=0)).max() < 1e-9
    expected = book.variance / (book.variance + 1e-8)
    assert np.allclose(layer.x_norm.var(axis=0), expected, rtol=1e-6, atol=1e-9)


@given(x=batches, seed=st.integers(0, 100))
def test_permuting_and_doubling(x, seed):
    """Permuting the batch permutes the output; doubling it changes nothing."""
    order = np.random.default_rng(seed).permutation(len(x))
    output = BatchNorm().forward(x)
    scale = np.abs(output).max() + 1

    assert np.abs(BatchNorm().forward(x[order]) - output[order]).max() < 1e-9 * scale
    doubled = BatchNorm().forward(np.concatenate([x, x]))
    assert np.abs(doubled - np.concatenate([output, output])).max() < 1e-9 * scale


@given(x=batches, seed=st.integers(0, 100))
def test_sums_and_crops_of_the_gradient(x, seed):
    """grad_input sums to 0 over the batch; the backward of a crop is the crop of the backward."""
    delta = np.random.default_rng(seed).standard_normal(x.shape)

    def backward(x, delta):
        layer = BatchNorm()
        layer.forward(x)
        layer.delta = delta
        return layer.backward()

    whole = backward(x, delta)
    assert np.abs(whole.sum(axis=0)).max() <= 1e-10 * max(1.0, np.abs(whole).max())
    assert np.array_equal(backward(x[:, :1, :2], delta[:, :1, :2]), whole[:, :1, :2])


@pytest.mark.parametrize("name", ["scales", "bias"])
def test_parameters_set_by_hand_are_checked_and_copied(name, rng):
    """As at the making of the layer: no number, no NaN, no wrong shape, and no alias."""
    layer = BatchNorm()
    x = rng.random((3, 2, 2, 1))
    nan = np.full((2, 2, 1), np.nan)
    for wrong, kind in ((2.0, ShapeError), ("x", ShapeError), (nan, NonFiniteError)):
        with pytest.raises(kind, match=name):
            setattr(layer, name, wrong)
        assert getattr(layer, name) is None
    given = np.full((2, 2, 1), 3.0)
    setattr(layer, name, given)
    given[...] = 7
    expected = {"scales": textbook(x, 3.0), "bias": textbook(x, 1.0, 3.0)}[name]
    assert np.allclose(layer.forward(x), expected.output, rtol=0, atol=1e-12)
    setattr(layer, name, np.ones((4, 2, 1)))
    with pytest.raises(ShapeError, match=name):
        layer.forward(x)
