"""Numerical derivatives in groups of values, judged by the textbook's chain rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from checking.targets import troubled
from oracle import textbook

from bncli import gradcheck
from bncli.checking.derive import derive
from bncli.checking.directions import hold
from bncli.checking.oracle import Asked, structure_of
from bncli.checking.question import (
    AXES,
    Question,
    draw_batch,
    draw_delta,
    draw_parameters,
)

SHAPE = (5, 3, 4, 7)
LARGE = (6, 12, 11, 5)
STRUCTURES = [(0,), (0, 1, 2), (1, 2, 3), (3,), (1, 2), (0, 1, 2, 3)]


def plain(axes, variance=None):
    """A normalization over *axes*, as people write it."""

    def forward(x, parameters):
        mean = x.mean(axis=axes, keepdims=True)
        centred = x - mean
        if variance is None:
            spread = (centred * centred).mean(axis=axes, keepdims=True)
        else:
            spread = variance(np.asarray(x), axes)
        x_norm = centred / np.sqrt(spread + 1e-5)
        return parameters.get("gamma", 1.0) * x_norm + parameters.get("beta", 0.0)

    return forward


def asked(axes, shape, *, seed=0, forward=None, over=None, dtype=np.float64):
    """A question about a gamma and beta of each channel."""
    forward = forward or plain(axes)
    parameters = draw_parameters({"gamma": (shape[3],), "beta": (shape[3],)}, seed)
    x = draw_batch(shape, seed, 1e-5, axes)
    over = axes if over is None else over
    question = Question(x, draw_delta(shape, seed), parameters, 1e-5, over).to(dtype)
    index = dict.fromkeys(parameters, np.arange(shape[3]).reshape(1, 1, 1, -1))
    base = forward(question.x, question.parameters)
    return Asked(forward, question, ("gamma", "beta"), base, seed, index)


def expected(question, axes):
    """The textbook's gradients, of each group."""
    order = (*axes, *(a for a in range(AXES) if a not in axes))
    size = math.prod(question.shape[a] for a in axes)
    turned = [question.shape[a] for a in order]

    def rows(array):
        return np.broadcast_to(array, question.shape).transpose(order).reshape(size, -1)

    def back(array):
        return array.reshape(turned).transpose(np.argsort(order))

    gamma = rows(question.parameters["gamma"])
    book = textbook(rows(question.x), 1.0, 0.0, 1e-5, rows(question.delta) * gamma)
    x_norm = back(book.x_norm)
    return {
        "grad_input": back(book.grad_input),
        "grad_gamma": (question.delta * x_norm).sum(axis=(0, 1, 2)),
        "grad_beta": question.delta.sum(axis=(0, 1, 2)),
    }


def distance(found, name, right):
    """The largest error of what was asked, relative to the terms."""
    error = np.abs(found.values[name] - right) / (found.scales[name] + 1e-300)
    return np.nanmax(error)


@pytest.mark.parametrize("axes", STRUCTURES)
def test_derivatives_are_those_of_the_textbook_whatever_is_reduced(axes):
    """Every value of small groups; of the input, of gamma and of beta, in a few dozen forwards."""
    one = asked(axes, SHAPE)
    right = expected(one.question, axes)

    found = derive(one)

    assert not found.problem
    assert found.axes == axes
    assert np.isfinite(found.values["grad_input"]).all()
    for name, value in right.items():
        assert found.values[name].shape == value.shape
        assert distance(found, name, value) < 1e-9


@pytest.mark.parametrize("axes", STRUCTURES)
def test_structure_is_found_by_trying(axes):
    """The axes along which one value reaches are those that the forward reduces over."""
    x = np.random.default_rng(1).standard_normal(SHAPE)
    forward = plain(axes)
    assert structure_of(lambda x: forward(x, {}), x, forward(x, {})) == axes


def test_structure_of_groups_of_channels_and_of_none():
    """Group norm reaches through pixels and channels; what is done to each value, nowhere."""
    x = np.random.default_rng(1).standard_normal((3, 4, 2, 4))

    def grouped(x):
        folded = x.reshape(3, 4, 2, 2, 2)
        centred = folded - folded.mean(axis=(1, 2, 4), keepdims=True)
        return (centred / np.sqrt((centred**2).mean(axis=(1, 2, 4), keepdims=True))).reshape(
            x.shape
        )

    assert structure_of(grouped, x, grouped(x)) == (1, 2, 3)
    assert structure_of(np.tanh, x, np.tanh(x)) == ()


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 3), (0, 1, 2, 3)])
def test_large_groups_are_sampled_and_seen_whole_along_directions(axes):
    """What the sample says, and what each direction says, is what the textbook says."""
    one = asked(axes, LARGE)
    right = expected(one.question, axes)["grad_input"]

    found = derive(one)

    known = np.isfinite(found.values["grad_input"])
    assert 0 < known.sum() < known.size
    assert distance(found, "grad_input", right) < 1e-9
    assert found.directions
    for direction in found.directions:
        slope = (right * direction.along).sum(axis=axes, keepdims=True)
        assert np.abs(slope - direction.slope).max() < 1e-9 * direction.size.max()
    assert hold(one, found, right, np.full((1,) * AXES, 5e-9)) == ""


@pytest.mark.parametrize("factor", [0.0, 0.99, -1.0, 1.01])
def test_a_wrong_value_that_was_not_sampled_is_found_and_named(factor):
    """A direction that is off is halved until one value is left, with what it must be."""
    axes = (0, 1, 2)
    one = asked(axes, LARGE)
    given = expected(one.question, axes)["grad_input"]
    found = derive(one)
    unasked = np.argwhere(np.isnan(found.values["grad_input"]))
    place = tuple(max(unasked, key=lambda p: abs(given[tuple(p)])))
    right, given[place] = given[place], factor * given[place]

    message = hold(one, found, given, np.full((1,) * AXES, 5e-9))

    assert "along a random direction" in message
    assert found.values["grad_input"][place] == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.4])
@pytest.mark.parametrize("seed", range(4))
def test_of_two_wrong_values_one_is_found(seed, share):
    """Whichever half they lie in: the search never leaves for a half without any."""
    axes = (0, 1, 2)
    one = asked(axes, LARGE, seed=seed)
    given = expected(one.question, axes)["grad_input"]
    right, found = given.copy(), derive(one)
    channel = np.argwhere(np.isnan(found.values["grad_input"][..., 0]))
    wrong = [(*channel[len(channel) * k // 5], 0) for k in (1, 4)]
    for place, size in zip(wrong, (1.0, share), strict=True):
        given[place] += size

    assert "along a random direction" in hold(one, found, given, np.full((1,) * AXES, 5e-9))

    named = [place for place in wrong if np.isfinite(found.values["grad_input"][place])]
    assert named
    assert all(found.values["grad_input"][p] == pytest.approx(right[p], abs=1e-9) for p in named)


def test_a_forward_that_drops_the_imaginary_part_is_said_to():
    """And is asked by differences."""
    through = plain((0,))
    dropping = asked((0,), SHAPE, forward=lambda x, parameters: through(np.real(x), parameters))
    expected_note = "complex step not used: forward drops the imaginary part"
    assert derive(dropping).notes[0] == expected_note


def conjugated(x, axes):
    """What torch calls the variance of complex numbers."""
    centred = x - x.mean(axis=axes, keepdims=True)
    return (np.abs(centred) ** 2).mean(axis=axes, keepdims=True)


@pytest.mark.parametrize("shape", [SHAPE, LARGE])
@pytest.mark.parametrize("axes", [(0,), (0, 1, 2), (1, 2, 3), (3,)])
def test_forward_that_is_not_analytic_is_asked_by_differences(axes, shape):
    """In every structure the complex step is found out, and differences are as the textbook's."""
    one = asked(axes, shape, forward=plain(axes, conjugated))
    right = expected(one.question, axes)["grad_input"]

    found = derive(one)

    assert "central differences at" in found.method
    assert found.notes[0].startswith("complex step not used: it disagrees")
    assert distance(found, "grad_input", right) < 1e-6
    assert not hold(one, found, right, found.noise["grad_input"])


@pytest.mark.parametrize("axes", [(0,), (0, 1, 2)])
def test_single_precision_is_asked_by_differences(axes):
    """Their noise is said to be as large as it is."""
    one = asked(axes, SHAPE, dtype=np.float32)
    right = expected(one.question.to(np.float64), axes)["grad_input"]

    found = derive(one)

    assert not found.problem
    error = np.abs(found.values["grad_input"] - right) / found.scales["grad_input"]
    assert (error <= found.noise["grad_input"]).all()
    assert np.median(np.broadcast_to(found.noise["grad_input"], error.shape)) < 0.05


def test_a_leak_is_named_at_both_ends_and_makes_one_group_of_all():
    """A pixel that takes a little of another."""
    report = gradcheck(troubled.Leaks)

    assert report.leaks["victims"] == 1
    assert report.leaks["pairs"] == [[(0, 1, 0), (2, 3, 1)]]
    assert report.status == "fail"  # the backward knows nothing of it


def test_a_leak_between_channels_is_found_at_full_size():
    """Groups are scanned, whatever they are; the leak's own derivative is part of what is right."""

    def forward(x, parameters):
        y = plain((0, 1, 2))(x, parameters)
        y[..., 1] += 1e-3 * x[0, 2, 3, 0]
        return y

    one = asked((0, 1, 2), SHAPE, forward=forward)
    found = derive(one)

    assert found.leaks.victims == 1
    assert found.leaks.pairs == (((0,), (1,)),)
    assert found.axes == (0, 1, 2, 3)
    right = expected(one.question, (0, 1, 2))["grad_input"]
    right[0, 2, 3, 0] += 1e-3 * one.question.delta[..., 1].sum()
    assert distance(found, "grad_input", right) < 1e-9


def test_groups_that_forward_divides_by_zero_are_left_out_with_a_note():
    """Without an eps a constant group has no output; others are judged. NaN elsewhere is bad."""

    def forward(x, parameters):
        centred = x - x.mean(axis=0)
        with np.errstate(all="ignore"):
            root = np.sqrt((centred * centred).mean(axis=0))
            return parameters["gamma"] * (centred / root) + parameters["beta"]

    one = asked((0,), SHAPE, forward=forward)
    dead = one.question.variance == 0
    found = derive(one)

    assert not found.problem
    assert dead.any()
    assert (found.skipped == dead).all()
    assert "divides by zero where the variance is 0" in " ".join(found.notes)

    one.base[2, 0, 0, 0] = np.nan
    one.question.x[:, 0, 0, 0] = range(5)
    assert "NaN or infinity" in derive(one).problem


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Casts", "float64"), ("CastsToSingle", "float64"), ("TrapsComplex", "float32")],
)
def test_layer_that_is_not_analytic_is_not_misjudged(name, dtype):
    """Without the complex step, differences at two steps decide, and the report says so."""
    report = gradcheck(getattr(troubled, name), dtype=dtype)

    assert report.passed
    assert "central differences" in report.method
    assert any("complex step not used" in note for note in report.notes)


def test_missing_variance_term_is_not_excused_by_numpys_variance():
    """What a naive complex step would call right is wrong."""
    assert not gradcheck(troubled.TrapsComplexAndForgets).passed


@pytest.mark.parametrize("seed", [0, 24])
def test_kink_is_not_called_wrong(seed):
    """A pixel at the kink of a clip has no derivative; it is left out and counted."""
    report = gradcheck(troubled.Clips, seed=seed)
    assert report.passed
    assert any("non-differentiable" in note for note in report.notes)
