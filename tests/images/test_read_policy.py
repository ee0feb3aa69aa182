"""Mode, alpha, frames and size: what is made of a picture as the user said."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from images.handmade import png
from PIL import Image

from bncli.errors import ImageError

LANCZOS = Image.Resampling.LANCZOS


@pytest.fixture
def colours(rng):
    return rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)


def test_luma_is_that_of_pillow(tmp_path, read_one, colours):
    """--mode L gives for 8-bit colour the very numbers of Pillow's conversion."""
    image = Image.fromarray(colours)
    image.save(tmp_path / "a.png")

    expected = np.asarray(image.convert("L"))
    assert np.array_equal(read_one(tmp_path / "a.png", mode="L")[..., 0], expected)


def test_luma_of_deep_colour(tmp_path, write, read_one, rng):
    """The same weights serve 16-bit and floating-point colour; white stays white."""
    deep = rng.integers(0, 65536, (5, 7, 3))
    deep[0, 0] = 65535
    grey = read_one(write(png(deep, "rgb", 16)), mode="L")
    assert grey.dtype == np.uint16
    assert grey[0, 0, 0] == 65535
    assert np.abs(grey[..., 0] - deep @ [0.299, 0.587, 0.114]).max() < 1.5  # weights of 16 bits

    floats = rng.random((5, 7, 3))
    tifffile.imwrite(tmp_path / "a.tif", floats, photometric="rgb")
    grey = read_one(tmp_path / "a.tif", mode="L")
    assert np.allclose(grey[..., 0], floats @ [0.299, 0.587, 0.114], rtol=1e-14, atol=0)


@pytest.mark.parametrize("depth", [1, 8, 16])
def test_grey_becomes_colour_by_repetition(write, read_one, rng, depth):
    """--mode RGB of grey has three equal channels."""
    path = write(png(rng.integers(0, 1 << depth, (5, 7)), "grey", depth))

    assert np.array_equal(read_one(path, mode="RGB"), np.repeat(read_one(path), 3, axis=2))


def test_alpha_is_untouched_by_the_mode(write, read_one, rng):
    """Converting the colours leaves alpha alone."""
    values = rng.integers(0, 256, (5, 7, 4))
    path = write(png(values, "rgb+alpha", 8))

    assert np.array_equal(read_one(path, mode="L")[..., 1], values[..., 3])


def test_alpha_kept_dropped_or_normalized(write, gather, rng):
    """alpha=keep splits the channel off, drop loses it, normalize makes it one of c."""
    values = rng.integers(0, 256, (5, 7, 4))
    path = write(png(values, "rgb+alpha", 8))

    kept = gather([path])
    assert kept.shape == (7, 5, 3)
    assert np.array_equal(kept.picture(0).read().values, values[..., :3].ravel())
    assert np.array_equal(kept.picture(0).read().alpha, values[..., 3].ravel())
    dropped = gather([path], alpha="drop")
    assert np.array_equal(dropped.picture(0).read().values, values[..., :3].ravel())
    assert dropped.picture(0).read().alpha is None
    normalized = gather([path], alpha="normalize")
    assert normalized.shape == (7, 5, 4)
    assert np.array_equal(normalized.picture(0).read().values, values.ravel())
    assert normalized.picture(0).read().alpha is None


@pytest.mark.parametrize("suffix", ["tiff", "png", "webp", "gif"])
def test_all_frames(tmp_path, read, colours, suffix):
    """--frames all takes every frame as a picture, each as Pillow composes it."""
    frames = [Image.fromarray(np.roll(colours, shift, axis=0)) for shift in (0, 9, 18)]
    path = tmp_path / f"a.{suffix}"
    more = {"webp": {"lossless": True}}.get(suffix, {})
    frames[0].save(path, save_all=True, append_images=frames[1:], **more)

    pictures = read(path, frames="all")

    assert len(pictures) == 3
    with Image.open(path) as image:
        for number, pixels in enumerate(pictures):
            image.seek(number)
            expected = np.asarray(image.convert("RGB"))
            assert np.array_equal(pixels[..., :3], expected)
            if suffix != "gif":
                assert np.array_equal(pixels, np.asarray(frames[number]))


def test_frames_of_a_grey_gif_agree(tmp_path, gather, rng):
    """A GIF is colour, as it has a palette, even where that is a ramp of greys."""
    ramp = np.arange(256, dtype=np.uint8)
    frames = [Image.fromarray(rng.permutation(ramp).reshape(8, 32)) for _ in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    images = gather([tmp_path / "a.gif"], frames="all")

    assert list(images.names) == ["a.gif#0", "a.gif#1", "a.gif#2"]
    for number, frame in enumerate(frames):
        assert np.array_equal(images.picture(number).read().values[::3], np.asarray(frame).ravel())
    assert images.shape == (32, 8, 3)


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float64"])
def test_all_pages_of_a_deep_tiff(tmp_path, read, rng, dtype):
    """--frames all takes every page, also of files that Pillow cannot open."""
    pages = (rng.random((3, 5, 7, 3)) * 60_000).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")

    assert np.array_equal(read(tmp_path / "a.tif", frames="all"), pages)
    assert np.array_equal(read(tmp_path / "a.tif", frames="first"), pages[:1])


def test_first_frame(tmp_path, gather, colours):
    """--frames first takes the first frame, and calls it by the name of the file."""
    frames = [Image.fromarray(colours), Image.fromarray(colours[::-1])]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])

    images = gather([tmp_path / "a.png"], frames="first")

    assert list(images.names) == ["a.png"]
    assert np.array_equal(images.picture(0).read().values, colours.ravel())


def test_resize_is_that_of_pillow(tmp_path, gather, colours):
    """--resize WxH is Pillow's Lanczos, the width first."""
    Image.fromarray(colours).save(tmp_path / "a.png")

    images = gather([tmp_path / "a.png"], resize=(31, 43))

    assert images.shape == (31, 43, 3)
    expected = np.asarray(Image.fromarray(colours).resize((31, 43), LANCZOS))
    assert np.array_equal(images.picture(0).read().values, expected.ravel())


def test_resize_weighs_colours_by_alpha(tmp_path, read_one, rng):
    """Colours that are not seen do not bleed into those that are."""
    values = rng.integers(0, 256, (50, 70, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")

    expected = np.asarray(Image.fromarray(values).resize((31, 43), LANCZOS))
    assert np.array_equal(read_one(tmp_path / "a.png", resize=(31, 43)), expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_resize_of_deep_pictures(tmp_path, read_one, rng, dtype):
    """Deep pictures keep their depth when resized: within float32 of a Lanczos in floats."""
    values = (rng.random((50, 70, 3)) * 65535).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")

    pixels = read_one(tmp_path / "a.tif", resize=(31, 43))

    assert pixels.dtype == dtype
    for k in range(3):
        plane = Image.fromarray(values[..., k].astype(np.float32)).resize((31, 43), LANCZOS)
        bounded = np.asarray(plane).clip(0, 65535) if dtype == "uint16" else np.asarray(plane)
        assert np.abs(pixels[..., k] - bounded).max() <= (0.5 if dtype == "uint16" else 0)


@pytest.mark.parametrize(("dtype", "large"), [("float16", 6e4), ("float64", 1e300)])
def test_resize_never_makes_infinity(tmp_path, read_one, dtype, large):
    """Numbers that resizing cannot hold are refused, not turned into infinity."""
    values = np.full((9, 9, 3), -large, dtype)
    values[3:6, 3:6] = large
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")

    with pytest.raises(ImageError, match="too large to be resized"):
        read_one(tmp_path / "a.tif", resize=(31, 43))
