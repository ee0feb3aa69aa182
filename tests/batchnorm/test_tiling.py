"""Every pixel is in one tile, and tiles that are joined are the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from bncli.batchnorm.tiling import fixed_slices, run_tiles, tile_slices


@given(pixels=st.integers(0, 200_000), row_bytes=st.integers(0, 1 << 24), threads=st.integers(1, 9))
def test_tiles_follow_one_another(pixels, row_bytes, threads):
    """They are in order, without gaps, of nearly one length."""
    tiles = tile_slices(pixels, row_bytes, threads)
    ends = [0, *(tile.stop for tile in tiles)]

    assert [tile.start for tile in tiles] == ends[:-1]
    assert ends[-1] == pixels
    lengths = np.diff(ends)
    assert all(lengths[:-1] == max(lengths, default=0))


@given(pixels=st.integers(1, 100_000), channels=st.integers(1, 5))
def test_fixed_tiles(pixels, channels):
    """All but the last are of one length, and none parts the channels of a pixel."""
    tiles = fixed_slices(pixels * channels, channels)
    ends = [0, *(tile.stop for tile in tiles)]

    assert [tile.start for tile in tiles] == ends[:-1]
    assert ends[-1] == pixels * channels
    assert {tile.stop - tile.start for tile in tiles[:-1]} <= {16384 * channels}
    assert all(end % channels == 0 for end in ends)


@pytest.mark.parametrize("threads", [1, 3])
def test_overflow_is_told(threads):
    """Every tile is computed once; where a number overflows the answer is no."""
    numbers = np.zeros(5000)

    def kernel(tile):
        numbers[tile] += 1

    assert run_tiles(kernel, tile_slices(5000, 1 << 20), threads)
    assert (numbers == 1).all()
    assert not run_tiles(lambda tile: np.exp(numbers[tile] * 1e3), [slice(0, 9)], threads)
