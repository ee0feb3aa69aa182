"""The diagnosis: every planted bug by its name, and nothing that is not known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from bncli import gradcheck
from bncli.checking.mistakes import MISTAKES
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE
from bncli.checking.self_test import OTHERS, STUDIED, planted, run_battery
from bncli.checking.terms import count_values, name_count


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", [0, 11])
@pytest.mark.parametrize("fault", [*STUDIED, *OTHERS], ids=lambda fault: fault.name)
def test_planted_bug_is_named(fault, dtype, seed):
    """The one gradient that is wrong fails, the others pass, and the bug has its right name."""
    report = gradcheck(fault.layer, shape=fault.shape, dtype=dtype, seed=seed)

    assert report.status == "fail"
    assert report.diagnosis.name == fault.expected
    assert report.diagnosis.quantity == fault.quantity
    wrong = [name for name, quantity in report.quantities.items() if not quantity.passed]
    assert wrong == [fault.quantity]


@pytest.fixture(scope="module")
def diagnoses():
    return [gradcheck(fault.layer, shape=fault.shape).diagnosis for fault in (*STUDIED, *OTHERS)]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: f"{row.quantity} {row.name}")
def test_every_known_mistake_has_a_planted_layer(row, diagnoses):
    """Each row of the table is said, in its own words, of a layer that was written by hand."""
    words = row.message.partition("{")[0]

    assert [
        found
        for found in diagnoses
        if found.quantity == row.quantity
        and found.name.partition("-times-1/")[0] == row.name
        and words in found.message
        and found.change == row.change
    ]


@pytest.mark.parametrize(
    ("coefficients", "name"),
    [
        ((1, 1, 0), "missing-variance-term"),
        ((2, 2, 2), "doubled"),
        ((1, 0, 1), "missing-mean-term"),
    ],
)
def test_mistakes_of_an_unbiased_layer_have_their_names(coefficients, name):
    """Coefficients are told beside what is right for the layer's own forward."""

    def rule(parts):
        a, b, c = coefficients
        return parts.terms(a, b, c * parts.batch / (parts.batch - 1))

    found = gradcheck(planted("unbiased", ddof=1, input_rule=rule)).diagnosis
    assert found.name == name
    np.testing.assert_allclose(found.coefficients, coefficients, atol=1e-7)


@settings(max_examples=25)
@given(
    a=strategies.floats(-3, 3),
    b=strategies.floats(-3, 3),
    c=strategies.floats(-3, 3),
)
def test_coefficients_are_those_planted(a, b, c):
    """Whatever the three coefficients are, the fit finds them."""
    if max(abs(a - 1), abs(b - 1), abs(c - 1)) < 1e-3 or max(abs(a), abs(b), abs(c)) < 1e-3:
        return
    layer = planted("any", input_rule=lambda parts: parts.terms(a, b, c))
    found = gradcheck(layer).diagnosis

    assert found.coefficients is not None
    np.testing.assert_allclose(found.coefficients, (a, b, c), atol=1e-7)


@settings(max_examples=20)
@given(seed=strategies.integers(0, 10_000))
def test_random_gradient_is_unrecognised(seed):
    """Numbers that have nothing to do with the formula get no name."""

    def rule(parts):
        return np.random.default_rng(seed).standard_normal(parts.delta.shape)

    assert gradcheck(planted("random", input_rule=rule)).diagnosis.name == "unrecognised"


def test_count_is_confirmed_at_the_second_shape():
    """A constant that equals a count at one shape only is not called a count."""
    by_chance = planted("chance", input_rule=lambda parts: parts.terms(b=5 / 24))

    found = gradcheck(by_chance).diagnosis
    assert found.name == "mean-times-?"
    assert "no count of the shape" in found.message


def test_no_two_counts_agree_at_both_shapes():
    """Else a diagnosis could name the wrong one."""
    first, second = count_values(PROBE_SHAPE), count_values(SECOND_SHAPE)
    pairs = [(first[name], second[name]) for name in first]
    same = {
        (a, b)
        for i, a in enumerate(first)
        for j, b in enumerate(first)
        if i < j and np.allclose(pairs[i], pairs[j], rtol=1e-3)
    }
    # These are the same number, written twice.
    twice = [("1/(B*P)", "(1/B)/P"), ("1/c", "B/(B*c)")]
    twice += [("1/P", "B/(B*P)"), ("1/(w*h)", "B/(B*w*h)")]
    assert same <= set(twice)


def test_name_count_knows_signs_and_refuses_strangers():
    """-1/P is named, pi is not."""
    shapes = [PROBE_SHAPE, SECOND_SHAPE]

    assert name_count([-1 / 24, -1 / 30], shapes, 1e-6) == "-1/P"
    assert name_count([3.14159, 3.14159], shapes, 1e-6) is None


def test_battery_kills_all_mutants():
    """The self-test of the command: at least 25 planted bugs, all named, and right layers pass."""
    results = run_battery(seed=5)

    assert len({r.name for r in results if r.expected}) >= 25
    assert len([r for r in results if not r.expected]) >= 4
    assert [r for r in results if not r.ok] == []


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1e-3])
@pytest.mark.parametrize("fault", STUDIED, ids=lambda fault: fault.name)
def test_planted_bug_is_named_whatever_the_eps(fault, eps):
    """Layers of eps 1e-5 and 1e-3 are the usual ones: their bugs have the same names."""
    assert gradcheck(fault.layer, eps=eps).diagnosis.name == fault.expected


class EpsOutside:
    """A forward with eps outside the root, and the backward of one with eps under it."""

    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=0)) + self.eps
        self.x_norm = (x - x.mean(axis=0)) / self.std
        return self.gamma * self.x_norm + self.beta

    def variance_term(self, delta):
        return self.x_norm * (delta * self.x_norm).mean(axis=0)

    def backward(self, delta):
        self.grad_gamma = (delta * self.x_norm).sum(axis=0)
        self.grad_beta = delta.sum(axis=0)
        middle = delta - delta.mean(axis=0) - self.variance_term(delta)
        return self.gamma / self.std * middle


class EpsOutsideBoth(EpsOutside):
    """The right backward of that forward: the derivative of the root has no eps in it."""

    def variance_term(self, delta):
        root = self.std - self.eps
        return super().variance_term(delta) * self.std / np.where(root > 0, root, 1.0)


def test_eps_outside_the_root_of_forward():
    """It is named where the backward is that of the standard, and passes where it is its own."""
    found = gradcheck(EpsOutside)

    assert found.status == "fail"
    assert found.diagnosis.name == "eps-outside-root"
    assert "forward adds eps to the root" in found.diagnosis.message
    assert gradcheck(EpsOutsideBoth).status == "pass"
