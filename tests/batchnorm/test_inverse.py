"""Back to the pixel values, which are right to within what is told."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracle import textbook

from bncli.batchnorm.inverse import FloatNumbers, Inverse, Restored
from bncli.batchnorm.levels import Levels
from bncli.batchnorm.moments import moments_for

EIGHT = np.dtype(np.uint8)
EXACT = FloatNumbers(float(np.finfo(np.float64).eps))


def inverse(x, gamma, beta, reading, *, clipping=False):
    """That of a batch, (batch, w, h, c), after a journey to a worker."""
    rows = x.reshape(len(x), -1)
    moments = moments_for(rows.shape[1], x.dtype)
    moments.add(rows)
    unit = float(np.iinfo(x.dtype).max) if x.dtype.kind == "u" else 1.0
    with ThreadPoolExecutor(2) as pool:
        found = Inverse.of(
            moments, gamma.ravel(), beta.ravel(), unit, 1e-8, x.shape[3], x.dtype, x.dtype, reading,
            pool, clipping=clipping,
        )  # fmt: skip
    return pickle.loads(pickle.dumps(found))  # noqa: S301 - our own


@pytest.fixture
def layer(rng):
    """Pictures of several tiles, and the gamma and beta of their layer."""
    shape = (130, 140, 2)
    x = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
    x[:, :3] = 9
    return x, rng.uniform(0.5, 2, shape), rng.standard_normal(shape)


def test_numbers_come_back_whole(layer):
    """Of y as float64 every pixel value is exact, that of dead pixels too."""
    x, gamma, beta = layer
    y = textbook(x / 255, gamma, beta).output
    back = inverse(x, gamma, beta, EXACT)

    for picture, expected in zip(y, x, strict=True):
        values, told = back.restore(picture.ravel())
        assert np.array_equal(values, expected.ravel())
        assert told == Restored()


def test_floats_are_within_their_error(rng):
    """Of pictures of floats stored as float32, the largest error told holds."""
    x = rng.standard_normal((5, 20, 30, 1)) * 1e3
    gamma, beta = rng.uniform(0.1, 2, (2, 20, 30, 1))
    y = textbook(x, gamma, beta).output.astype(np.float32)
    back = inverse(x, gamma, beta, FloatNumbers(float(np.finfo(np.float32).eps)))

    for picture, expected in zip(y, x, strict=True):
        values, told = back.restore(picture.ravel())
        off = np.abs(values - expected.ravel()).max()
        assert 0 < off <= told.largest_error < 100 * off


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_levels_are_within_their_error(layer, depth):
    """No value is farther off than is told, nor told to be much farther off than it is."""
    x, gamma, beta = layer
    y = textbook(x / 255, gamma, beta).output
    levels = Levels(float(y.min()), float(y.max()), np.dtype(depth))
    back = inverse(x, gamma, beta, levels)

    for picture, expected in zip(y, x, strict=True):
        stored, _ = levels.encode(picture.ravel())
        values, told = back.restore(stored)
        off = np.abs(values.astype(int) - expected.ravel())
        assert off.max() <= told.largest_error <= off.max() + 1
        assert np.count_nonzero(off) <= told.inexact
        assert (told.foreign, told.saturated) == (0, 0)


def test_what_no_picture_became_is_told(layer):
    """A y that no pixel value has is foreign; black and white may be, where values are clipped."""
    x, gamma, beta = layer
    y = textbook(x / 255, gamma, beta).output[0].ravel()
    y[-1] += 1000
    assert inverse(x, gamma, beta, EXACT).restore(y)[1].foreign == 1

    narrow = Levels(-0.2, 0.2, np.dtype(np.uint16))
    stored, clipped = narrow.encode(y)
    told = inverse(x, gamma, beta, narrow, clipping=True).restore(stored)[1]
    assert told.saturated == np.count_nonzero((stored == 0) | (stored == 65535))
    assert told.saturated >= np.count_nonzero(clipped) > 0
    assert told.foreign == 0
    assert inverse(x, gamma, beta, narrow).restore(stored)[1].foreign > 0


def test_a_gamma_of_zero_loses_the_picture(layer):
    """Where gamma is 0 the mean comes back, and the error told reaches every picture."""
    x, gamma, beta = layer
    gamma[50:, 0, 0] = 0
    y = textbook(x / 255, gamma, beta).output
    back = inverse(x, gamma, beta, EXACT)

    for picture, expected in zip(y, x, strict=True):
        values, told = back.restore(picture.ravel())
        off = np.abs(values.astype(int) - expected.ravel()).reshape(expected.shape)
        assert off[50:, 0, 0].max() <= told.largest_error
        off[50:, 0, 0] = 0
        assert off.max() == 0
        assert told.inexact == 80


def test_several_add_up():
    """The largest error of all; counts are sums."""
    assert Restored(1.0, 2, 3, 4) + Restored(2.0, 1, 1, 1) == Restored(2.0, 3, 4, 5)
