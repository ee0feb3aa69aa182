"""What a layer's arguments are given, and how a layer is put in training mode."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.checking import places
from bncli.checking.arguments import Given, Recorder, signature_of
from bncli.checking.gradients import find_of_parameter
from bncli.checking.layouts import LAYOUTS
from bncli.checking.modes import put_in_training
from bncli.checking.parameters import Parameter
from bncli.checking.question import draw_batch

GAMMA = np.full((1, 1, 2), 3.0)


def given(variant=0):
    layout = LAYOUTS["nhwc"]
    return Given(layout, (4, 3, 2, 2), GAMMA, np.zeros_like(GAMMA), rate=0.0, variant=variant)


@pytest.mark.parametrize("default", [1.0, 1])
def test_a_number_stands_for_gamma_only_where_an_array_did_not_do(default):
    """First the values that are asked for are tried, then the layer's own number."""
    assert np.array_equal(given().value("gamma", default), GAMMA)
    assert given(variant=1).value("gamma", default) == default


@pytest.mark.parametrize("variant", [0, 1])
def test_gamma_is_a_copy_unless_its_default_is_a_word(variant):
    """A layer that changes it in place changes its own; a flag or a name of a maker stays."""
    found = given(variant).value("gamma", None)
    assert np.array_equal(found, GAMMA)
    assert not np.shares_memory(found, GAMMA)
    assert given(variant).value("gamma", default=True) is True
    assert given(variant).value("gamma", "ones") == "ones"


def test_parameters_hidden_by_a_decorator_are_those_that_a_caller_gives():
    """Without self, which Python gives."""

    def hiding(function):
        def wrapper(*args, **named):
            return function(*args, **named)

        return wrapper

    class Layer:
        @hiding
        def __init__(self, gamma, eps=1e-5):
            pass

    assert list(signature_of(Layer)) == ["gamma", "eps"]
    assert list(signature_of(hiding(lambda self, x: (self, x)))) == ["x"]


def test_a_layer_learns_nothing_by_itself():
    """Its own rate is that of the check, its flags are of training, all else stays."""

    class Layer:
        def __init__(self):
            self.lr, self.momentum, self.training, self.is_test, self.mode = (
                0.5,
                0.9,
                False,
                True,
                "eval",
            )

    layer = Layer()
    put_in_training(layer, given())
    assert vars(layer) == {
        "lr": 0.0, "momentum": 0.9, "mode": "train", "training": True, "is_test": False,
    }  # fmt: skip


def test_a_search_through_a_layer_has_an_end(monkeypatch):
    """So many things are looked at and no more."""
    monkeypatch.setattr(places, "_MANY", 7)
    arrays = {str(number): np.full(2, float(number)) for number in range(20)}
    found = list(places.within_reach(arrays))
    assert [path for path, _ in found] == [(str(number),) for number in range(7)]


def test_an_optimizer_that_only_notes():
    """The arrays of each call, as they were then; rates and steps are none."""
    noted, array = Recorder(), np.ones(3)
    assert noted.step(0.1, array, name="w", grad=2 * array) == 0.1
    array[:] = 7
    noted(0.1)
    ((one, other),) = noted.calls
    assert np.array_equal(one, np.ones(3))
    assert np.array_equal(other, np.full(3, 2.0))


def test_a_gradient_without_a_name_is_found_by_its_value():
    """Where none is right, and none was returned, there is none."""
    gamma, beta = Parameter("gamma", ("g",), (3,)), Parameter("beta", ("b",), (3,))
    found = {("first",): np.zeros(2), ("second",): np.ones(2), ("odd",): np.ones(3)}

    def find(right):
        return find_of_parameter(gamma, (gamma, beta), found, (2,), right)

    assert find(lambda array: array.sum() == 2) == ("second",)
    assert find(lambda array: array.sum() == 0) == ("first",)
    assert find(lambda _: False) == ()


@pytest.mark.parametrize("axes", [(0,), (0, 1, 2)])
def test_groups_of_small_variance_have_that(axes):
    """So many times eps, around 0: what eps does shows there."""
    x = draw_batch((6, 4, 3, 8), 3, 1e-5, axes, variances=(1.0, 100.0))
    spread = np.sort(x.var(axis=axes).ravel())
    assert spread[0] == pytest.approx(1e-5, rel=1e-6)
    assert spread[1] == pytest.approx(1e-3, rel=1e-6)
    assert spread[2] > 5e-3
