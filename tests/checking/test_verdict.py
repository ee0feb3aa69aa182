"""The verdict: right layers pass, wrong ones fail where they are wrong, judged by the textbook."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from oracle import textbook

from bncli import BatchNorm, gradcheck
from bncli.checking.question import PROBE_SHAPE, SECOND_SHAPE, probe
from bncli.checking.self_test import OTHERS, RIGHT, PlantedLayer, planted
from bncli.errors import (
    NonFiniteError,
    OptionError,
    ShapeError,
    SinglePictureError,
    TargetError,
)

TARGETS = Path(__file__).parent / "targets"


def load(name):
    spec = importlib.util.spec_from_file_location(f"targets_{name}", TARGETS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


published, repository, pair, troubled = map(load, ("published", "repository", "pair", "troubled"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("fault", RIGHT, ids=lambda fault: fault.name)
@settings(max_examples=20)
@given(seed=strategies.integers(0, 2**32))
def test_a_right_layer_passes_with_every_seed(fault, dtype, seed):
    """No false alarm, in either precision, with pixels of variance 0, eps and 100 eps there."""
    assert gradcheck(fault.layer, dtype=dtype, seed=seed).status == "pass"


@pytest.mark.parametrize("name", ["Right", "Casts", "CastsToSingle", "TrapsComplex"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(6))
def test_constant_pixels_of_any_level_are_no_alarm(name, dtype, seed):
    """Where five equal values do not add up to five times the value, x_norm is all rounding."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (5, 20, 16, 3))
    x[:, :6] = x[:1, :6]
    x[:, 6:9] = np.clip(x[:1, 6:9] + rng.integers(-1, 2, (5, 3, 16, 3)), 0, 255)

    assert gradcheck(getattr(troubled, name), x / 255, dtype=dtype, seed=seed).passed


def test_own_layer_passes_at_full_size_in_few_forwards():
    """5x100x100x3, every element, in fewer than 60 forwards and about a fifth of a second."""
    began = time.perf_counter()
    report = gradcheck(shape=(5, 100, 100, 3))
    seconds = time.perf_counter() - began

    assert report.passed
    assert report.forwards < 60
    assert report.quantities["grad_input"].checked == 150_000
    assert seconds < 5  # a loaded machine has taken 1


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


def test_probe_holds_what_it_promises():
    """Pixels of variance 0, eps and 100 eps, and no two axes equal."""
    for seed in range(20):
        question = probe(PROBE_SHAPE, seed, 1e-8)
        variance = np.sort(question.variance.ravel())
        np.testing.assert_array_equal(variance[:2], 0)
        np.testing.assert_allclose(variance[2:4], (1e-8, 1e-6), rtol=1e-5)
        assert np.abs(question.gamma).min() >= 0.5
    assert len(set(PROBE_SHAPE)) == len(set(SECOND_SHAPE)) == 4


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
    assert wrong.wrong >= (120 if dtype == "float64" else 115)  # some are near 0, as they must be
    assert wrong.pixels_wrong == 24
    assert report.diagnosis.symbols == ("1", "1/P", "B/P")
    np.testing.assert_allclose(report.diagnosis.coefficients, (1, 1 / 24, 5 / 24), rtol=1e-4)
    assert "w*h*c was used where batch belongs" in report.diagnosis.message
    assert "the mean term is divided twice" in report.diagnosis.message
    assert [f.name for f in report.findings if f.passed is False] == [
        "sum",
        "sum with x_norm",
        "crop",
    ]


def test_published_backward_on_a_batch_of_pictures(batch):
    """The same on pictures, where every element is compared too."""
    report = gradcheck(published.BatchNormalization, batch)

    assert report.quantities["grad_input"].wrong == batch.size
    assert report.diagnosis.name == "pixels-for-batch-and-mean-divided-twice"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_repository_protocol_is_recognised(dtype):
    """input_shape needed, delta an attribute, gradient added into the argument: no adapter."""
    report = gradcheck(repository.BatchNorm_layer, dtype=dtype)

    assert report.protocol["input_shape"] == "input_shape"
    assert report.protocol["delta"] == "attribute"
    assert report.protocol["grad_input"] == "added"
    assert report.protocol["grad_gamma"] == "scales_update"
    assert report.diagnosis.name == "pixels-for-batch-and-mean-divided-twice"
    assert "overwrites" in [f.name for f in report.findings if f.passed is False]
    assert gradcheck(repository.Mended, dtype=dtype).passed


def test_pair_of_functions():
    """The course's two functions over (batch, features), with eps in a dictionary."""
    report = gradcheck((pair.forward, pair.backward), eps=1e-8)
    assert report.passed
    assert report.protocol["layout"] == "flat"
    assert report.conformance["standard"]

    report = gradcheck((pair.forward, pair.backward_without_mean))
    assert report.diagnosis.name == "missing-mean-term"
    assert gradcheck((pair.forward_of_three, pair.backward_of_three)).passed


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
def test_ddof_1_passes_the_first_verdict_and_not_the_second(dtype):
    """A forward and backward that agree are right, and are no standard batch normalization."""
    report = gradcheck(troubled.Unbiased, dtype=dtype)

    assert report.passed
    assert not report.conformance["standard"]
    assert report.conformance["ddof"] == 1
    assert any("ddof=1" in warning for warning in report.warnings)


def test_forward_with_eps_outside_the_root_is_told():
    """Consistent, so it passes; not the standard, and it is said."""
    report = gradcheck(troubled.EpsOutside)

    assert report.passed
    assert report.conformance["eps_outside_root"]


def test_forward_with_another_eps_is_told():
    """The eps that the forward really uses is found from its output."""
    report = gradcheck(troubled.HiddenEps)

    assert report.passed
    assert report.conformance["eps"] == pytest.approx(1e-5, rel=1e-6)
    assert not report.conformance["standard"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_inference_gradient_is_recognised(dtype):
    """The gradient of a layer whose statistics are constants has its own name."""
    assert gradcheck(troubled.Inference, dtype=dtype).diagnosis.name == "inference-gradient"


@pytest.mark.parametrize("delta", ["ones", "x_norm", "zero"])
def test_a_vacuous_delta_is_never_answered_pass_by_itself(delta, batch):
    """A delta in the null space is warned of, and another is asked beside it, and decides."""
    vacuous = {
        "ones": np.ones_like(batch),
        "x_norm": 2 + 3 * textbook(batch).x_norm,
        "zero": np.zeros_like(batch),
    }[delta]
    right = gradcheck(PlantedLayer, batch, vacuous)
    assert right.passed
    assert any("proves nothing" in warning for warning in right.warnings)

    without = planted("without", input_rule=lambda parts: parts.terms(c=1.5))
    assert gradcheck(without, batch, vacuous).status == "fail"


def test_two_pictures_prove_nothing_by_themselves():
    """Below three pictures the answer comes from a probe."""
    report = gradcheck(PlantedLayer, shape=(2, 3, 4, 2))
    assert report.passed
    assert any("2 pictures" in warning for warning in report.warnings)

    without = planted("without", input_rule=lambda parts: parts.terms(b=0, c=0) * 0)
    assert gradcheck(without, shape=(2, 3, 4, 2)).status == "fail"


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


def test_layer_norm_is_checked_element_by_element():
    """Pixels that depend on each other are no reason to give up, and are reported."""
    report = gradcheck(troubled.LayerNorm)
    assert report.passed
    assert report.leaks["victims"] == 24
    assert "LayerNorm" in report.conformance["message"]

    assert gradcheck(troubled.WrongLayerNorm).status == "fail"


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


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("NaNGradient", "fail", "NaN"),
        ("NaNForward", "inconclusive", "forward gives NaN"),
        ("WrongShape", "fail", "grad_input has shape (5, 1, 4, 2); it must be (5, 3, 4, 2)"),
        ("WrongGammaShape", "fail", "grad_gamma has shape (3, 4); it must be (3, 4, 2)"),
        ("Integers", "fail", "cut to whole numbers"),
        ("IntegerForward", "inconclusive", "forward gives int64"),
        ("Dropout", "inconclusive", "forward gives other numbers"),
        ("CallsExit", "inconclusive", "sys.exit(7)"),
        ("RaisesLater", "inconclusive", "this is too small for me"),
        ("Mutates", "pass", "forward leaves its input as it was"),
        ("Accumulates", "pass", "a second backward"),
        ("Climbs", "pass", "it climbs"),
    ],
)
def test_trouble_is_reported(name, status, words):
    """Each trouble has its own status, and words for it in the report."""
    report = gradcheck(getattr(troubled, name))

    assert report.status == status
    assert words in str(report)


def test_layers_may_share_their_output_array():
    """What one forward gave is kept before the next overwrites it."""
    assert gradcheck(troubled.SharesItsOutput).passed


def test_layer_that_gives_nothing_is_a_question():
    """A backward whose gradient cannot be found is asked about."""
    with pytest.raises(TargetError, match="where does it put the gradient of the input"):
        gradcheck(troubled.GivesNone)
    with pytest.raises(TargetError, match="needs stretch: what is it"):
        gradcheck(troubled.OtherNames)
    with pytest.raises(TargetError, match="needs riddle"):
        gradcheck((pair.forward_with_riddle, pair.backward))
    with pytest.raises(TargetError, match="has no method backward"):
        gradcheck(troubled.NoBackward)
    with pytest.raises(TargetError, match="has no method forward and no backward"):
        gradcheck(42)


def test_unknown_names_can_be_said():
    """Every part of the protocol can be overridden."""
    names = {
        "gamma": "stretch",
        "beta": "lift",
        "grad_gamma": "slope_of_stretch",
        "grad_beta": "slope_of_lift",
        "delta": "argument",
        "grad_input": "returned",
        "layout": "image",
    }
    report = gradcheck(troubled.OtherNames, protocol=names)
    assert report.passed
    assert report.quantities["grad_gamma"].checked == 24

    swapped = {**names, "grad_gamma": "slope_of_lift", "grad_beta": "slope_of_stretch"}
    report = gradcheck(troubled.OtherNames, protocol=swapped)
    assert {d.name for d in (report.diagnosis, *report.other_diagnoses)} == {"swapped"}


def test_layer_there_is_can_be_checked():
    """An object is copied, and is as it was afterwards."""
    layer = BatchNorm()
    assert gradcheck(layer).passed
    assert layer.x is None
    assert layer.scales is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"dtype": "float16"}, OptionError),
        ({"eps": 0.0}, OptionError),
        ({"eps": float("nan")}, OptionError),
        ({"seed": -1}, OptionError),
        ({"tolerance": 2.0}, OptionError),
        ({"shape": (5, 3, 4)}, OptionError),
        ({"shape": (1, 3, 4, 2)}, SinglePictureError),
        ({"x": np.zeros((5, 3))}, ShapeError),
        ({"x": np.zeros((1, 3, 3, 1))}, SinglePictureError),
        ({"x": np.full((3, 2, 2, 1), np.inf)}, NonFiniteError),
        ({"x": np.zeros((3, 2, 2, 1), complex)}, ShapeError),
        ({"delta": np.zeros((5, 3, 4, 3))}, ShapeError),
        ({"target": PlantedLayer, "protocol": {"colour": "red"}}, OptionError),
        ({"target": PlantedLayer, "protocol": {"layout": "round"}}, OptionError),
    ],
)
def test_impossible_questions_are_refused(arguments, error):
    """Each with the kind of error it is."""
    with pytest.raises(error):
        gradcheck(**arguments)


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
    assert str(report).splitlines()[-1] == "FAIL: grad_input wrong"
    assert not report
