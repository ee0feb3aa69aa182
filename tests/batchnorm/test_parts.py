"""Sums that were taken elsewhere and joined are the sums of one pass, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from bncli.batchnorm.moments import Moments, moments_for, part_for


@given(
    seed=st.integers(0, 999), cuts=st.lists(st.integers(1, 19), max_size=6), depth=st.integers(0, 1)
)
def test_integers_in_any_split_and_order(seed, cuts, depth):
    """Whatever the chunks, and in whatever order they come."""
    dtype = (np.uint8, np.uint16)[depth]
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(dtype).max, (20, 7), dtype=dtype, endpoint=True)
    whole = moments_for(7, dtype)
    for chunk in rng.permutation(np.array([*np.split(np.arange(20), sorted(cuts))], dtype=object)):
        part = part_for(7, dtype)
        if len(chunk):
            part.add(pixels[np.array(chunk, int)])
        whole.join(part)
    assert whole == Moments.of(pixels)


@pytest.mark.parametrize("block", [1, 3, 8])
def test_floats_block_by_block(rng, block):
    """The same blocks in the same order give the same bits; and those are right."""
    pixels = rng.normal(5, 1, (20, 3000)) * 10 ** rng.uniform(-4, 4, 3000)
    alone, joined = moments_for(3000, np.float64), moments_for(3000, np.float64)
    for start in range(0, 20, 2 * block):
        part = part_for(3000, np.float64)
        for rows in (pixels[start : start + block], pixels[start + block : start + 2 * block]):
            if len(rows):
                alone.add(rows)
                part.add(rows)
        joined.join(part)
    for name, plane in alone.planes().items():
        assert np.array_equal(plane, joined.planes()[name]), name
    assert joined.count == 20
    assert np.allclose(joined.variance(), pixels.var(axis=0), rtol=1e-12, atol=0)
