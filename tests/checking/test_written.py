"""Layers as people write them are recognised with no options, and judged right."""

from __future__ import annotations

from pathlib import Path

import pytest

from bncli.checking.examine import gradcheck
from bncli.errors import OptionError, TargetError

WRITTEN = Path(__file__).parent / "targets" / "written.py"

RIGHT = (
    "Plain", "RowsOnly", "Width", "InDicts", "InObjects", "Guarded", "Learner", "Optimized",
    "Channels", "Instances", "LastAxis", "Columns", "forward,backward",
    "forward,backward_swapped", "forward,backward_in_dict", "forward,backward_in_lists",
    "forward,backward_by_keyword", "forward_needs_eps,backward",
    "forward_without_eps,backward_without_eps", "StepsByItself", "Scalars",
    "BatchInConstructor", "WaitsInItsClass", "forward_of_parts,backward_of_parts",
    "forward_of_dict,backward_of_dict",
)  # fmt: skip
WRONG = {
    "WidthWithoutMean": ({"grad_input"}, "the mean term is missing"),
    "MeansInDicts": ({"grad_gamma", "grad_beta"}, "mean over the batch where a sum belongs"),
    "OptimizedWithMeans": ({"grad_gamma"}, "mean over the batch where a sum belongs"),
    "ChannelsByBatch": ({"grad_input"}, "N was used where N*H*W belongs"),
    "AnyShapeByBatch": ({"grad_input"}, "N was used where N*H*W belongs"),
    "forward,backward_too_many_axes": ({"grad_input"}, "only axes of length 1 differ"),
    "forward,backward_of_nan": ({"grad_input"}, "NaN"),
    "forward_without_eps,backward_with_eps": (
        {"grad_input", "grad_gamma"},
        "eps is in backward, not in forward",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_layer_passes_and_all_its_gradients_were_checked(name):
    """Whatever its style, each gradient that it has is found and compared."""
    report = gradcheck(f"{WRITTEN}:{name}")

    assert report.status == "pass", str(report)
    for quantity in ("grad_input", "grad_gamma", "grad_beta"):
        assert report.quantities[quantity].checked > 0


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_layer_fails_and_is_told_why(name):
    """The gradients that are wrong are those that fail, and the cause is in the report."""
    wrong, cause = WRONG[name]

    report = gradcheck(f"{WRITTEN}:{name}")

    failed = {n for n, q in report.quantities.items() if q is not None and not q.passed}
    assert report.status == "fail", str(report)
    assert failed == wrong
    assert cause in str(report)


def test_the_layout_that_works_is_asked_and_named():
    """A layer of rows is asked in rows, one of channels in channels, one of columns in columns."""
    asked = {
        name: gradcheck(f"{WRITTEN}:{name}").protocol["layout"]
        for name in ("RowsOnly", "Channels", "LastAxis", "Columns", "Plain")
    }

    assert asked == {
        "RowsOnly": "flat", "Channels": "nchw", "LastAxis": "ntd", "Columns": "dn",
        "Plain": "image",
    }  # fmt: skip


def test_every_layout_that_works_is_asked():
    """Right in rows and wrong in (N, C, H, W): that is wrong, and both are in the report."""
    report = gradcheck(f"{WRITTEN}:AnyShapeByBatch")

    status = {entry["layout"]: entry["status"] for entry in report.layouts}
    assert status["nchw"] == "fail"
    assert status["flat"] == "pass"
    assert gradcheck(f"{WRITTEN}:AnyShapeByBatch", layout="flat").passed


def test_a_parameter_without_a_gradient_is_inconclusive():
    """gamma and beta that are learnt have gradients; where none is given, nothing is proved."""
    report = gradcheck(f"{WRITTEN}:Forgetful")

    assert report.exit_code == 3
    assert "grad_gamma" in report.reason
    assert "--protocol grad_gamma=" in report.reason
    assert gradcheck(f"{WRITTEN}:Forgetful", only=["grad_input"]).passed
    none = {"grad_gamma": "none", "grad_beta": "none"}
    assert gradcheck(f"{WRITTEN}:Forgetful", protocol=none).passed


def test_a_scale_that_nobody_learns_is_a_constant():
    """An array of unknown name with no gradient anywhere is no parameter."""
    report = gradcheck(f"{WRITTEN}:DrawnAtRandom")

    assert report.passed
    assert report.quantities["grad_gamma"] is None


@pytest.mark.parametrize(
    "protocol",
    [
        {"grad_gamma": "nothing.here"}, {"gamma": "nothing"}, {"grad_input": "returned[7]"},
    ],
)  # fmt: skip
def test_a_place_that_is_not_there_is_refused(protocol):
    """What the user names must be there; the error says what is."""
    with pytest.raises(OptionError, match=r"there is|no such array"):
        gradcheck(f"{WRITTEN}:Plain", protocol=protocol)


def test_a_place_is_named_by_a_path():
    """--protocol leads to keys, entries and methods."""
    report = gradcheck(
        f"{WRITTEN}:Oddly",
        protocol={"forward": "there", "backward": "andback", "grad_gamma": "kept.pair[0]",
                  "grad_beta": "kept.pair[1]"},
    )  # fmt: skip

    assert report.passed, str(report)
    assert report.quantities["grad_gamma"].checked > 0
    with pytest.raises(TargetError, match="--protocol forward=METHOD"):
        gradcheck(f"{WRITTEN}:Oddly")


def test_a_matrix_of_parameters_is_judged_whole():
    """What is neither of a pixel nor of a channel is checked too, value by value."""
    right, wrong = (gradcheck(f"{WRITTEN}:{name}") for name in ("Stacked", "HalvedStack"))

    assert right.passed
    assert right.quantities["grad_theta"].checked == 48
    assert wrong.status == "fail"
    assert wrong.quantities["grad_theta"].wrong > 40


def test_a_step_that_learns_too_early_fails():
    """At no learning rate all is right; at one, the gradient is that of another gamma."""
    report = gradcheck(f"{WRITTEN}:SteppedTooEarly")

    assert report.status == "fail"
    assert [f.name for f in report.findings if f.decides and f.passed is False] == ["learning rate"]


def test_a_step_that_does_not_tell_the_gradient_is_inconclusive():
    """The sign of a gradient says nothing of its size."""
    assert gradcheck(f"{WRITTEN}:Adaptive").exit_code == 3


def test_an_argument_that_nothing_takes_is_refused():
    """A slip of the keyboard is no answer."""
    with pytest.raises(OptionError, match="takes no argument of that name; it takes gamma, beta"):
        gradcheck(f"{WRITTEN}:Plain", arguments={"epz": 1e-3})


def test_an_argument_reaches_constructor_forward_and_backward():
    """What nobody can know is asked for by name, and given to whom it belongs."""
    with pytest.raises(TargetError, match="--argument riddle=VALUE"):
        gradcheck(f"{WRITTEN}:Riddles")
    assert gradcheck(f"{WRITTEN}:Riddles", arguments={"riddle": 2.0, "enigma": 1.0}).passed


def test_a_width_that_is_given_fits_the_probes():
    """--argument num_features=6 is asked with 6 channels, at every shape."""
    report = gradcheck(f"{WRITTEN}:Channels", arguments={"num_features": 6})

    assert report.passed, str(report)
    assert report.shape[-1] == 6


@pytest.mark.parametrize("file", ["relative.py", "absolute.py"])
def test_a_file_in_a_package_is_imported_as_what_it_is(file, tmp_path, monkeypatch):
    """Relative and absolute imports work from any folder; a broken package is no obstacle."""
    inner = tmp_path / "mylib" / "layers"
    inner.mkdir(parents=True)
    (tmp_path / "mylib" / "__init__.py").write_text("import not_installed_anywhere\n")
    (inner / "__init__.py").write_text("")
    (inner / "base.py").write_text("class Base:\n    pass\n")
    start = "from .base" if file == "relative.py" else "from mylib.layers.base"
    (inner / file).write_text(
        f"{start} import Base\n"
        + WRITTEN.read_text().partition("class Plain:")[0].partition('"""\n')[2]
        + "class Plain(Base):"
        + WRITTEN.read_text().partition("class Plain:")[2].partition("class RowsOnly")[0]
    )
    monkeypatch.chdir(tmp_path.parent)

    assert gradcheck(f"{inner / file}:Plain").passed
