"""Which forward a layer has is told, whether or not its backward is right."""

from __future__ import annotations

import pytest
from checking.targets import troubled

from bncli import gradcheck


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


def test_layer_norm_is_checked_element_by_element():
    """Pixels that depend on each other are no reason to give up, and are reported."""
    report = gradcheck(troubled.LayerNorm)
    assert report.passed
    assert report.leaks["victims"] == 24
    assert "LayerNorm" in report.conformance["message"]

    assert gradcheck(troubled.WrongLayerNorm).status == "fail"
