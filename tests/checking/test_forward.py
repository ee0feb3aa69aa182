"""Which forward a layer has is told, whether or not its backward is right."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.checking.forward import recognise
from bncli.checking.question import Question, draw_batch, draw_delta

SHAPE = (5, 3, 4, 6)
KINDS = {
    "each pixel": ((0,), (1, 3, 4, 6)),
    "each channel": ((0, 1, 2), (1, 1, 1, 6)),
    "layer normalization (each picture": ((1, 2, 3), (1, 3, 4, 6)),
    "over the last axis": ((3,), (1, 1, 1, 6)),
    "instance normalization": ((1, 2), (1, 1, 1, 6)),
    "everything together": ((0, 1, 2, 3), (1, 1, 1, 6)),
}


def asked(axes, of, eps, true_eps, *, ddof=0, outside=False, dtype=np.float64, groups=1):
    """A question, gamma and beta, and the output of a forward written out by hand."""
    rng = np.random.default_rng(3)
    x = draw_batch(SHAPE, 1, eps, axes)
    wide = {"gamma": rng.uniform(0.5, 1.5, of), "beta": rng.uniform(-1, 1, of)}
    parts = np.split(x.astype(dtype), groups, axis=3)
    outputs = []
    for part in parts:
        variance = part.var(axis=axes, ddof=ddof, keepdims=True)
        root = np.sqrt(variance) + true_eps if outside else np.sqrt(variance + true_eps)
        with np.errstate(all="ignore"):
            outputs.append((part - part.mean(axis=axes, keepdims=True)) / root)
    output = wide["gamma"] * np.concatenate(outputs, axis=3) + wide["beta"]
    return Question(x, draw_delta(SHAPE, 1), wide, eps, axes), wide, output.astype(dtype)


@pytest.mark.parametrize("words", KINDS)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ""),
        ({"ddof": 1}, "ddof=1"),
        ({"outside": True}, "eps added to the root"),
        ({"dtype": np.float32}, ""),
    ],
)
def test_every_kind_is_told_by_its_output(words, more, said):
    """Axes, ddof and the place of eps; standard is batch normalization as the literature has it."""
    axes, of = KINDS[words]

    question, wide, output = asked(axes, of, 1e-3, 1e-3, **more)
    model = recognise(question, wide, output, 1e-6 if "dtype" not in more else 5e-3)

    assert model.axes == axes
    assert words in model.message
    assert said in model.message
    assert model.ddof == more.get("ddof", 0)
    assert model.eps_outside_root == more.get("outside", False)
    assert model.standard == (axes in {(0,), (0, 1, 2)} and not said)


@pytest.mark.parametrize("true_eps", [1e-12, 1e-6, 1e-5, 1e-3, 0.1])
def test_an_eps_in_the_code_is_found(true_eps):
    """It is told in the message, and the forward is no less standard for it."""
    question, wide, output = asked((0,), (1, 3, 4, 6), 1e-8, true_eps)

    model = recognise(question, wide, output, 1e-6)

    assert model.eps == pytest.approx(true_eps, rel=1e-6)
    assert f"eps {true_eps:.3g} (in the code)" in model.message
    assert model.standard


def test_a_forward_without_eps_is_told():
    """It gives no number where the variance is 0, and is recognised by all others."""
    question, wide, output = asked((0,), (1, 3, 4, 6), 1e-8, 0.0)

    model = recognise(question, wide, output, 1e-6)

    assert not np.isfinite(output).all()
    assert model.eps == 0
    assert "no eps" in model.message


def test_groups_of_channels_are_counted():
    """Group normalization of 6 channels in 2 or 3 groups."""
    for groups in (2, 3):
        question, wide, output = asked((1, 2, 3), (1, 1, 1, 6), 1e-5, 1e-5, groups=groups)
        model = recognise(question, wide, output, 1e-6)
        assert model.groups == groups
        assert f"group normalization in {groups} groups" in model.message


def test_a_ddof_is_not_taken_for_an_eps():
    """Where there is but one group of usual variance, some eps would explain ddof=1 as well."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3, 4, 2))
    x[..., 0] = 0.25
    output = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2), ddof=1) + 1e-8)

    model = recognise(Question(x, x, {}, 1e-8, (0, 1, 2)), {}, output, 1e-6)

    assert (model.ddof, model.eps) == (1, 1e-8)


@pytest.mark.parametrize(
    "output", [np.tanh, lambda x: x / np.abs(x).max(axis=0), lambda x: x - x.mean(0)]
)
def test_what_is_no_normalization_is_not_recognised(output):
    """Other functions of x get no name."""
    x = np.random.default_rng(0).standard_normal(SHAPE)
    model = recognise(Question(x, x, {}, 1e-8), {}, output(x), 1e-6)

    assert model.axes is None
    assert "not recognised" in model.message


def test_inference_is_told():
    """Where no value of a batch reaches another, mean and variance are constants."""
    x = np.random.default_rng(0).standard_normal(SHAPE)

    assert "inference" in recognise(Question(x, x, {}, 1e-8, ()), {}, 2 * x + 1, 1e-6).message
