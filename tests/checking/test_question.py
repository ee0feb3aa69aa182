"""What is asked: refused where it is impossible, and never vacuous."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import textbook

from bncli import gradcheck
from bncli.checking.planting import PlantedLayer, planted
from bncli.checking.question import (
    PROBE_SHAPE,
    SECOND_SHAPE,
    Question,
    draw_batch,
    draw_parameters,
    vacuous,
)
from bncli.errors import (
    NonFiniteError,
    OptionError,
    ShapeError,
    SinglePictureError,
)


def test_probe_holds_what_it_promises():
    """Pixels of variance 0, eps and 100 eps, and no two axes equal."""
    for seed in range(20):
        variance = np.sort(draw_batch(PROBE_SHAPE, seed, 1e-8).var(axis=0).ravel())
        assert variance[0] == 0
        np.testing.assert_allclose(variance[1:3], (1e-8, 1e-6), rtol=1e-5)
        gamma = draw_parameters({"gamma": PROBE_SHAPE[1:]}, seed)["gamma"]
        assert np.abs(gamma).min() >= 0.5
    assert len(set(PROBE_SHAPE)) == len(set(SECOND_SHAPE)) == 4


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
    assert any("2 values are normalized" in warning for warning in report.warnings)

    without = planted("without", input_rule=lambda parts: parts.terms(b=0, c=0) * 0)
    assert gradcheck(without, shape=(2, 3, 4, 2)).status == "fail"


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


@pytest.mark.parametrize(
    ("batch", "vacuous_for"), [(2, "2 values are normalized together"), (3, "")]
)
def test_three_pictures_are_the_fewest_that_tell_right_from_wrong(rng, batch, vacuous_for):
    """Of two, the textbook's gradient is 0 but for eps, whatever the delta; of three it is not."""
    x, delta = rng.standard_normal((2, batch, 3, 2, 1))
    eps = 1e-12
    size = np.abs(textbook(x, eps=eps, delta=delta).grad_input).max()
    assert (size < 1e-6) == (batch == 2)
    reasons = vacuous(Question(x, delta, {}, eps, (0,)))
    assert any("2 values are normalized together" in r for r in reasons) == (batch == 2)
