"""Moments against Python's own fractions, and that they add up."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from bncli.batchnorm.draws import uniform
from bncli.batchnorm.moments import FloatMoments, Moments, moments_for
from bncli.errors import LimitError, NonFiniteError

integers = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(2, 9), st.just(4)))
)


@given(pixels=integers, cut=st.integers(1, 8))
def test_merge_is_exact(pixels, cut):
    """Statistics of two halves, added, equal the statistics of the whole, bit for bit."""
    halves = Moments.of(pixels[:cut]) + Moments.of(pixels[cut:])

    assert Moments.of(pixels) == halves == Moments.of(pixels[cut:]) + Moments.of(pixels[:cut])


@given(pixels=integers)
def test_mean_and_variance_are_rounded_fractions(pixels):
    """They are the exact rational numbers, rounded: the mean once, the variance to one ulp."""
    moments = Moments.of(pixels)
    for pixel in range(pixels.shape[1]):
        values = [Fraction(int(v)) for v in pixels[:, pixel]]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        assert moments.mean()[pixel] == float(mean)
        assert abs(moments.variance()[pixel] - float(variance)) <= np.spacing(float(variance))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_extremes_do_not_wrap(dtype):
    """600 pictures of black and white pixels, more than a block, sum up without wrapping."""
    largest = np.iinfo(dtype).max
    rows = np.zeros((600, 3), dtype)
    rows[:, 1] = largest
    rows[::2, 2] = largest
    moments = Moments.of(rows)

    assert moments.mean().tolist() == [0, largest, largest / 2]
    assert moments.variance().tolist() == [0, 0, (largest / 2) ** 2]
    assert moments.minimum.tolist() == [0, largest, 0]
    assert moments.maximum.tolist() == [0, largest, largest]


def test_counts_beyond_64_bits():
    """Where the numerator of the variance passes 64 bits it is computed in longer integers."""
    half = Moments.of(np.array([[65535, 7]] * 3, np.uint16))
    other = Moments.of(np.array([[0, 7]] * 3, np.uint16))
    moments = half + other
    while moments.count < 1_000_000:
        moments = moments + moments

    assert moments.variance().tolist() == [(65535 / 2) ** 2, 0]


def test_sums_widen_in_time():
    """Where 32 bits could overflow the sums go on in 64, whichever way the pictures come."""
    white = Moments.of(np.full((256, 2), 255, np.uint8))
    added = white
    while added.count < 1 << 17:
        added = added + added
    added.add(np.full((3, 2), 255, np.uint8))

    assert added.square_total.tolist() == [added.count * 255**2] * 2
    assert added.variance().tolist() == [0, 0]
    assert added.total.dtype == np.uint32
    assert added.square_total.dtype == np.uint64
    assert white.square_total.dtype == np.uint32


def test_too_many_pictures_are_refused():
    """Sums that could pass 2**63 are refused before anything is added."""
    moments = Moments.of(np.array([[3]] * 4, np.uint16))
    moments.count = 1 << 33
    with pytest.raises(LimitError, match="too many"):
        moments.add(np.array([[1]], np.uint16))
    assert moments.total.tolist() == [12]


def test_unequal_moments_are_unequal():
    """Equality sees every plane and the count."""
    moments = Moments.of(np.array([[1, 2], [3, 4]], np.uint8))

    assert moments != Moments.of(np.array([[1, 2], [3, 5]], np.uint8))
    assert moments != Moments.of(np.array([[1, 2], [3, 4]], np.uint16))
    assert moments != "moments"


@given(
    pixels=arrays(np.float64, (9, 3), elements=st.floats(-1e6, 1e6, width=32)),
    cuts=st.sets(st.integers(1, 8)),
)
def test_float_moments_equal_two_passes(pixels, cuts):
    """However the pictures are cut, mean and variance are those of two passes over all of them."""
    moments = moments_for(3, np.float64)
    for block in np.split(pixels, sorted(cuts)):
        moments.add(block)
    scale = np.abs(pixels).max(axis=0) + 1e-300

    assert isinstance(moments, FloatMoments)
    assert (np.abs(moments.mean() - pixels.mean(axis=0)) <= 1e-14 * scale).all()
    assert (np.abs(moments.variance() - pixels.var(axis=0)) <= 1e-13 * scale**2).all()
    assert (moments.minimum == pixels.min(axis=0)).all()
    assert (moments.maximum == pixels.max(axis=0)).all()


def test_float_moments_far_from_zero(rng):
    """1e6 + U(0, 1) in float32 keeps its variance, and equal pictures have variance exactly 0."""
    pixels = (1e6 + rng.random((50, 40))).astype(np.float32)
    pixels[:, 0] = 0.1
    moments = moments_for(40, np.float32)
    for block in np.split(pixels, [7, 8, 30]):
        moments.add(block)

    assert np.allclose(moments.variance(), pixels.astype(float).var(axis=0), rtol=1e-9)
    assert moments.variance()[0] == 0
    assert moments.mean()[0] == np.float32(0.1)


def test_float_overflow_is_refused():
    """A variance beyond float64 is an error, not infinity."""
    with pytest.raises(NonFiniteError, match="overflows"):
        moments_for(1, np.float64).add(np.array([[1e300], [-1e300]]))


def test_random_arrays():
    """Uniform in [0, 1), the same for a seed, and independent of one another."""
    gamma = uniform("gamma", (50, 40, 3), seed=7)
    raw = np.random.PCG64(np.random.SeedSequence(7, spawn_key=(0, 0)))
    expected = np.random.Generator(raw).random((50, 40, 3))

    assert np.array_equal(gamma, expected)
    assert gamma.min() >= 0
    assert gamma.max() < 1
    others = [
        uniform("beta", (6000,), 7),
        uniform("delta", (6000,), 7, 1),
        uniform("gamma", (6000,), 8),
    ]
    for other in others:
        assert abs(np.corrcoef(gamma.ravel(), other)[0, 1]) < 0.05
