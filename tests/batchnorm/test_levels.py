from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats

from bncli.batchnorm.levels import Scale, rescaled, to_levels
from bncli.errors import OptionError


def levels(y, dtype=np.uint8):
    y = np.asarray(y, np.float64)
    return to_levels(y, np.ones_like(y), np.zeros_like(y), np.dtype(dtype))


def test_levels_are_rounded_not_cut():
    """2.6 becomes 3, not 2; halves go to the even level; 255.4 is white and not clipped."""
    values, clipped = levels([0.4, 0.6, 2.5, 2.6, 3.5, 254.6, 255.4, -0.4])

    assert values.tolist() == [0, 1, 2, 3, 4, 255, 255, 0]
    assert clipped is None


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_what_is_outside_is_clipped_and_marked(dtype, white):
    """Values beyond black and white become black and white; exactly they are marked."""
    values, clipped = levels([-1, 0, white, white + 1, 1e300, -1e300, 7], dtype)

    assert values.dtype == dtype
    assert values.tolist() == [0, 0, white, white, white, 0, 7]
    assert clipped.tolist() == [True, False, False, True, True, True, False]


def test_slope_and_intercept_are_per_pixel():
    """Each pixel has its own slope and intercept."""
    values, _ = to_levels(
        np.array([10, 10, 10], np.uint8),
        np.array([1.0, 2.0, -1.0]),
        np.array([0.0, 0.5, 30.0]),
        np.dtype(np.uint8),
    )

    assert values.tolist() == [10, 20, 20]


@given(y=arrays(np.float64, 40, elements=floats(-400, 700)))
def test_levels_are_those_of_the_definition(y):
    """Any numbers: the nearest level within the range, and the mask of those without."""
    values, clipped = levels(y)

    assert np.array_equal(values, np.clip(np.rint(y), 0, 255))
    outside = (np.rint(y) < 0) | (np.rint(y) > 255)
    assert np.array_equal(clipped if clipped is not None else np.zeros(40, bool), outside)


@pytest.mark.parametrize("place", [0, 65535, 65536, 149_999])
def test_clipping_is_found_in_every_tile(place):
    """One clipped pixel among many is marked at its place, and no other."""
    y = np.full(150_000, 9.0)
    y[place] = 300

    values, clipped = levels(y)

    assert np.flatnonzero(clipped).tolist() == [place]
    assert values[place] == 255
    assert np.count_nonzero(values == 9) == 149_999


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("minmax", Scale("minmax")),
        ("image", Scale("image")),
        ("none", Scale("range", low=0, high=1)),
        ("sigma:3", Scale("sigma", width=3)),
        ("sigma:0.5", Scale("sigma", width=0.5)),
        ("-2:2", Scale("range", low=-2, high=2)),
        ("1e-3:1e3", Scale("range", low=1e-3, high=1e3)),
    ],
)
def test_scales(text, scale):
    """Every form of --scale is read."""
    assert Scale.parse(text) == scale


@pytest.mark.parametrize(
    "text",
    [
        "", "max", "sigma", "sigma:", "sigma:0", "sigma:-1", "sigma:nan", "sigma:inf", "sigma:x",
        ":", "1:", ":1", "1:1", "2:1", "nan:1", "0:inf", "-inf:0", "1:2:3", "0,1", "minmax:1",
        "-1e308:1e308",
    ],
)  # fmt: skip
def test_bad_scales(text):
    """Anything else is refused with the list of what there is."""
    with pytest.raises(OptionError, match="choose minmax, image, sigma:K"):
        Scale.parse(text)


def test_rescaled():
    """y as a fraction of the range, times white; an empty range is black."""
    assert rescaled(np.array([-2.0, 0.0, 2.0]), -2, 2, 255).tolist() == [0, 127.5, 255]
    assert rescaled(np.array([3.0, 3.0]), 3, 3, 255).tolist() == [0, 0]
