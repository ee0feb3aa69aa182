from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import integers, tuples

from bncli.images.encode import output_name, png_bytes, tiff_bytes
from bncli.images.layout import to_array, to_file_order, to_raster

SHAPES = tuples(integers(1, 5), integers(1, 5), integers(1, 4))


def test_axis_one_of_a_batch_is_the_width():
    """array[i, x, y, k] is column x of row y: on a picture 3 wide and 2 high."""
    raster = np.array([[0, 1, 2, 10, 11, 12]])  # two rows of three

    array = to_array(raster, (3, 2, 1))

    assert array.shape == (1, 3, 2, 1)
    assert array[0, 2, 1, 0] == 12
    assert array[0, 2, 0, 0] == 2
    assert to_file_order(raster[0], (3, 2, 1))[1, 2, 0] == 12


@given(array=SHAPES.flatmap(lambda shape: arrays(np.uint8, (2, *shape))))
def test_array_and_raster_are_inverse(array):
    """Turning there and back changes nothing, with any leading axes."""
    raster = to_raster(array)

    assert raster.shape == (2, array[0].size)
    assert np.array_equal(to_array(raster, array.shape[1:]), array)
    assert np.array_equal(to_raster(array[0]), raster[0])
    assert np.array_equal(raster[0], array[0].transpose(1, 0, 2).ravel())


def test_arrays_are_views():
    """No copy is made of a batch to look at it as an array."""
    raster = np.arange(12.0)

    assert np.shares_memory(to_array(raster, (3, 2, 2)), raster)


def test_raster_takes_a_dtype():
    """Turning can convert on the way."""
    assert to_raster(np.ones((2, 3, 1), np.int64), np.dtype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("a.jpg", "a.png"),
        ("sub/a.b.tiff", "sub/a.b.png"),
        ("a", "a.png"),
        ("a.gif#3", "a-3.png"),
        ("sub/a.gif#12", "sub/a-12.png"),
        ("a#b.png", "a#b.png"),
        ("[x].bmp", "[x].png"),
    ],
)
def test_output_names(name, output):
    """An output has the relative path of its source and the new suffix; frames their number."""
    assert output_name(name, "png") == output
    assert output_name(name, "tiff") == output.removesuffix("png") + "tiff"


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [0, 32896, 65535]),
        (np.array([0, 5, 65535], np.uint16), [0, 5, 65535]),
        (np.array([0, 0.5, 1.5]), [0, 32768, 65535]),
    ],
)
def test_alpha_follows_the_depth_of_the_picture(write, read_one, alpha, expected):
    """Alpha that is copied through is brought to the depth that is written."""
    values = np.array([1, 2, 3], np.uint16)

    pixels = read_one(write(png_bytes(values, alpha, (3, 1, 1), None)))

    assert pixels[0, :, 0].tolist() == [1, 2, 3]
    assert pixels[0, :, 1].tolist() == expected


def test_alpha_of_a_tiff_is_a_fraction(write, read_one):
    """In a floating-point TIFF alpha is in [0, 1]."""
    alpha = np.array([0, 51, 255], np.uint8)

    path = write(tiff_bytes(np.array([-1.0, 0.5, 2.0]), alpha, (3, 1, 1)), "a.tiff")

    assert read_one(path)[0].tolist() == [[-1, 0], [0.5, np.float32(0.2)], [2, 1]]
