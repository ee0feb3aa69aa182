from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from images.handmade import png
from PIL import Image

GREY_STEPS = {1: 255, 2: 85, 4: 17, 8: 1, 16: 1}


def grey(rng, depth, shape=(5, 7)):
    return rng.integers(0, 1 << depth, shape)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png_spans_the_range_of_its_dtype(write, read_one, rng, depth, interlaced):
    """Grey of every PNG depth arrives whole: below 8 bits white is 255, 16 bits stay 16 bits."""
    values = grey(rng, depth)
    path = write(png(values, "grey", depth, interlaced=interlaced))

    pixels = read_one(path)

    assert pixels.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert np.array_equal(pixels[..., 0], values * GREY_STEPS[depth])


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_is_cut_out(write, read_one, rng, depth):
    """A grey that a PNG calls transparent has alpha 0, all others full alpha, at every depth."""
    values = grey(rng, depth)
    key = int(values[2, 3])
    path = write(png(values, "grey", depth, before=[(b"tRNS", key.to_bytes(2, "big"))]))

    pixels = read_one(path)

    full = 65535 if depth == 16 else 255
    assert np.array_equal(pixels[..., 0], values * GREY_STEPS[depth])
    assert np.array_equal(pixels[..., 1], np.where(values == key, 0, full))


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour_is_cut_out(write, read_one, rng, depth):
    """The one transparent colour of an RGB PNG has alpha 0; a colour with one equal channel not."""
    values = rng.integers(0, 1 << depth, (5, 7, 3))
    values[0, 0] = values[4, 6]
    values[1, 1, 0] = values[4, 6, 0]
    key = b"".join(int(v).to_bytes(2, "big") for v in values[4, 6])
    path = write(png(values, "rgb", depth, before=[(b"tRNS", key)]))

    pixels = read_one(path)

    opaque = (values != values[4, 6]).any(axis=2)
    assert not opaque[0, 0]
    assert opaque[1, 1]
    assert np.array_equal(pixels[..., :3], values)
    assert np.array_equal(pixels[..., 3], opaque * ((1 << depth) - 1))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_palette_png_becomes_its_colours(write, read_one, rng, depth, transparent):
    """Palette pictures are the colours that they show, with the palette's alpha, not indices."""
    colours = rng.integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    alphas = rng.integers(0, 256, 1 << depth, dtype=np.uint8)
    indices = grey(rng, depth)
    extra = [(b"PLTE", colours.tobytes())] + [(b"tRNS", alphas.tobytes())] * transparent
    path = write(png(indices, "palette", depth, before=extra))

    pixels = read_one(path)

    assert np.array_equal(pixels[..., :3], colours[indices])
    assert pixels.shape[2] == 3 + transparent
    if transparent:
        assert np.array_equal(pixels[..., 3], alphas[indices])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("colour", "channels"), [("grey+alpha", 2), ("rgb", 3), ("rgb+alpha", 4)])
def test_colour_and_alpha_at_full_depth(
    write, read_one, rng, depth, colour, channels, interlaced
):  # fmt: skip
    """Colour and alpha arrive at the depth of the file, interlaced or not; imagecodecs agrees."""
    values = rng.integers(0, 1 << depth, (5, 7, channels))
    path = write(png(values, colour, depth, interlaced=interlaced))

    pixels = read_one(path)

    assert pixels.dtype.itemsize * 8 == depth
    assert np.array_equal(pixels, values)
    assert np.array_equal(imagecodecs.png_decode(path.read_bytes()), pixels)


def test_opencv_reads_the_same_deep_colour(write, read_one, rng):
    """A second decoder of 16-bit colour agrees."""
    cv2 = pytest.importorskip("cv2")
    path = write(png(rng.integers(0, 65536, (5, 7, 3)), "rgb", 16))

    assert np.array_equal(read_one(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1])


def test_width_comes_from_the_columns(write, gather, rng):
    """A picture 7 wide and 5 high has the shape (7, 5, 3): the width first."""
    path = write(png(rng.integers(0, 256, (5, 7, 3)), "rgb", 8))

    images = gather([path])

    assert images.shape == (7, 5, 3)
    assert images.dtype == np.uint8
    assert images.unit == 255


def test_the_profile_is_carried_while_the_colours_are_its_own(tmp_path, gather):
    """The ICC profile stays with unconverted pixels and goes when the mode is converted."""
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png", icc_profile=b"profile")

    assert gather([tmp_path / "a.png"]).picture(0).read().icc == b"profile"
    assert gather([tmp_path / "a.png"], mode="L").picture(0).read().icc is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 7), (8, 8), (17, 13)])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 8, 16])
def test_black_pictures_are_whole(write, read_one, depth, interlaced, shape):
    """A picture that ends in black rows is not mistaken for one that lacks them."""
    path = write(png(np.zeros(shape, int), "grey", depth, interlaced=interlaced))

    assert not read_one(path).any()
