"""TIFF files that bncli wrote are read without an extra, and only those."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import integers, tuples

from bncli.images.tiff import decode_own, encode_tiff, own_layout

SHAPES = tuples(integers(1, 5), integers(1, 5), integers(1, 4))
PIXELS = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
WHOLE = encode_tiff(PIXELS)


@given(pixels=SHAPES.flatmap(lambda shape: arrays(np.float32, shape)))
def test_round_trip(pixels):
    """Numbers come back bit by bit, NaN too."""
    found = decode_own(encode_tiff(pixels))

    assert found is not None
    assert found.dtype == np.float32
    assert found.tobytes() == np.ascontiguousarray(pixels, "<f4").tobytes()


@given(place=integers(0, len(WHOLE) - 1), flip=integers(1, 255))
def test_every_other_byte_is_somebody_elses(place, flip):
    """A byte changed outside of the numbers: it is not ours, and never read as if it were."""
    changed = bytearray(WHOLE)
    changed[place] ^= flip
    numbers = range(8, 8 + PIXELS.nbytes)

    assert (own_layout(io.BytesIO(changed)) is not None) == (place in numbers)


@pytest.mark.parametrize("cut", [0, 4, 8, 50, 120, len(WHOLE) - 1])
def test_what_is_cut_or_longer(cut):
    """An incomplete file, or one with more behind it, is not ours."""
    assert decode_own(WHOLE[:cut]) is None
    assert decode_own(WHOLE + b"\0") is None
