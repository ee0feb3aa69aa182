"""What is said of a check, judged on reports made by hand: no checker is needed for it."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from bncli import gradcheck
from bncli.checking.compare import Quantity
from bncli.checking.diagnosis import Diagnosis
from bncli.checking.identities import Finding
from bncli.checking.question import Request
from bncli.checking.report import (
    GradcheckReport,
    fact_rows,
    headline,
    report_lines,
    verdict_line,
)
from bncli.checking.signs import seen_in

RIGHT = Quantity(
    passed=True, max_rel_error=2e-16, worst_index=(1,), tolerance=5e-9, checked=24, total=24
)
WRONG = Quantity(
    passed=False, max_rel_error=1.234, worst_index=(2, 1, 2, 1), analytic=-6.5, numeric=0.25,
    abs_error=6.75, tolerance=5e-9, wrong=119, checked=120, total=120, pixels_wrong=23, pixels=24,
    channels_wrong=(0, 1),
)  # fmt: skip
MEAN = Diagnosis(
    "missing-mean-term", "the mean term is missing", "mean term: - delta.sum(0) / B",
    (1.0, 0.0, 1.0), ("1", "0", "1"), (1, 1), 1e-16,
)  # fmt: skip
PIXELS = Diagnosis(
    "pixels-for-batch-and-mean-divided-twice", "w*h*c was used where batch belongs", "",
    (1.0, 1 / 24, 5 / 24), ("1", "1/P", "B/P"), (1, 1), 1e-16,
)  # fmt: skip
AGAIN = "bncli gradcheck layer.py:BatchNorm --layout nchw --seed 3"
RUNS = {"layout": "nchw", "held": True, "status": "pass", "message": ""}


def failure(diagnosis=MEAN, **facts):
    quantities = {"grad_input": WRONG, "grad_gamma": RIGHT, "grad_beta": RIGHT}
    plain = {
        "quantities": quantities, "diagnosis": diagnosis, "status": "fail", "shape": (5, 3, 4, 2),
        "protocol": {"gamma": "params.g"}, "method": "complex step", "command": AGAIN,
        "notes": ("a note",), "conformance": {"message": "forward is standard", "ddof": 0},
        "findings": (Finding("crop", message="the gradient of a crop is the crop", passed=False),),
    }  # fmt: skip
    return GradcheckReport("BatchNorm", **(plain | facts))


def passing(**facts):
    quantities = {"grad_input": RIGHT, "grad_gamma": RIGHT, "grad_beta": RIGHT}
    return GradcheckReport(
        "BatchNorm", **({"quantities": quantities, "shape": (5, 3, 4, 2)} | facts)
    )


def test_a_failure_is_told_in_eight_short_lines():
    """Verdict, three gradients, the cause, the formula as it is and should be, the command."""
    lines = report_lines(failure(PIXELS))
    assert lines == [
        "FAIL: grad_input is wrong",
        "grad_input   WRONG: 119 of 120 elements; error 1.2, allowed 5e-09",
        "grad_gamma   right: 24 elements",
        "grad_beta    right: 24 elements",
        "because      w*h*c was used where batch belongs",
        "  - gamma*inv_std*(delta - 1/P*mean(delta) - B/P*x_norm*mean(delta*x_norm))",
        "  + gamma*inv_std*(delta - mean(delta) - x_norm*mean(delta*x_norm))",
        f"again: {AGAIN}",
    ]
    assert max(map(len, lines)) <= 80


def test_all_else_is_there_on_request():
    """Question, protocol, method, properties, notes, the worst element and the coefficients."""
    words = "\n".join(report_lines(failure(PIXELS), details=True))
    for said in ("5x3x4x2", "gamma params.g", "complex step", "forward is standard", "a note",
                 "does not hold: crop", "worst at (b, x, y, k) = (2, 1, 2, 1)", "channels 0,1",
                 "(1, 0.0416667, 0.208333) = (1, 1/P, B/P), should be (1, 1, 1)",
                 "diagnosis of grad_input: pixels-for-batch-and-mean-divided-twice"):  # fmt: skip
        assert said in words
        assert said not in str(failure(PIXELS))


@pytest.mark.parametrize(
    ("symbols", "numbers", "powers", "ddof", "was"),
    [
        (("1", "0", "1"), (1, 0, 1), (1, 1), 0,
         "gamma*inv_std*(delta - x_norm*mean(delta*x_norm))"),
        (("-1", "-1", "-1"), (-1, -1, -1), (1, 1), 0,
         "gamma*inv_std*(-delta + mean(delta) + x_norm*mean(delta*x_norm))"),
        (("0", "1", "0"), (0, 1, 0), (1, 1), 0, "gamma*inv_std*(-mean(delta))"),
        (("0", "0", "0"), (0, 0, 0), (1, 1), 0, "0"),
        (("1", "0", "0"), (1, 0, 0), (0, 0), 0, "delta"),
        (("1", "1", "1"), (1, 1, 1), (0, 2), 0,
         "inv_std**2*(delta - mean(delta) - x_norm*mean(delta*x_norm))"),
        (("1", "?", "1"), (1, 0.12345678, 1), (1, 1), 0,
         "gamma*inv_std*(delta - 0.123457*mean(delta) - x_norm*mean(delta*x_norm))"),
        (("1", "(w*h)", "1/(w*h)"), (1, 12, 1 / 12), (1, 1), 0,
         "gamma*inv_std*(delta - w*h*mean(delta) - 1/(w*h)*x_norm*mean(delta*x_norm))"),
        (("1", "1", "(B-1)/B"), (1, 1, 0.8), (1, 1), 1,
         "gamma*inv_std*(delta - mean(delta) - (B-1)/B*x_norm*sum(delta*x_norm)/(B-1))"),
    ],
)  # fmt: skip
def test_the_formula_that_a_target_has(symbols, numbers, powers, ddof, was):
    """Its signs, factors and missing terms are those that were found."""
    found = Diagnosis("x", "y", "", numbers, symbols, powers)
    lines = report_lines(failure(found, conformance={"message": "", "ddof": ddof}))
    product = "sum(delta*x_norm)/(B-1)" if ddof else "mean(delta*x_norm)"
    assert f"  - {was}" in lines
    assert f"  + gamma*inv_std*(delta - mean(delta) - x_norm*{product})" in lines


def test_a_line_that_is_known_by_its_words():
    """Where there are no coefficients, the lines of the diagnosis; none where none is known."""
    known = Diagnosis("mean", "a mean", "delta.sum(0)", was="delta.mean(0)", quantity="grad_beta")
    lines = report_lines(failure(known))
    assert "  - delta.mean(0)" in lines
    assert "  + delta.sum(0)" in lines
    unknown = Diagnosis("unrecognised", "no combination explains it")
    lines = report_lines(failure(unknown))
    assert not any(line.startswith(("  -", "  +")) for line in lines)
    # Then where it is worst is what helps.
    assert any(
        "worst at (b, x, y, k) = (2, 1, 2, 1): given -6.5, should be 0.25" in x for x in lines
    )


def test_a_sample_is_called_one():
    """Where not all was asked, how much was and how much there is."""
    some = dataclasses.replace(WRONG, wrong=60, checked=64, total=995_328)
    line = report_lines(failure(quantities={"grad_input": some}))[1]
    assert "WRONG: 60 of 64 elements asked, of 995,328; error 1.2" in line


def test_a_success_says_what_was_looked_at():
    """Gradients, elements, batch, layouts and seeds, in a line below the verdict."""
    assert report_lines(passing()) == [
        "PASS: the backward is right",
        "checked      grad_input, grad_gamma, grad_beta: 72 elements of 5x3x4x2",
    ]
    flat = {**RUNS, "layout": "flat"}
    absent = {"layout": "dn", "held": False, "status": "", "message": "shapes differ"}
    words = str(passing(layouts=(RUNS, flat, absent), seeds=(0, 1, 2)))
    assert ", as nchw and flat, at 3 seeds" in words
    assert "dn" not in words
    sampled = Quantity(passed=True, checked=128, total=995_328, tolerance=1e-6, max_rel_error=0.0)
    bare = {"grad_input": sampled, "grad_gamma": None, "grad_beta": None}
    words = str(passing(quantities=bare))
    assert "grad_input: 128 of 995,328 elements" in words
    assert "(the layer has no grad_gamma and no grad_beta)" in words


def test_a_success_that_was_asked_for_less_says_so():
    """What --only left out is not called right."""
    report = passing(
        quantities={"grad_input": RIGHT, "grad_gamma": None, "grad_beta": None},
        only=("grad_input",),
    )
    assert verdict_line(report) == "PASS: grad_input is right; nothing else was asked"
    assert "the layer has no" not in str(report)
    assert "grad_gamma   not asked" in report_lines(report, details=True)


def test_what_was_not_looked_at_is_not_called_wrong():
    """An inconclusive check names what was right, and what it could not look at."""
    lost = Quantity(passed=False, problem="nothing could be compared", total=24)
    report = failure(
        None, status="inconclusive", reason="grad_beta was not found; give --protocol",
        quantities={"grad_input": RIGHT, "grad_gamma": None, "grad_beta": lost},
    )  # fmt: skip
    assert report_lines(report) == [
        "INCONCLUSIVE: grad_beta was not found; give --protocol",
        "grad_input   right: 24 elements",
        "grad_beta    not checked: nothing could be compared",
        f"again: {AGAIN}",
    ]


def test_a_property_that_does_not_hold_fails_by_name():
    """All elements right, and yet no right backward."""
    habit = Finding("awkward input", passed=False, message="a view fails", decides=False)
    crop = Finding("crop", passed=False, message="the gradient of a crop is the crop", decides=True)
    report = failure(None, quantities={"grad_input": RIGHT}, findings=(habit, crop))
    assert verdict_line(report) == "FAIL: what holds of every right backward does not: crop"
    assert "does not hold crop: the gradient of a crop is the crop" in report_lines(report)
    assert headline(report).startswith("FAIL: does not hold: crop: ")


def test_the_layout_and_the_seed_of_a_failure():
    """They are named where the others are right."""
    bad = {"layout": "flat", "held": True, "status": "fail", "message": ""}
    report = failure(layouts=(RUNS, bad), seed=7, seeds=(5, 6, 7))
    assert verdict_line(report) == "FAIL: grad_input is wrong as flat, at seed 7"
    assert verdict_line(failure(layouts=(bad,))) == "FAIL: grad_input is wrong"
    several = {"grad_input": WRONG, "grad_gamma": WRONG, "grad_beta": WRONG, "grad_slope": RIGHT}
    assert verdict_line(failure(quantities=several)) == (
        "FAIL: grad_input, grad_gamma and grad_beta are wrong"
    )


@pytest.mark.parametrize("diagnosis", [MEAN, PIXELS, None])
def test_the_first_sixty_letters_hold_verdict_and_cause(diagnosis):
    """Of the representation and of what require() raises: summaries show no more."""
    report = failure(diagnosis)
    cause = "119 of 120 elements; error 1.2" if diagnosis is None else diagnosis.name
    with pytest.raises(AssertionError) as raised:
        report.require()
    for words in (repr(report), str(raised.value)):
        assert "FAIL: grad_input: " in words[:60]
        assert cause in words[:60]
    assert "\n" not in repr(report)
    assert str(raised.value).endswith(AGAIN)
    passing().require()


def test_a_document_gives_the_report_again():
    """All of it, by way of JSON, which holds no NaN."""
    report = failure(layouts=(RUNS,), seeds=(0, 1), only=("grad_input",))
    text = json.dumps(report.document(), allow_nan=False)
    again = GradcheckReport.of(json.loads(text))
    assert report_lines(again, details=True) == report_lines(report, details=True)
    assert json.dumps(again.document()) == text
    assert json.loads(text)["layouts"] == [RUNS]


def test_seeds_are_told_where_there_were_several():
    """All of them, behind the batch that they were drawn for."""
    assert ("seeds", "3, 4, 5") in fact_rows(passing(seeds=(3, 4, 5)))
    assert "seeds" not in dict(fact_rows(passing()))
    assert gradcheck(shape=(3, 2, 1, 1)).seeds == ()
    assert Request().seeds == 1


def test_a_gradient_that_is_right_where_it_was_looked_at_is_not_called_wrong_there():
    """No mistake is made up for it."""
    evidence = SimpleNamespace(right=None, differs=lambda *_: np.zeros((2, 1, 1, 1), bool))
    assert seen_in(evidence, "float64") == "it is right at one shape, and wrong at another"
