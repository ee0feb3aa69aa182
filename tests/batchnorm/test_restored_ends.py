"""Statistics that pictures can have at the very ends of what is possible, and those just beyond."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.batchnorm.statistics import restored_moments
from bncli.batchnorm.wide_moments import WideMoments
from bncli.errors import ArrayError, LimitError


def planes_of(count, dtype, numbers, **changed):
    """The planes that the integers of one pixel add up to, by hand."""
    squares = sum(number**2 for number in numbers) + changed.pop("squares", 0)
    by_hand = {
        "total": np.array([sum(numbers)], np.int64),
        "square_low": np.array([squares & 0xFFFFFFFF], np.uint64),
        "square_high": np.array([squares >> 32], np.uint64),
        "minimum": np.array([min(numbers)], dtype),
        "maximum": np.array([max(numbers)], dtype),
    }
    assert len(numbers) == count
    return by_hand | {
        name: by_hand[name] + by_hand[name].dtype.type(n) for name, n in changed.items()
    }


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [
        (np.int32, [-(2**31), 2**31 - 9]),
        (np.uint32, [7, 2**32 - 1]),
        (np.uint32, [7, 7, 2**32 - 1, 2**32 - 1]),
        (np.int32, [2**31 - 1, 5, 5, 5]),
    ],
)
def test_numbers_far_apart_leave_no_room(dtype, numbers):
    """All at the two ends have the largest sum of squares: it comes back, and no larger one."""
    count = len(numbers)
    whole = WideMoments.of(np.array(numbers, dtype)[:, None])
    assert restored_moments(count, dtype, planes_of(count, dtype, numbers)) == whole
    least = sum(numbers) ** 2 // count  # of the squares: all at the mean
    for off in (2, least - sum(number**2 for number in numbers) - 2):
        with pytest.raises(ArrayError, match="its square_low is not what"):
            restored_moments(count, dtype, planes_of(count, dtype, numbers, squares=off))


@pytest.mark.parametrize("numbers", [[-5, -5, 9], [-5, 9, 9]])
def test_a_total_at_the_ends(numbers):
    """All but one at an end is the least and the most that a total can be."""
    restored_moments(3, np.int16, planes_of(3, np.int16, numbers))
    off, words = (-2, "below what minimum") if numbers[1] == -5 else (2, "above what maximum")
    with pytest.raises(ArrayError, match=f"its total is {words} allows"):
        restored_moments(3, np.int16, planes_of(3, np.int16, numbers, total=off))


def test_more_pictures_than_sums_hold():
    """2**31 and more are refused by their number, before anything is made of the planes."""
    with pytest.raises(LimitError, match="too many for exact sums"):
        restored_moments(2**31, np.int16, planes_of(2, np.int16, [1, 2]))


@pytest.mark.parametrize("spread", [0.0, 2.0, 2.1])
def test_squares_of_floats_have_a_ceiling(spread):
    """No numbers between -1 and 1 are farther from their mean than 1, on average."""
    planes = {
        "mean": np.zeros(1),
        "square_deviation": np.array([spread]),
        "minimum": np.array([-1.0]),
        "maximum": np.array([1.0]),
    }
    if spread > 2:
        with pytest.raises(ArrayError, match="its square_deviation is above what"):
            restored_moments(2, np.float64, planes)
    else:
        assert restored_moments(2, np.float64, planes).variance()[0] == spread / 2
