"""From y to pixel values and back, by the definition; straight from source units by that too."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import booleans, floats, integers

from bncli.batchnorm.levels import Levels, Scale, black_and_white, own_levels
from bncli.batchnorm.transform import Channel, Survey, Transform
from bncli.errors import NonFiniteError, OptionError

EIGHT = np.dtype(np.uint8)


def levels(y, dtype=np.uint8):
    """The y that are pixel values already."""
    white = np.iinfo(dtype).max
    return Levels(0.0, float(white), np.dtype(dtype)).encode(np.asarray(y, np.float64))


def transform(x_scale, mean=0.0, beta=0.0, dead=()):
    x_scale = np.asarray(x_scale, np.float64)
    pixels = len(x_scale)
    marked = np.isin(np.arange(pixels), dead)
    planes = [np.full(pixels, number) for number in (mean, 1.0, beta)]
    return Transform(planes[0], x_scale, planes[1], planes[2], marked, 1.0)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def travelled(to_levels):
    """As a worker process gets it."""
    return pickle.loads(pickle.dumps(to_levels))  # noqa: S301 - our own


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


@pytest.mark.parametrize("pixels", [5, 70_001])
def test_straight_is_transform_then_encode(rng, pool, pixels):
    """Straight from source units: the level of y, and clipped where y is without the range."""
    given = Transform(
        mean=rng.uniform(90, 160, pixels), x_scale=rng.uniform(0.01, 0.03, pixels),
        gamma=rng.normal(size=pixels), beta=rng.normal(size=pixels),
        dead=rng.random(pixels) < 0.2, unit=255.0,
    )  # fmt: skip
    x = rng.integers(0, 256, pixels, dtype=np.uint8)
    # In the statistics of a dead pixel its value is its mean.
    given.mean[given.dead] = x[given.dead]
    range_ = Levels(-1.5, 2.0, EIGHT)

    values, clipped = travelled(range_.straight(given, pool))(x)
    expected, outside = range_.encode(given.y(x))

    exact = (given.y(x) + 1.5) / 3.5 * 255
    sure = np.abs(exact - np.floor(exact) - 0.5) > 1e-9
    assert np.array_equal(values[sure], expected[sure])
    assert np.array_equal(clipped[sure], outside[sure])
    assert 0 < np.count_nonzero(clipped) < pixels


def test_dead_pixels_revive(pool):
    """Straight, a dead pixel is beta whatever its value; revived, it is y of its value."""
    given = transform(np.full(4, 1e4), mean=10.0, beta=0.5, dead=[1, 2])
    range_ = Levels(0.0, 1.0, EIGHT)
    x = np.array([10, 10, 11, 9], np.uint8)

    plain = range_.straight(given, pool)(x)
    assert plain[0].tolist() == [128, 128, 128, 0]
    assert plain[1].tolist() == [False, False, False, True]
    values, clipped = travelled(range_.straight(given, pool, revived=True))(x)
    assert values.tolist() == [128, 128, 255, 0]
    assert clipped.tolist() == [False, False, True, True]


def test_a_clipped_dead_pixel_comes_into_the_range(pool):
    """Of a dead pixel whose beta is without the range, a value whose y is within is not clipped."""
    given = transform([0.1], mean=10.0, beta=2.0, dead=[0])
    revived = Levels(0.0, 1.0, EIGHT).straight(given, pool, revived=True)

    for value, level, outside in ((10, 255, True), (0, 255, False), (200, 255, True)):
        values, clipped = revived(np.array([value], np.uint8))
        assert values.tolist() == [level]
        assert clipped is None or clipped.tolist() == [outside]


def test_an_empty_range_is_black(pool):
    """Where black is white, everything is 0 and nothing is clipped."""
    empty = Levels(3.0, 3.0, EIGHT)
    assert [part if part is None else part.tolist() for part in empty.encode(np.ones(2))] == [
        [0, 0],
        None,
    ]
    values, clipped = empty.straight(transform([1.0, 2.0]), pool)(np.array([3, 250], np.uint8))
    assert (values.tolist(), clipped) == ([0, 0], None)


def test_own_levels():
    """Each picture reaches from black to white; one of a single value is black."""
    own = travelled(own_levels(transform([1.0, 1.0, 1.0]), np.dtype(np.uint16)))
    values, clipped = own(np.array([7, 9, 8]))

    assert values.tolist() == [0, 65535, 32768]
    assert clipped is None
    assert own(np.array([5, 5, 5]))[0].tolist() == [0, 0, 0]


def test_a_range_too_narrow(pool):
    """NaN never becomes a pixel value."""
    with pytest.raises(NonFiniteError, match="too narrow"):
        Levels(0.0, 5e-324, EIGHT).straight(transform([0.0, 1.0]), pool)(np.array([0, 1], np.uint8))


@given(
    y=arrays(np.float64, 9, elements=floats(0, 1)), low=integers(-9, 9), width=floats(1e-3, 1e3),
    deep=booleans(),
)  # fmt: skip
def test_there_and_back(y, low, width, deep):
    """What was within the range comes back, no farther off than is told; half a level at most."""
    range_ = Levels(low, low + width, np.dtype(np.uint16 if deep else np.uint8))
    y = np.clip(low + y * width, range_.low, range_.high)
    values, clipped = range_.encode(y)
    back, error = range_.decode(values)

    assert clipped is None
    assert (np.abs(back - y) <= error + 1e-14).all()
    assert (error <= 0.5001 * (range_.high - range_.low) / range_.white).all()


def test_black_and_white():
    """The ends of y of the batch, deviations about its mean, or what was given."""
    found = Survey([Channel(0, 1, -3, 2), Channel(0, 1, -1, 5)], dead=0, y_mean=1.0, y_std=0.5)

    assert black_and_white(Scale("minmax"), found) == (-3, 5)
    assert black_and_white(Scale("sigma", width=3), found) == (-0.5, 2.5)
    assert black_and_white(Scale("range", low=0, high=1), found) == (0, 1)


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
