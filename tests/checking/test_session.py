"""How layers are understood: their names, their gradients, pairs of functions, objects."""

from __future__ import annotations

import pytest
from checking.targets import pair, repository, troubled

from bncli import BatchNorm, gradcheck
from bncli.errors import (
    TargetError,
)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_repository_protocol_is_recognised(dtype):
    """input_shape needed, delta an attribute, gradient added into the argument: no adapter."""
    report = gradcheck(repository.BatchNorm_layer, dtype=dtype)

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


def test_layers_may_share_their_output_array():
    """What one forward gave is kept before the next overwrites it; that it is lost is said."""
    report = gradcheck(troubled.SharesItsOutput)

    assert report.quantities["grad_input"].passed
    assert report.status == "fail"
    assert [f.name for f in report.findings if f.decides and f.passed is False] == ["first output"]


def test_layer_that_gives_nothing_is_a_question():
    """A backward whose gradient cannot be found is asked about."""
    with pytest.raises(TargetError, match="where does it put the gradient of the input"):
        gradcheck(troubled.GivesNone)
    with pytest.raises(TargetError, match="needs riddle"):
        gradcheck((pair.forward_with_riddle, pair.backward))
    with pytest.raises(TargetError, match="has no method backward"):
        gradcheck(troubled.NoBackward)
    with pytest.raises(TargetError, match="has no method forward and no backward"):
        gradcheck(42)


def test_unknown_names_are_found_out_or_said():
    """What no name tells is found by trying; and every part of it can be said instead."""
    report = gradcheck(troubled.OtherNames)
    assert report.passed
    assert report.protocol["gamma"] == "inner.gamma"
    assert report.quantities["grad_gamma"].checked == 24

    named = {"grad_gamma": "slope_of_stretch", "grad_beta": "slope_of_lift"}
    assert gradcheck(troubled.OtherNames, protocol=named).passed
    swapped = {"grad_gamma": "slope_of_lift", "grad_beta": "slope_of_stretch"}
    report = gradcheck(troubled.OtherNames, protocol=swapped)
    assert {d.name for d in (report.diagnosis, *report.other_diagnoses)} == {"swapped"}


def test_layer_there_is_can_be_checked():
    """An object is copied, and is as it was afterwards."""
    layer = BatchNorm()
    assert gradcheck(layer).passed
    assert layer.x is None
    assert layer.scales is None
