"""What a file declares to be no data, or gives no meaning, is no picture: it is refused by name."""

from __future__ import annotations

import importlib.util
import struct

import numpy as np
import pytest
import tifffile
from images.handmade import grey_tiff, tiff
from PIL import Image

from bncli.errors import ImageError


def hide(monkeypatch, *modules):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in modules else real(name)
    )


def gdal(path, values, text, **options):
    """A TIFF that declares its no-data value as GDAL does."""
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, values, extratags=[(42113, "s", 0, text, True)], **options)


LARGEST = float(np.finfo(np.float32).max)
DECLARED = [
    ("float32", "-9999", -9999),
    ("float32", " -9999.0 ", -9999),
    ("float32", "-3.4028234663852886e+38", -LARGEST),
    ("float32", "-3.40282346638529e+38", -LARGEST),
    ("float32", "-3.4e+38", np.float32(-3.4e38)),
    ("float32", "0.1", np.float32(0.1)),
    ("float32", "0", 0),
    ("float64", "-1.79769313486232e+308", -np.finfo(np.float64).max),
    ("float64", "1e+20", 1e20),
    ("uint8", "255", 255),
    ("uint8", "0", 0),
    ("uint16", "65535", 65535),
    ("int16", "-32768", -32768),
    ("int32", "-2147483648", -(2**31)),
    ("uint32", "4294967295", 2**32 - 1),
]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize(("dtype", "text", "value"), DECLARED)
def test_declared_no_data(tmp_path, read, dtype, text, value, shape):
    """A declared value that occurs is refused, with value and count; else it refuses nothing."""
    values = np.full(shape, 7, dtype)
    values[1, :2] = value
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    gdal(tmp_path / "a.tif", values, text, photometric=photometric)
    gdal(tmp_path / "b.tif", np.full(shape, 7, dtype), text, photometric=photometric)

    count = 2 * values[0, 0].size
    with pytest.raises(ImageError) as caught:
        read(tmp_path / "a.tif")
    assert f"it holds {text.strip()}, which it declares to stand for no data" in str(caught.value)
    assert f"in {count} places; replace them" in str(caught.value)
    assert (read(tmp_path / "b.tif")[0] == 7).all()


@pytest.mark.parametrize("text", ["nan", "-9999", "300", "7.5", "", "none", "1e400", "7 8"])
def test_no_data_that_does_not_occur(tmp_path, read_one, text):
    """Values that no pixel has, and words that are no number, refuse nothing."""
    values = np.full((5, 7), 7, np.uint8)
    gdal(tmp_path / "a.tif", values, text or " ")

    assert np.array_equal(read_one(tmp_path / "a.tif")[..., 0], values)


def test_nan_is_nan(tmp_path, read):
    """A picture whose no-data value is NaN is refused for its NaN."""
    values = np.ones((5, 7), np.float32)
    values[0, :3] = np.nan
    gdal(tmp_path / "a.tif", values, "nan")

    with pytest.raises(ImageError, match="NaN or infinity in 3 places"):
        read(tmp_path / "a.tif")


def test_numbers_of_the_file_are_looked_at(write, tmp_path, read):
    """The value is one of the file: before white and black are swapped, scaled or coloured."""
    inverted = np.array([[9, 200]], np.uint8)
    for name, dtype in (("a.tif", np.uint8), ("b.tif", np.uint16)):
        gdal(tmp_path / name, inverted.astype(dtype), "9", photometric="miniswhite")
        with pytest.raises(ImageError, match="in 1 places"):
            read(tmp_path / name)
        gdal(tmp_path / name, inverted.astype(dtype), str(np.iinfo(dtype).max - 9),
             photometric="miniswhite")  # fmt: skip
        assert read(tmp_path / name)
    colours = np.zeros((3, 256), np.uint16)
    gdal(tmp_path / "c.tif", inverted, "9", photometric="palette", colormap=colours)
    with pytest.raises(ImageError, match="in 1 places"):
        read(tmp_path / "c.tif")
    tags = grey_tiff(2, 1, 4, t42113=(1, b"3\0"))
    with pytest.raises(ImageError, match="in 1 places"):
        read(write(tiff(b"\x35", tags), "d.tif"))


def test_alpha_may_be_what_it_likes(tmp_path, read_one, rng):
    """The value is looked for among the colours: alpha 0 says by itself where nothing is."""
    values = rng.integers(1, 256, (5, 7, 4), dtype=np.uint8)
    values[0, :, 3] = 0
    gdal(tmp_path / "a.tif", values, "0", photometric="rgb", extrasamples=["unassalpha"])

    assert np.array_equal(read_one(tmp_path / "a.tif"), values)


def test_no_data_of_a_later_page(tmp_path, read):
    """Each page of a stack has its own declaration."""
    gdal(tmp_path / "a.tif", np.ones((5, 7), np.uint16), "3", metadata=None)
    gdal(tmp_path / "a.tif", np.ones((5, 7), np.uint16), "1", metadata=None, append=True)

    with pytest.raises(ImageError, match="it holds 1, which it declares"):
        read(tmp_path / "a.tif", frames="all")


@pytest.mark.parametrize("codecs", [True, False])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16"])
def test_a_channel_of_no_stated_meaning(
    tmp_path, read, read_one, monkeypatch, rng, dtype, colours, codecs
):
    """A channel more that is not said to be alpha, as near infrared, is never taken for it."""
    values = rng.integers(0, 100, (5, 7, colours + 1)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, values, photometric="rgb" if colours == 3 else "minisblack", planarconfig="contig",
        extrasamples=["unspecified"],
    )  # fmt: skip
    if not codecs:
        hide(monkeypatch, "imagecodecs", "tifffile")
        with pytest.raises(ImageError, match="pip install"):
            read(path)
        return

    with pytest.raises(ImageError, match="choose --alpha normalize or --alpha drop"):
        read(path)
    assert np.array_equal(read_one(path, alpha="normalize"), values)
    assert np.array_equal(read_one(path, alpha="drop"), values[..., :-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_four_channels_without_a_word(write, read, read_one, rng, dtype):
    """Where the tag that would name the fourth channel is missing, it has no meaning either."""
    values = rng.integers(0, 100, (5, 7, 4)).astype(dtype)
    bits = 8 * values.itemsize
    tags = {**grey_tiff(7, 5, bits, photometric=2), 258: (3, (bits,) * 4), 277: (3, (4,))}
    path = write(tiff(values.tobytes(), tags), "a.tif")

    with pytest.raises(ImageError, match="choose --alpha normalize or --alpha drop"):
        read(path)
    assert np.array_equal(read_one(path, alpha="normalize"), values)


def bmp(values, bits, masks, compression, header=124):
    """A BMP of version 5; *values* are (h, w) numbers of so many bits."""
    height, width = values.shape
    rows = np.zeros((height, (width * bits + 31) // 32 * 4), np.uint8)
    rows[:, : width * bits // 8] = values[::-1].astype(f"<u{bits // 8}").view(np.uint8)
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    info += struct.pack("<4I", *masks)
    info = info.ljust(header, b"\0")
    start = 14 + header
    return struct.pack("<2sIII", b"BM", start + rows.size, 0, start) + info + rows.tobytes()


FIELDS_16 = (0x7C00, 0x3E0, 0x1F, 0x8000)
FIELDS_32 = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize(
    ("bits", "masks", "compression"), [(16, FIELDS_16, 3), (32, FIELDS_32, 0), (16, FIELDS_16, 0)]
)
def test_alpha_of_bmp_that_would_be_lost(write, read, read_one, rng, bits, masks, compression):
    """Alpha that a BMP of version 5 declares and Pillow passes over is refused, or dropped."""
    values = rng.integers(0, 1 << bits, (5, 7))
    path = write(bmp(values, bits, masks, compression), "a.bmp")

    for alpha in ("keep", "normalize"):
        with pytest.raises(ImageError, match="choose --alpha drop, or convert it to PNG"):
            read(path, alpha=alpha)
    assert read_one(path, alpha="drop").shape == (5, 7, 3)
    opaque = write(bmp(values | masks[3], bits, masks, compression), "b.bmp")
    assert read_one(opaque).shape == (5, 7, 3)


def test_alpha_of_bmp_that_is_read(write, read_one, rng):
    """Alpha in the bit fields of 32 bits is copied through, as ever."""
    values = rng.integers(0, 1 << 32, (5, 7))
    path = write(bmp(values, 32, FIELDS_32, 3), "a.bmp")

    shifts = np.array([16, 8, 0, 24])
    assert np.array_equal(read_one(path), values[..., None] >> shifts & 255)
    with Image.open(path) as image:
        assert image.mode == "RGBA"


@pytest.mark.parametrize("header", [56, 108, 124])
def test_alpha_of_every_version_of_bmp_is_seen(tmp_path, read, header):
    """Of 3, 4 and 5: all have a place for its mask."""
    values = np.array([[0x8000, 0x7FFF], [0x1234, 0x9234]])
    (tmp_path / "a.bmp").write_bytes(bmp(values, 16, FIELDS_16, 3, header))
    with pytest.raises(ImageError, match="its alpha channel of 1 bits in 16 is not supported"):
        read(tmp_path / "a.bmp")
