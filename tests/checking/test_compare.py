"""The comparison of a gradient with what it should be, judged by hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.checking.compare import Allowed, compare, unusable

SHAPE = (3, 2, 2, 2)


def allowed(scale=1.0, tolerance=1e-6, skipped=False):  # noqa: FBT002 - as the fields are
    """The same everywhere."""
    return Allowed(*(np.full((1, 2, 2, 2), v) for v in (scale, tolerance, skipped)))


def test_numbers_of_the_worst_element_are_those_compared():
    """Place, both values, their distance, the relative error and its bound are told as they are."""
    numeric = np.zeros(SHAPE)
    given = numeric.copy()
    given[2, 1, 0, 1], numeric[2, 1, 0, 1] = 3.0, 2.0
    found = compare(given, numeric, allowed(scale=4.0))

    assert not found.passed
    assert found.worst_index == (2, 1, 0, 1)
    assert (found.analytic, found.numeric, found.abs_error) == (3.0, 2.0, 1.0)
    assert (found.max_rel_error, found.tolerance) == (0.25, 1e-6)
    assert (found.wrong, found.checked, found.total) == (1, 24, 24)
    assert (found.pixels_wrong, found.pixels) == (1, 8)
    assert (found.channels_wrong, found.pictures_wrong) == ((1,), (2,))
    assert found.worst[0] == ((2, 1, 0, 1), 3.0, 2.0)
    assert found.ratios == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(("error", "passed"), [(0.99e-6, True), (1.01e-6, False)])
def test_bound_is_kept_from_both_sides(error, passed):
    """Just within is right, just beyond is wrong."""
    found = compare(np.full(SHAPE, 1 + error), np.ones(SHAPE), allowed())
    assert found.passed is passed
    assert found.wrong == (0 if passed else 24)


@pytest.mark.parametrize("size", [1e-3, 0.5, 1.0, 5.0])
def test_zeros_where_the_gradient_is_not_zero_are_wrong(size):
    """Also where the terms of the gradient are small: a bound is relative to them."""
    found = compare(np.zeros(SHAPE), np.full(SHAPE, size), allowed(scale=size))
    assert found.wrong == 24
    assert found.max_rel_error == 1.0


def test_where_all_terms_are_zero_only_zero_is_right():
    """A derivative without terms is 0: 0 passes there, whatever the bound, and nothing else."""
    given = np.zeros(SHAPE)
    assert compare(given, np.zeros(SHAPE), allowed(scale=0.0, tolerance=0.5)).passed
    given[0, 0, 1, 0] = 1e-30
    found = compare(given, np.zeros(SHAPE), allowed(scale=0.0, tolerance=0.5))
    assert (found.wrong, found.worst_index) == (1, (0, 0, 1, 0))


def test_rounding_where_all_terms_are_zero_is_let_pass():
    """The derivative itself may be rounding there; a gradient of exactly 0 is right."""
    assert compare(np.zeros(SHAPE), np.full(SHAPE, 1e-17), allowed(scale=0.0)).passed


def test_the_bound_itself_is_within():
    """An error as large as the bound is let pass; the next larger number is not."""
    bound = 2.0**-20
    given = np.full(SHAPE, 1 + bound)
    assert compare(given, np.ones(SHAPE), allowed(tolerance=bound)).passed
    assert not compare(np.nextafter(given, 2), np.ones(SHAPE), allowed(tolerance=bound)).passed


def test_errors_where_all_terms_are_zero_are_numbers():
    """What is exactly the derivative has an error of 0, all else one that can be written down."""
    rounding = np.full(SHAPE, 1e-17)
    assert compare(rounding, rounding, allowed(scale=0.0)).max_rel_error == 0.0
    found = compare(rounding, np.zeros(SHAPE), allowed(scale=0.0))
    assert found.max_rel_error == pytest.approx(1e-17 / 2.0**-1022)


def test_worst_is_that_most_beyond_its_own_bound():
    """A larger error that is allowed is not worse than a smaller one that is not."""
    bounds = np.full((1, 2, 2, 2), 1e-6)
    bounds[0, 0, 0, 0] = 1.0
    given = np.ones(SHAPE)
    given[0, 0, 0, 0], given[1, 1, 1, 1] = 1.5, 1.01
    found = compare(given, np.ones(SHAPE), Allowed(allowed().scale, bounds, allowed().skipped))

    assert found.wrong == 1
    assert found.worst_index == (1, 1, 1, 1)
    assert found.tolerance == 1e-6


def test_nothing_to_compare_is_no_pass():
    """Where no derivative is known, or all places are left out, nothing is proved."""
    for numeric, skipped in ((np.full(SHAPE, np.nan), False), (np.ones(SHAPE), True)):
        found = compare(np.ones(SHAPE), numeric, allowed(skipped=skipped))
        assert not found.passed
        assert found.problem == "nothing could be compared"
        assert (found.checked, found.total) == (0, 24)
        assert (found.wrong, found.pixels_wrong, found.pixels, found.directions) == (0, 0, 0, 0)


def test_places_left_out_are_neither_wrong_nor_checked():
    """A kink has no derivative."""
    skipped = np.zeros((1, 2, 2, 2), bool)
    skipped[0, 0, 0, 0] = True
    given = np.ones(SHAPE)
    given[:, 0, 0, 0] = 7.0
    found = compare(given, np.ones(SHAPE), Allowed(allowed().scale, allowed().tolerance, skipped))
    assert found.passed
    assert (found.checked, found.total) == (21, 24)


def test_nan_throughout_is_called_nan():
    """It fails, with the number of elements."""
    found = compare(np.full(SHAPE, np.nan), np.ones(SHAPE), allowed())
    assert not found.passed
    assert found.problem == "is NaN in 24 of 24 elements"
    assert found.max_rel_error is found.analytic is found.abs_error is None
    assert found.numeric == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_wrong_also_where_it_was_not_asked(value):
    """A sample of right elements does not excuse it."""
    numeric, given = np.ones(SHAPE), np.ones(SHAPE)
    numeric[1:] = np.nan
    given[2, 0, 1, 1] = value
    found = compare(given, numeric, allowed())

    assert (found.wrong, found.checked, found.worst_index) == (1, 9, (2, 0, 1, 1))
    assert found.problem == ""
    assert found.worst[0] == ((2, 0, 1, 1), None, None)


def test_ratios_are_quartiles_of_the_wrong_elements_alone():
    """Right elements, and derivatives of 0, have no part in them."""
    numeric = np.ones(SHAPE)
    given = numeric.copy()
    given[0, 0] = 3.0
    numeric[1, 0, 0, 0], given[1, 0, 0, 0] = 0.0, 1.0
    assert compare(given, numeric, allowed()).ratios == (3.0, 3.0, 3.0)
    assert compare(numeric, numeric, allowed()).ratios == ()


def test_quartiles_are_those_in_order():
    """Of five sorted ratios the second, the third and the fourth."""
    given = np.ones(SHAPE)
    given.reshape(-1)[[3, 9, 2, 17, 11]] = [9.0, 3.0, 5.0, 2.0, 17.0]
    assert compare(given, np.ones(SHAPE), allowed()).ratios == (3.0, 5.0, 9.0)


def test_parameters_have_no_pictures():
    """Of three axes the first is not the batch."""
    given = np.ones((2, 2, 2))
    given[1, 0, 1] = 2.0
    allowed_of = Allowed(np.ones((2, 2, 2)), np.full((2, 2, 2), 1e-6), np.zeros((2, 2, 2), bool))
    found = compare(given, np.ones((2, 2, 2)), allowed_of)
    assert found.pictures_wrong == ()
    assert (found.pixels_wrong, found.channels_wrong) == (1, (1,))


def test_the_five_worst_are_listed_the_worst_first():
    """No more, and in order; of a right gradient only the worst."""
    given = np.ones(SHAPE)
    given.reshape(-1)[:7] += np.arange(1, 8)
    found = compare(given, np.ones(SHAPE), allowed())
    assert [analytic for _, analytic, _ in found.worst] == [8.0, 7.0, 6.0, 5.0, 4.0]
    assert len(compare(np.ones(SHAPE), np.ones(SHAPE), allowed()).worst) == 1


def test_an_array_that_cannot_be_compared_is_all_wrong():
    """With the reason."""
    found = unusable("grad_gamma did not come", 8)
    assert (found.passed, found.wrong, found.checked, found.total) == (False, 8, 8, 8)
    assert found.problem == "grad_gamma did not come"
    assert (found.pixels_wrong, found.pixels, found.directions) == (0, 0, 0)
