"""Random parameters and deltas: the numbers that numpy's own generator draws from each stream."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bncli.batchnorm.draws import uniform

STREAMS = {"gamma": 0, "beta": 1, "delta": 2}
"""Who has drawn from a seed once finds the same numbers in every version."""


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize(("seed", "picture"), [(0, 0), (7, 0), (7, 3), (2**70, 11)])
def test_numbers_are_those_of_the_generator(name, seed, picture):
    """Of PCG64 seeded by the number of the array and of the picture, of 53 bits each."""
    stream = np.random.SeedSequence(seed, spawn_key=(STREAMS[name], picture))
    expected = np.random.Generator(np.random.PCG64(stream)).random((5, 4, 3))
    assert np.array_equal(uniform(name, (5, 4, 3), seed, picture), expected)


def test_streams_share_nothing():
    """No number of one array is drawn for another: not of a beta for the delta of any picture."""
    drawn = [set(uniform(name, (500,), 7).tolist()) for name in STREAMS]
    drawn += [set(uniform("delta", (500,), 7, picture).tolist()) for picture in (1, 2)]
    drawn += [set(uniform("beta", (500,), seed).tolist()) for seed in (6, 8)]
    assert all(one.isdisjoint(other) for one, other in combinations(drawn, 2))
