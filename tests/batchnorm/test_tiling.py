"""Every pixel is in one tile, and tiles that are joined are the same on every machine."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, strategies as st

from bncli.batchnorm import tiling
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


@pytest.mark.parametrize(
    ("pixels", "row_bytes", "threads", "lengths"),
    [
        (10_240, 4096, 1, [1024] * 10),
        (10_241, 4096, 1, [931] * 11),
        (1024, 4096, 1, [1024]),
        (1025, 4096, 1, [513, 512]),
        (1 << 22, 1, 1, [1 << 22]),
        (512, 1 << 24, 1, [512]),
        (513, 1 << 24, 1, [257, 256]),
        (10, 8, 3, [4, 4, 2]),
        (4096, 4096, 3, [1024] * 4),
        (0, 8, 3, []),
    ],
)
def test_a_tile_fits_in_cache(pixels, row_bytes, threads, lengths):
    """4 MiB at most, or 512 pixels, in no more tiles than that or the threads need."""
    found = tile_slices(pixels, row_bytes, threads)
    assert [tile.stop - tile.start for tile in found] == lengths
    if threads == 1:
        assert tile_slices(pixels, row_bytes) == found


def test_fixed_tiles_have_one_length_on_every_machine():
    """16,384 pixels, or so many times that."""
    assert [tile.stop for tile in fixed_slices(40_000)] == [16_384, 32_768, 40_000]
    assert [tile.stop for tile in fixed_slices(40_000, 2)] == [32_768, 40_000]


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
    told = run_tiles(lambda tile: np.exp(numbers[tile] * 1e3), [slice(0, 9)], threads)
    assert told is False


@pytest.mark.parametrize("threads", [2, None])
def test_tiles_are_computed_at_the_same_time(monkeypatch, threads):
    """On so many threads as were asked for, or as there are cores: two tiles can meet."""
    monkeypatch.setattr(tiling, "allowed_cores", lambda: 2 if threads is None else 1)
    both = threading.Barrier(2)
    assert run_tiles(lambda _: both.wait(10), [slice(0, 1), slice(1, 2)], threads) is True


@pytest.mark.parametrize(("tiles", "threads", "cores"), [(3, 1, 8), (3, None, 1), (1, 8, 8)])
def test_no_thread_is_made_for_one(monkeypatch, tiles, threads, cores):
    """One thread, one core, or one tile."""
    monkeypatch.setattr(tiling, "allowed_cores", lambda: cores)
    monkeypatch.setattr(tiling, "Pool", lambda *_, **__: pytest.fail("there are threads"))
    seen = []
    assert run_tiles(seen.append, [slice(i, i + 1) for i in range(tiles)], threads) is True
    assert seen == [slice(i, i + 1) for i in range(tiles)]


def test_one_tile_asks_for_no_cores(monkeypatch):
    """That would take longer than the tile."""
    monkeypatch.setattr(tiling, "allowed_cores", lambda: pytest.fail("it was asked"))
    assert run_tiles(lambda _: None, [slice(0, 1)]) is True
