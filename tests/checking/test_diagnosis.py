"""The diagnosis: every planted bug by its name, and nothing that is not known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from bncli import gradcheck
from bncli.checking.faults import ELSEWHERE, OTHERS, RIGHT, STUDIED
from bncli.checking.mistakes import MISTAKES
from bncli.checking.planting import Channels, Fault, Pictures, PlantedLayer, planted
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE
from bncli.checking.self_test import tried
from bncli.checking.terms import count_values, name_count

KINDS = (PlantedLayer, Channels, Pictures)


@cache
def told(fault, dtype):
    """What is said of a planted layer."""
    return tried(fault, dtype, 11)


def named(layer, dtype="float64"):
    """What is said of a layer's wrong gradient."""
    return tried(Fault("", "", layer), dtype, 0).report.diagnosis


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "fault", [*RIGHT, *STUDIED, *OTHERS, *ELSEWHERE], ids=lambda fault: fault.name
)
def test_planted_bug_is_named(fault, dtype):
    """The one gradient that is wrong fails, the others pass, and the bug has its right name."""
    found = told(fault, dtype)

    assert found.ok, f"{found.named} for {fault.expected}: {found.report}"


@pytest.fixture(scope="module")
def diagnoses():
    faults = (*STUDIED, *OTHERS, *ELSEWHERE)
    reports = [told(fault, "float64").report for fault in faults]
    return [found for r in reports for found in (r.diagnosis, *r.other_diagnoses)]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: f"{row.quantity} {row.name}")
def test_every_known_mistake_has_a_planted_layer(row, diagnoses):
    """Each row of the table is said, in its own words, of a layer that was written by hand."""
    words = row.message.partition("{")[0]

    assert [
        found
        for found in diagnoses
        if found.quantity == row.quantity
        and found.name.partition("-times-1/")[0].startswith(row.name)
        and words in found.message
    ]


@pytest.mark.parametrize("fault", STUDIED[::5], ids=lambda fault: fault.name)
def test_planted_bug_is_named_in_a_layer_found_out_by_trying(fault):
    """The same names come where the layer is understood first, as a user's is."""
    report = gradcheck(fault.layer)

    assert report.diagnosis.name == fault.expected
    assert [n for n, q in report.quantities.items() if not q.passed] == [fault.quantity]


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
@pytest.mark.parametrize("fault", STUDIED[::2], ids=lambda fault: fault.name)
def test_planted_bug_is_named_whatever_the_eps(fault, eps):
    """Layers of eps 1e-5 and 1e-3 are the usual ones: their bugs have the same names."""
    assert tried(fault, "float64", 0, eps).named == fault.expected


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            planted(
                "n", Channels, input_rule=lambda p: p.terms(1, p.count / p.batch, p.count / p.batch)
            ),
            "N was used where N*H*W belongs",
        ),
        (
            planted("m", gamma_rule=lambda p: (p.delta * p.x_norm).mean(axis=0)),
            "it is a mean over the batch where a sum belongs",
        ),
        (planted("i", input_rule=lambda p: p.terms(1, 0, 0)), "NumPyNet"),
        (
            planted("f", input_rule=lambda p: p.terms() * (1 + 1e-5)),
            "the whole gradient is multiplied by 1.00001, which is no count",
        ),
        (
            planted("s", input_rule=lambda p: p.terms().swapaxes(1, 2)),
            "w and h are swapped",
        ),
    ],
)
def test_a_diagnosis_says_it_in_these_words(layer, sentence):
    """What people search for when they read it."""
    assert sentence in named(layer).message


def test_one_wrong_pixel_of_a_parameter_is_placed():
    """It is no gradient of another kind, and its message says where it is."""

    def rule(parts):
        gradient = (parts.delta * parts.x_norm).sum(axis=0)
        gradient[1, 2, 0] += 1
        return gradient

    found = named(planted("one", gamma_rule=rule))

    assert found.quantity == "grad_gamma"
    assert "(1, 2, 0)" in found.message


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(a=strategies.floats(-3, 3), b=strategies.floats(-3, 3), c=strategies.floats(-3, 3))
def test_coefficients_are_those_planted(kind, a, b, c):
    """Whatever the three coefficients are, the fit finds them."""
    if max(abs(a - 1), abs(b - 1), abs(c - 1)) < 1e-3 or max(abs(a), abs(b), abs(c)) < 1e-3:
        return
    found = named(planted("any", kind, input_rule=lambda parts: parts.terms(a, b, c)))

    assert found.coefficients is not None
    np.testing.assert_allclose(found.coefficients, (a, b, c), atol=1e-6)


UNKNOWN = {
    "random": lambda p: np.random.default_rng(9).standard_normal(p.delta.shape),
    "clipped": lambda p: np.clip(p.terms(), -0.3, 0.3),
    "squared": lambda p: p.terms() ** 2,
    "noisy": lambda p: p.terms() + 1e-3 * np.sin(50 * p.x),
    "median": lambda p: p.terms() + np.median(p.delta, axis=p.axes, keepdims=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_gets_no_name(kind, name):
    """Numbers that no mistake of the table makes are described, not named."""
    found = named(planted(name, kind, input_rule=UNKNOWN[name]))

    assert found.name == "unrecognised"
    assert "values of a probe are wrong" in found.message


def test_count_is_confirmed_at_the_second_shape():
    """A constant that equals a count at one shape only is not called a count."""
    found = named(planted("chance", input_rule=lambda parts: parts.terms(b=5 / 24)))

    assert found.name == "mean-times-?"
    assert "no count of the shape" in found.message


def test_no_two_counts_agree_at_both_shapes():
    """Else a diagnosis could name the wrong one."""
    first, second = count_values(PROBE_SHAPE, 5), count_values(SECOND_SHAPE, 7)
    pairs = {name: (first[name], second[name]) for name in first if "N" not in name}
    same = {
        (a, b)
        for i, a in enumerate(pairs)
        for j, b in enumerate(pairs)
        if i < j and np.allclose(pairs[a], pairs[b], rtol=1e-3)
    }
    # These are the same number, written twice.
    twice = [("1/(B*P)", "(1/B)/P"), ("1/c", "B/(B*c)")]
    twice += [("1/P", "B/(B*P)"), ("1/(w*h)", "B/(B*w*h)")]
    assert same <= set(twice)


def test_name_count_knows_signs_and_refuses_strangers():
    """-1/P is named, pi is not."""
    tables = [count_values(PROBE_SHAPE, 5), count_values(SECOND_SHAPE, 7)]

    assert name_count([-1 / 24, -1 / 30], tables, 1e-6) == "-1/P"
    assert name_count([3.14159, 3.14159], tables, 1e-6) is None


def test_lines_to_change_are_those_of_the_layer():
    """Per pixel means are over the batch, per channel over N, W and H."""
    plain = named(planted("p", input_rule=lambda p: p.terms(b=0))).change
    channel = named(planted("c", Channels, input_rule=lambda p: p.terms(b=0))).change

    assert plain == "mean term: - delta.sum(0) / B"
    assert channel == "mean term: - delta.sum(N, W, H) / (N*H*W)"
