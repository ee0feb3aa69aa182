"""The verdict: right layers pass, wrong ones fail where they are wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest
from checking.targets import published, troubled
from hypothesis import given, settings, strategies

from bncli import gradcheck
from bncli.checking.faults import RIGHT
from bncli.checking.planting import PlantedLayer, planted
from bncli.checking.report import report_lines


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("fault", RIGHT, ids=lambda fault: fault.name)
@settings(max_examples=2)
@given(seed=strategies.integers(0, 2**32))
def test_a_right_layer_passes_with_every_seed(fault, dtype, seed):
    """No false alarm, in either precision, with pixels of variance 0, eps and 100 eps there."""
    assert gradcheck(fault.layer, dtype=dtype, seed=seed).status == "pass"
    # The other layouts are the same numbers turned over; five seeds more are asked in one.
    assert gradcheck(fault.layer, dtype=dtype, seed=seed + 1, seeds=5, layout="image").passed


@pytest.mark.parametrize("name", ["Right", "Casts", "CastsToSingle", "TrapsComplex"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(6))
def test_constant_pixels_of_any_level_are_no_alarm(name, dtype, seed):
    """Where five equal values do not add up to five times the value, x_norm is all rounding."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (5, 20, 16, 3))
    x[:, :6] = x[:1, :6]
    x[:, 6:9] = np.clip(x[:1, 6:9] + rng.integers(-1, 2, (5, 3, 16, 3)), 0, 255)

    # The batch is asked about in one layout however many there are.
    layer = getattr(troubled, name)
    assert gradcheck(layer, x / 255, dtype=dtype, seed=seed, layout="image").passed


def test_own_layer_passes_at_full_size_in_few_forwards():
    """5x100x100x3, every element, in fewer than 60 forwards and about a fifth of a second."""
    began = time.process_time()
    report = gradcheck(shape=(5, 100, 100, 3))
    seconds = time.process_time() - began

    assert report.passed
    assert report.forwards < 60
    assert report.quantities["grad_input"].checked == 150_000
    assert seconds < 5  # of the processor; a loaded machine has taken 1


def test_coefficients_are_those_of_the_batch_that_was_asked_about():
    """The fit is made on small probes; counts are said as they are in the batch."""
    report = gradcheck(published.BatchNormalization, shape=(7, 9, 4, 3))

    np.testing.assert_allclose(report.diagnosis.coefficients, (1, 1 / 108, 7 / 108), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_published_backward(dtype):
    """Both parameter gradients pass, the input's is wrong everywhere, and both faults are named."""
    report = gradcheck(published.BatchNormalization, dtype=dtype)

    assert report.status == "fail"
    assert report.exit_code == 1
    assert report.quantities["grad_gamma"].passed
    assert report.quantities["grad_beta"].passed
    wrong = report.quantities["grad_input"]
    assert not wrong.passed
    assert wrong.checked == wrong.total == 120
    assert wrong.wrong >= (120 if dtype == "float64" else 110)  # some are near 0, as they must be
    assert wrong.pixels_wrong >= 23  # one is dead
    assert report.diagnosis.symbols == ("1", "1/P", "B/P")
    np.testing.assert_allclose(report.diagnosis.coefficients, (1, 1 / 24, 5 / 24), rtol=1e-4)
    assert "w*h*c was used where batch belongs" in report.diagnosis.message
    assert "the mean term is divided twice" in report.diagnosis.message
    assert [f.name for f in report.findings if f.passed is False] == [
        "sum",
        "sum with x_norm",
        "crop",
        "null",
    ]


def test_published_backward_on_a_batch_of_pictures(batch):
    """The same on pictures, where every element is compared too."""
    report = gradcheck(published.BatchNormalization, batch)

    assert report.quantities["grad_input"].wrong == batch.size
    assert report.diagnosis.name == "pixels-for-batch-and-mean-divided-twice"


def test_one_flipped_pixel_of_30000_is_located():
    """Its place is given exactly, and that it is one of many."""
    report = gradcheck(troubled.OnePixelOfMany, shape=(5, 100, 100, 3))
    wrong = report.quantities["grad_input"]

    assert report.status == "fail"
    assert (wrong.wrong, wrong.pixels_wrong, wrong.pixels) == (5, 1, 30_000)
    assert wrong.worst_index[1:] == (17, 83, 2)
    assert wrong.pictures_wrong == (0, 1, 2, 3, 4)
    assert report.diagnosis.name == "local"
    assert "(17, 83, 2)" in report.diagnosis.message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_inference_gradient_is_recognised(dtype):
    """The gradient of a layer whose statistics are constants has its own name."""
    assert gradcheck(troubled.Inference, dtype=dtype).diagnosis.name == "inference-gradient"


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("NaNGradient", "fail", "NaN"),
        ("NaNForward", "pass", "divides by zero where the variance is 0"),
        ("WrongShape", "fail", "grad_input has shape (5, 1, 4, 2); it must be (5, 3, 4, 2)"),
        ("WrongGammaShape", "fail", "grad_gamma has shape (3, 4); it must be (3, 4, 2)"),
        ("Integers", "fail", "cut to whole numbers"),
        ("IntegerForward", "inconclusive", "forward gives int64"),
        ("Dropout", "inconclusive", "forward gives other numbers"),
        ("CallsExit", "inconclusive", "sys.exit(7)"),
        ("RaisesLater", "inconclusive", "this is too small for me"),
        ("Mutates", "pass", "forward leaves its input as it was"),
        ("Accumulates", "fail", "a second backward"),
        ("Climbs", "pass", "it climbs"),
    ],
)
def test_trouble_is_reported(name, status, words):
    """Each trouble has its own status, and words for it in the report."""
    report = gradcheck(getattr(troubled, name))

    assert report.status == status
    assert words in "\n".join(report_lines(report, details=True))


def test_given_tolerance_is_used():
    """A wrong gradient within the tolerance the user gives is let pass."""
    nearly = planted("nearly", input_rule=lambda parts: parts.terms(c=1.001))
    assert gradcheck(nearly).status == "fail"
    assert gradcheck(nearly, tolerance=0.05).passed


def test_same_question_same_answer():
    """The document of two runs is equal, and another seed gives another."""
    first, second = (gradcheck(published.BatchNormalization, seed=4) for _ in range(2))
    assert first.document() == second.document()
    assert gradcheck(published.BatchNormalization, seed=5).document() != first.document()


def test_report_is_the_message_of_an_assertion():
    """In a test of one's own layer, the report is what pytest prints."""
    report = gradcheck(published.BatchNormalization)

    with pytest.raises(AssertionError, match="divided twice"):
        report.require()
    with pytest.raises(AssertionError, match="divided twice"):
        assert report.passed, str(report)
    gradcheck(PlantedLayer).require()
    assert repr(report).count("\n") == 0
    assert "pixels-for-batch" in repr(report)
    assert str(report).splitlines()[0] == "FAIL: grad_input is wrong"
    assert not report
