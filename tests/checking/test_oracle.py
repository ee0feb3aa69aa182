"""Numerical derivatives, leaks between pixels and kinks, judged by the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from checking.targets import published, troubled
from oracle import textbook

from bncli import gradcheck
from bncli.checking.faults import OTHERS
from bncli.checking.planting import PlantedLayer
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE, probe


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [PROBE_SHAPE, SECOND_SHAPE, (3, 1, 1, 1), (4, 2, 1, 1)])
def test_numeric_derivative_is_that_of_the_textbook(shape, dtype):
    """What the checker calls right is what the paper's chain rule gives."""
    question = probe(shape, 3, 1e-8)
    report = gradcheck(PlantedLayer, shape=shape, seed=3, dtype=dtype)
    expected = textbook(question.x, question.gamma, question.beta, 1e-8, question.delta)

    scale = np.abs(expected.grad_input).max(axis=0) + 1e-300
    error = np.abs(report.maps["numeric"] - expected.grad_input) / scale
    assert error.max() < 1e-9


def test_leak_is_found_at_both_ends():
    """A pixel that takes a little of another: source and victim are named."""
    report = gradcheck(troubled.Leaks)

    assert report.leaks["victims"] == 1
    assert report.leaks["pairs"] == [[(0, 1, 0), (2, 3, 1)]]
    assert report.status == "fail"  # the backward knows nothing of it


def test_leak_in_backward_is_found():
    """A backward that averages over pixels mixes the deltas of different pixels; a wrong one that
    does not is not accused of it."""
    mixing = {fault.name: fault.layer for fault in OTHERS}["mean over a channel"]
    assert gradcheck(mixing).leaks["backward"] == 24
    assert gradcheck(mixing, dtype="float32").leaks["backward"] == 24
    assert gradcheck(published.BatchNormalization).leaks["backward"] == 0


def test_large_leaky_layer_is_sampled_with_stated_coverage():
    """Where elements are too many to ask one by one, the report says how many were asked."""
    report = gradcheck(troubled.LayerNorm, shape=(4, 10, 9, 3))
    quantity = report.quantities["grad_input"]

    assert report.passed
    assert quantity.checked == 128 < quantity.total == 1080
    assert "128 of 1,080" in str(report)


@pytest.mark.parametrize("name", ["Casts", "CastsToSingle", "TrapsComplex"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(4))
def test_forward_that_is_not_analytic_is_not_misjudged(name, dtype, seed):
    """Without the complex step, differences at two steps decide, and the report says so."""
    report = gradcheck(getattr(troubled, name), dtype=dtype, seed=seed)

    assert report.passed
    assert "central differences" in report.method
    assert any("complex step not used" in note for note in report.notes)


def test_missing_variance_term_is_not_excused_by_numpys_variance():
    """What a naive complex step would call right is wrong."""
    report = gradcheck(troubled.TrapsComplexAndForgets)
    assert report.diagnosis.name == "missing-variance-term"


@pytest.mark.parametrize("seed", [0, 24, 106, 124])
def test_kink_is_not_called_wrong(seed):
    """A pixel at the kink of a clip has no derivative; it is left out and counted."""
    report = gradcheck(troubled.Clips, seed=seed)
    assert report.passed
    assert any("non-differentiable" in note for note in report.notes)
