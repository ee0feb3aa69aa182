"""Sums of signed and 32-bit pictures against Python's own integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from bncli.batchnorm.moments import moments_for, part_for
from bncli.batchnorm.statistics import restored_moments
from bncli.batchnorm.wide_moments import WideMoments
from bncli.errors import ArrayError, LimitError

DTYPES = [np.int8, np.int16, np.int32, np.uint32]

whole_ranges = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(2, 9), st.just(4)))
)
near_numbers = st.tuples(
    st.sampled_from([-(2**31), -5, 0, 2**31 - 300]),
    arrays(np.int32, st.tuples(st.integers(2, 9), st.just(4)), elements=st.integers(0, 255)),
).map(lambda pair: pair[1] + np.int32(pair[0]))
pictures = whole_ranges | near_numbers


def squares_of(moments):
    """The sums of squares, as Python's integers."""
    return [
        (int(high) << 32) + int(low)
        for low, high in zip(moments.square_low, moments.square_high, strict=True)
    ]


@given(pixels=pictures, cut=st.integers(1, 8))
def test_merge_is_exact(pixels, cut):
    """Statistics of two halves, added, equal the statistics of the whole, bit for bit."""
    halves = WideMoments.of(pixels[:cut]) + WideMoments.of(pixels[cut:])

    assert WideMoments.of(pixels) == halves
    assert halves == WideMoments.of(pixels[cut:]) + WideMoments.of(pixels[:cut])


@given(pixels=pictures)
def test_sums_are_those_of_integers(pixels):
    """Sums and sums of squares are exact; mean and variance are the rational numbers, rounded."""
    moments = WideMoments.of(pixels)
    squares = squares_of(moments)
    for pixel in range(pixels.shape[1]):
        values = [int(value) for value in pixels[:, pixel]]
        mean = Fraction(sum(values), len(values))
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        assert moments.total[pixel] == sum(values)
        assert squares[pixel] == sum(value * value for value in values)
        assert moments.mean()[pixel] == float(mean)
        assert abs(moments.variance()[pixel] - float(variance)) <= np.spacing(float(variance))
        assert moments.minimum[pixel] == min(values)
        assert moments.maximum[pixel] == max(values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_do_not_wrap(dtype):
    """600 pictures of the least and the greatest number, more than a block, do not wrap."""
    ends = np.iinfo(dtype)
    rows = np.full((600, 3), ends.min, dtype)
    rows[:, 1] = ends.max
    rows[::2, 2] = ends.max
    moments = moments_for(3, dtype)
    moments.add(rows)

    assert moments.mean().tolist() == [ends.min, ends.max, (ends.min + ends.max) / 2]
    assert moments.variance().tolist() == [0, 0, ((ends.max - ends.min) / 2) ** 2]
    assert squares_of(moments)[0] == 600 * int(ends.min) ** 2


def test_means_past_53_bits_are_rounded_once():
    """Where a total no longer fits into a floating-point number, the mean is still rounded once."""
    count, total = 2**31 - 1, 2**60 + 12345
    moments = WideMoments.of(np.zeros((1, 1), np.int32))
    planes = {**moments.planes(), "total": np.array([total])}
    moments.restore(count, planes)

    assert moments.mean()[0] == float(Fraction(total, count))


def test_too_many_pictures():
    """Pictures beyond those whose sums fit are refused before anything is added."""
    moments = WideMoments.of(np.ones((2, 1), np.int16))
    moments.count = 2**31 - 2
    with pytest.raises(LimitError, match="too many for exact sums"):
        moments.join(part_for(1, np.int16) + WideMoments.of(np.ones((2, 1), np.int16)))
    assert moments.total.tolist() == [2]


@given(pixels=pictures)
def test_planes_are_restored(pixels):
    """Moments come back from their planes, also where those were stored in fewer bits."""
    moments = WideMoments.of(pixels)
    planes = {
        name: plane.astype(np.uint32) if name == "square_low" else plane.copy()
        for name, plane in moments.planes().items()
    }

    assert restored_moments(len(pixels), pixels.dtype, planes) == moments


SPREADS = {"near": [[-7, 3], [100, 3], [5, 3]], "far": [[-(2**31), 3], [2**31 - 1, 3], [5, 3]]}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("total", 1),
        ("total", 2**40),
        ("square_low", 1),
        ("square_low", 2),
        ("square_low", 2**40),
        ("square_high", 1),
        ("square_high", 2**32),
        ("square_high", 2**63),
        ("minimum", 120),
        ("maximum", -120),
    ],
)
def test_impossible_planes(name, change, spread):
    """Planes that no pictures can have are refused."""
    moments = WideMoments.of(np.array(SPREADS[spread], np.int32))
    planes = moments.planes()
    planes[name] = planes[name].copy()
    planes[name][1] += planes[name].dtype.type(change)

    with pytest.raises(ArrayError, match="no pictures have such statistics"):
        restored_moments(3, np.dtype(np.int32), planes)
