"""JPEG, BMP, GIF, WEBP and PNM; Pillow's own encoders and files built by hand are the oracles."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from PIL import Image


def test_jpeg(tmp_path, read_one, rng):
    """JPEG of grey and colour is what a decoder of the same library gives."""
    smooth = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "grey.jpg")
    Image.fromarray(np.dstack([smooth, smooth[::-1], smooth.T.reshape(40, 30)])).save(
        tmp_path / "colour.jpg", subsampling=0
    )

    for name in ("grey.jpg", "colour.jpg"):
        expected = imagecodecs.jpeg8_decode((tmp_path / name).read_bytes()).reshape(40, 30, -1)
        pixels = read_one(tmp_path / name).astype(int)
        assert pixels.shape == expected.shape
        assert np.abs(pixels - expected).max() <= 2  # the two libraries' transforms may differ


def test_cmyk_jpeg_becomes_colour_and_drops_its_profile(tmp_path, read_one, gather, rng):
    """CMYK becomes RGB, of which its profile says nothing."""
    inks = np.zeros((16, 8, 4), np.uint8)
    inks[:8, :, 1:3] = 255  # magenta and yellow are red
    path = tmp_path / "a.jpg"
    Image.fromarray(inks, "CMYK").save(path, quality=100, icc_profile=b"inks")

    pixels = read_one(path).astype(int)

    assert np.abs(pixels[:8] - [255, 0, 0]).max() <= 3
    assert np.abs(pixels[8:] - 255).max() <= 3
    assert gather([path]).picture(0).read().icc is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp(tmp_path, read_one, rng, mode):
    """BMP of every mode is the colours that it shows."""
    image = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).convert(mode)
    image.save(tmp_path / "a.bmp")

    shown = image if mode in {"L", "RGB"} else image.convert("L" if mode == "1" else "RGB")
    assert np.array_equal(read_one(tmp_path / "a.bmp"), np.asarray(shown).reshape(5, 7, -1))


@pytest.mark.parametrize("transparent", [False, True])
def test_gif(tmp_path, read_one, rng, transparent):
    """GIF is the colours of its palette, and its transparent index has alpha 0."""
    colours = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    indices = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    image = Image.frombytes("P", (30, 20), indices.tobytes())
    image.putpalette(colours.tobytes())
    key = int(indices[3, 4])
    image.save(tmp_path / "a.gif", optimize=False, **({"transparency": key} if transparent else {}))

    pixels = read_one(tmp_path / "a.gif")

    seen = indices != key if transparent else np.ones((20, 30), bool)
    assert np.array_equal(pixels[seen][:, :3], colours[indices[seen]])
    assert pixels.shape[2] == 3 + transparent
    if transparent:
        assert np.array_equal(pixels[..., 3], np.where(seen, 255, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp(tmp_path, read_one, rng, mode):
    """Lossless WEBP keeps every value, with and without alpha; imagecodecs agrees."""
    values = rng.integers(0, 256, (5, 7, len(mode)), dtype=np.uint8)
    values[..., 3:] |= 1
    Image.fromarray(values).save(tmp_path / "a.webp", lossless=True, exact=True)

    assert np.array_equal(read_one(tmp_path / "a.webp"), values)
    assert np.array_equal(imagecodecs.webp_decode((tmp_path / "a.webp").read_bytes()), values)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("largest", [1, 100, 255, 1023, 65535])
def test_pgm(write, read_one, rng, largest, plain):
    """The declared maximum of a PGM is white: 255 up to 8 bits, 65535 above."""
    values = rng.integers(0, largest + 1, (5, 7))
    if plain:
        body = "\n".join(" ".join(map(str, row)) for row in values).encode()
    else:
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    path = write(b"P%d\n7 5\n%d\n" % (2 if plain else 5, largest) + body + b"\n" * plain, "a.pgm")

    pixels = read_one(path)

    white = 65535 if largest > 255 else 255
    assert pixels.dtype == (np.uint16 if largest > 255 else np.uint8)
    assert np.abs(pixels[..., 0] - values / largest * white).max() <= 0.5


@pytest.mark.parametrize("largest", [255, 1023, 65535])
def test_raw_ppm(write, read_one, rng, largest):
    """Raw colour of more than 8 bits is read at full depth, without any library."""
    values = rng.integers(0, largest + 1, (5, 7, 3))
    body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    path = write(b"P6\n# made by hand\n7 5\n%d\n" % largest + body, "a.ppm")

    pixels = read_one(path)

    white = 65535 if largest > 255 else 255
    assert pixels.dtype == (np.uint16 if largest > 255 else np.uint8)
    assert np.abs(pixels - values / largest * white).max() <= 0.5


def test_pbm(write, read_one, rng):
    """In a PBM 1 is black."""
    bits = rng.integers(0, 2, (5, 8), dtype=np.uint8)
    path = write(b"P4\n8 5\n" + np.packbits(bits, axis=1).tobytes(), "a.pbm")

    assert np.array_equal(read_one(path)[..., 0], (1 - bits) * 255)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_is_read_from_the_bottom(write, read_one, rng, order):
    """A PFM keeps its floating-point numbers; its first row is the lowest."""
    values = rng.normal(size=(5, 7)).astype("f4")
    scale = b"-1.0" if order == "<" else b"1.0"
    path = write(
        b"Pf\n7 5\n" + scale + b"\n" + values[::-1].astype(f"{order}f4").tobytes(), "a.pfm"
    )

    pixels = read_one(path)

    assert pixels.dtype == np.float32
    assert np.array_equal(pixels[..., 0], values)
