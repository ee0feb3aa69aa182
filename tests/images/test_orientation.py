"""The eight EXIF orientations, of which four swap width and height."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from images.handmade import exif, png
from PIL import Image

TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}
"""What EXIF 2.32, section 4.6.4, says is to be done to what is stored."""


@pytest.fixture
def stored(rng):
    return rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_pictures_come_upright(tmp_path, read_one, gather, stored, suffix, orientation):
    """Every orientation of every format that has one gives the upright picture and its shape."""
    path = tmp_path / f"a.{suffix}"
    tags = Image.Exif()
    tags[0x0112] = orientation
    if suffix == "jpg":
        stored = np.kron(stored, np.ones((8, 8, 1), np.uint8))  # whole blocks survive JPEG
    more = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(stored).save(path, exif=tags, **more)

    expected = TURNS[orientation](stored).astype(int)
    height, width, _ = expected.shape
    assert gather([path]).shape == (width, height, 3)
    assert np.abs(read_one(path) - expected).max() <= (4 if suffix == "jpg" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_come_upright(write, tmp_path, read_one, rng, orientation):
    """16-bit colour is turned by the same rule, in PNG and in TIFF."""
    stored = rng.integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    path = write(png(stored, "rgb", 16, before=[(b"eXIf", exif(orientation))]))
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=tags)

    for each in (path, tmp_path / "a.tif"):
        assert np.array_equal(read_one(each), TURNS[orientation](stored))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_after_the_pixels_counts(write, read_one, rng, depth, orientation):
    """PNG allows the EXIF block to stand after the pixels; it turns them all the same."""
    stored = rng.integers(0, 1 << depth, (5, 7, 3))
    path = write(png(stored, "rgb", depth, after=[(b"eXIf", exif(orientation))]))

    assert np.array_equal(read_one(path), TURNS[orientation](stored))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"nonsense", exif(0), exif(9), exif(6)[:-8]])
def test_mangled_exif_turns_nothing(write, read_one, rng, block):
    """An EXIF block that makes no sense says nothing about the pixels."""
    stored = rng.integers(0, 256, (5, 7, 3))
    path = write(png(stored, "rgb", 8, before=[(b"eXIf", block)]))

    assert np.array_equal(read_one(path), stored)
