from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import integers, tuples

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
