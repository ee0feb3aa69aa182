from __future__ import annotations

import numpy as np
import pytest
import tifffile
from images.handmade import grey_tiff, tiff
from PIL import Image

from bncli.errors import ImageError

DEEP = ["uint16", "float16", "float32", "float64"]


def numbers(rng, dtype, shape):
    """Random numbers that fill the range of an integer dtype, or floats around zero."""
    dtype = np.dtype(dtype)
    if dtype.kind == "u":
        return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    return rng.normal(scale=3, size=shape).astype(dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", *DEEP])
def test_grey_tiff(tmp_path, read_one, rng, dtype, order):
    """Grey TIFF of either byte order keeps every number."""
    values = numbers(rng, dtype, (5, 7))
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order)

    pixels = read_one(tmp_path / "a.tif")

    assert pixels.dtype == dtype
    assert np.array_equal(pixels[..., 0], values)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", *DEEP])
def test_colour_tiff(tmp_path, read_one, rng, dtype, planar, order):
    """Colour TIFF, its channels interleaved or in planes, keeps every number."""
    values = numbers(rng, dtype, (5, 7, 3))
    stored = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if planar else values
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        byteorder=order,
    )

    pixels = read_one(tmp_path / "a.tif")

    assert pixels.dtype == dtype
    assert np.array_equal(pixels, values)


@pytest.mark.parametrize("compression", ["deflate", "lzw"])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_deep_tiff(tmp_path, read_one, rng, compression, predictor):
    """Compression and predictors do not change the numbers of 16-bit colour."""
    values = numbers(rng, "uint16", (40, 30, 3))
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, values, photometric="rgb", compression=compression, predictor=predictor, tile=(16, 16)
    )

    assert np.array_equal(read_one(path), values)


@pytest.mark.parametrize("shape", [(1, 7, 3), (5, 1, 3), (1, 1, 3)])
def test_thin_deep_tiff(tmp_path, read_one, rng, shape):
    """A side of one pixel is no reason to mistake the axes."""
    values = numbers(rng, "uint16", shape)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")

    assert np.array_equal(read_one(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_one_channel_more_is_alpha(tmp_path, read_one, rng, dtype, colours):
    """The channel after the colours that the file calls alpha is copied through."""
    values = numbers(rng, dtype, (5, 7, colours + 1))
    tifffile.imwrite(
        tmp_path / "a.tif",
        values,
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )

    assert np.array_equal(read_one(tmp_path / "a.tif"), values)


def test_premultiplied_colours_are_divided_by_alpha(tmp_path, read_one, rng):
    """Colours stored multiplied by alpha come back as colours, to the rounding of the store."""
    alpha = rng.integers(1, 65536, (5, 7, 1)).astype(np.float64)
    colours = rng.integers(0, 65536, (5, 7, 3)).astype(np.float64)
    stored = np.concatenate([np.rint(colours * alpha / 65535), alpha], axis=2).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])

    pixels = read_one(path)

    assert np.array_equal(pixels[..., 3:], alpha)
    assert (np.abs(pixels[..., :3] - colours) <= 0.5 * 65535 / alpha + 0.5).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_white_is_zero(write, read_one, rng, bits, order):
    """Where 0 means white, values are turned round, at every depth."""
    values = rng.integers(0, 1 << bits, (5, 8))
    data = {
        1: np.packbits(values.astype(np.uint8), axis=1).tobytes(),
        8: values.astype(np.uint8).tobytes(),
        16: values.astype(f"{order}u2").tobytes(),
    }[bits]
    path = write(tiff(data, grey_tiff(8, 5, bits, photometric=0), order), "a.tif")

    white = (1 << bits) - 1
    assert np.array_equal(read_one(path)[..., 0], (white - values) * (255 if bits == 1 else 1))


def test_twelve_bit_white_is_white(write, read_one, rng):
    """12-bit grey is brought to the whole 16-bit range, as any declared maximum is."""
    values = rng.integers(0, 4096, (5, 8))
    values[0, :2] = 0, 4095
    bits = (values[..., None] >> np.arange(11, -1, -1)) & 1
    data = np.packbits(bits.reshape(5, -1).astype(np.uint8), axis=1).tobytes()
    path = write(tiff(data, grey_tiff(8, 5, 12)), "a.tif")

    pixels = read_one(path)

    assert np.array_equal(pixels[..., 0], np.rint(values / 4095 * 65535))


def test_palette_and_cmyk_tiff(tmp_path, read_one, rng):
    """Palette and 8-bit CMYK TIFF become the colours that they show."""
    indices = Image.fromarray(rng.integers(0, 256, (5, 7), dtype=np.uint8), "L").convert("P")
    colours = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    indices.putpalette(colours.tobytes())
    indices.save(tmp_path / "palette.tif")
    inks = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "inks.tif", inks, photometric="separated")

    assert np.array_equal(read_one(tmp_path / "palette.tif"), colours[np.asarray(indices)])
    assert np.array_equal(
        read_one(tmp_path / "inks.tif"),
        np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")),
    )


def test_deep_tiff_keeps_its_profile(tmp_path, gather, rng):
    """The ICC profile of a 16-bit colour TIFF is carried along."""
    values = numbers(rng, "uint16", (5, 7, 3))
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", iccprofile=b"profile")

    assert gather([tmp_path / "a.tif"]).picture(0).read().icc == b"profile"


def test_twelve_bit_differences_are_added_up(write, read_one, rng):
    """12-bit grey stored as differences is what they add up to, without what is carried."""
    values = rng.integers(0, 4096, (5, 8))
    values[0, :2] = 0, 4095
    stored = np.diff(values, axis=1, prepend=0) % 4096
    bits = (stored[..., None] >> np.arange(11, -1, -1)) & 1
    data = np.packbits(bits.reshape(5, -1).astype(np.uint8), axis=1).tobytes()
    path = write(tiff(data, grey_tiff(8, 5, 12, t317=(3, (2,)))), "a.tif")

    assert np.array_equal(tifffile.imread(path) % 4096, values)
    assert np.array_equal(read_one(path)[..., 0], np.rint(values / 4095 * 65535))


def test_tiles_that_are_called_strips(write, read_one, rng):
    """Tiles whose places stand where those of strips do are tiles, and no strips."""
    values = rng.integers(0, 256, (12, 10), dtype=np.uint8)
    tile = np.pad(values, ((0, 4), (0, 6)))
    tags = grey_tiff(10, 12, 8, t322=(3, (16,)), t323=(3, (16,)))
    path = write(tiff(tile.tobytes(), tags), "a.tif")

    assert np.array_equal(tifffile.imread(path), values)
    assert np.array_equal(read_one(path)[..., 0], values)


@pytest.mark.parametrize("sampling", [None, (2, 2), (2, 1), (1, 1)])
def test_uncompressed_ycbcr(write, read, sampling):
    """Subsampled colours that are not compressed are refused: they are no whole pixels."""
    values = np.full((4, 6, 3), 128, np.uint8)
    tags = {**grey_tiff(6, 4, 8, photometric=6), 258: (3, (8, 8, 8)), 277: (3, (3,))}
    if sampling is not None:
        tags[530] = (3, sampling)
    path = write(tiff(values.tobytes(), tags), "a.tif")

    if sampling == (1, 1):
        assert (read(path)[0] == 128).all()
    else:
        with pytest.raises(ImageError, match="subsampled colours"):
            read(path)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32"])
@pytest.mark.parametrize("colour", [False, True])
def test_other_integers_are_taken_as_they_are(tmp_path, read_one, rng, dtype, colour):
    """Signed and 32-bit integers keep every number."""
    ends = np.iinfo(dtype)
    shape = (5, 7, 3) if colour else (5, 7, 1)
    values = rng.integers(ends.min, ends.max, shape, dtype, endpoint=True)
    values.flat[:2] = ends.min, ends.max
    tifffile.imwrite(
        tmp_path / "a.tif", values if colour else values[..., 0],
        photometric="rgb" if colour else "minisblack",
    )  # fmt: skip

    pixels = read_one(tmp_path / "a.tif")

    assert pixels.dtype == dtype
    assert np.array_equal(pixels, values)
