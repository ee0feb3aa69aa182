"""The TIFF writer, judged by tifffile, Pillow and OpenCV."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers, tuples
from PIL import Image

from bncli.errors import LimitError
from bncli.images.tiff import encode_tiff

PICTURES = tuples(integers(1, 9), integers(1, 9), integers(1, 4)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=floats(-1e6, 1e6, width=32))
)


@given(pixels=PICTURES)
def test_any_picture_comes_back(pixels):
    """tifffile reads back every number, and finds the channels to be what they are."""
    with tifffile.TiffFile(io.BytesIO(encode_tiff(pixels))) as tiff:
        page = tiff.pages[0]
        found = page.asarray(squeeze=False).reshape(pixels.shape)
        extras = page.extrasamples
        photometric = page.photometric.name
        meant = page.sampleformat

    assert found.dtype == np.float32
    assert meant == tifffile.SAMPLEFORMAT.IEEEFP
    assert np.array_equal(found, pixels)
    assert photometric == ("RGB" if pixels.shape[2] >= 3 else "MINISBLACK")
    assert [int(extra) for extra in extras] == ([2] if pixels.shape[2] in {2, 4} else [])


def test_pillow_reads_grey(rng):
    """Pillow reads what it can: grey."""
    pixels = rng.normal(size=(5, 7, 1)).astype(np.float32)

    with Image.open(io.BytesIO(encode_tiff(pixels))) as image:
        assert image.mode == "F"
        assert np.array_equal(np.asarray(image), pixels[..., 0])


def test_opencv_reads_colour(rng):
    """OpenCV reads colour."""
    cv2 = pytest.importorskip("cv2")
    pixels = rng.normal(size=(5, 7, 3)).astype(np.float32)

    content = np.frombuffer(encode_tiff(pixels), np.uint8)

    assert np.array_equal(cv2.imdecode(content, cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


def test_our_own_reader_takes_it(write, read_one, rng):
    """What one run writes, the next one reads, alpha and all."""
    for channels in (1, 2, 3, 4):
        pixels = rng.normal(size=(5, 7, channels)).astype(np.float32)
        path = write(encode_tiff(pixels), f"{channels}.tiff")
        assert np.array_equal(read_one(path), pixels)


def test_float64_is_rounded_to_float32(rng):
    """Numbers of more digits are rounded to the nearest float32."""
    pixels = rng.normal(size=(5, 7, 3))

    found = tifffile.imread(io.BytesIO(encode_tiff(pixels)))

    assert np.array_equal(found, pixels.astype(np.float32))


def test_what_no_tiff_can_hold_is_refused():
    """Above 4 GiB the places in a TIFF overflow: that is told, with the way out."""
    huge = SimpleNamespace(shape=(1 << 15, 1 << 15, 1), size=1 << 30)

    with pytest.raises(LimitError, match="--format npy"):
        encode_tiff(huge)
