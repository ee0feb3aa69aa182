"""What cannot be read without loss is refused, with the reason and the remedy."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
import tifffile
from images.handmade import chunk, grey_tiff, png, png_header, tiff
from PIL import Image

from bncli.errors import DataError, ImageError, LimitError

PIXELS = np.random.default_rng(7).integers(0, 256, (40, 30, 3), dtype=np.uint8)
FRAMES = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]


def encoded(suffix, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, suffix, **options)
    return buffer.getvalue()


def assert_refused(read, path, *words, kind=ImageError, **policy):
    with pytest.raises(kind) as caught:
        read(path, **policy)
    for word in words:
        assert word in str(caught.value)
    assert type(caught.value) is kind


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64"])
def test_numbers_of_other_kinds(tmp_path, read, dtype, channels):
    """64-bit integers and complex numbers are refused, not rounded."""
    shape = (5, 7, 3)[: 2 + (channels == 3)]
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, dtype), photometric=photometric)

    assert_refused(read, tmp_path / "a.tif", "convert it to")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_five_bands(tmp_path, read, dtype):
    """Two channels besides the colours have no rule: neither is dropped in silence."""
    values = np.ones((5, 7, 5), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[0, 0])

    assert_refused(read, tmp_path / "a.tif", "5 x", "convert it")


def test_deep_cmyk_and_lab(tmp_path, read):
    """16-bit inks and Lab colours are refused by name."""
    tifffile.imwrite(tmp_path / "a.tif", np.ones((5, 7, 4), "u2"), photometric="separated")
    Image.new("LAB", (7, 5)).save(tmp_path / "b.tif")

    assert_refused(read, tmp_path / "a.tif", "SEPARATED", "convert it")
    assert_refused(read, tmp_path / "b.tif", "LAB", "convert it")


def test_floating_point_with_white_as_zero(write, read):
    """Floating-point numbers have no white to be subtracted from."""
    tags = grey_tiff(7, 5, 32, photometric=0, t339=(3, (3,)))

    assert_refused(read, write(tiff(bytes(140), tags), "a.tif"), "0 as white")


def test_text_form_of_deep_colour(write, read):
    """A 16-bit PPM written as text is refused; Pillow would cut it to 8 bits."""
    assert_refused(read, write(b"P3\n1 1\n65535\n1 2 3\n", "a.ppm"), "raw form (P6)")


@pytest.mark.parametrize("suffix", ["gif", "tiff", "png", "webp"])
def test_several_frames(tmp_path, read, suffix):
    """Animations and many pages are refused by the number of frames unless --frames says how."""
    path = tmp_path / f"a.{suffix}"
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:])

    assert_refused(read, path, "2 frames", "--frames first", "--frames all")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_not_finite(tmp_path, read, dtype, shape, bad):
    """NaN and infinity are counted and refused."""
    values = np.ones(shape, dtype)
    values[0, 1] = values[4, 2] = bad
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="rgb" if len(shape) == 3 else "minisblack"
    )

    count = 2 if len(shape) == 2 else 6
    assert_refused(read, tmp_path / "a.tif", "NaN or infinity", f"in {count} places")


@pytest.mark.parametrize("suffix", ["jpeg", "png", "bmp", "gif", "webp", "tiff", "ppm"])
def test_half_a_file(write, read, suffix):
    """The first half of a file is never taken for a picture."""
    content = encoded(suffix)
    path = write(content, f"a.{suffix}")
    assert read(path)

    path.write_bytes(content[: len(content) // 2])

    assert_refused(read, path)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("colour", ["tif", "png", "ppm"])
def test_half_a_deep_file(tmp_path, write, read, colour, dtype):
    """Nor is the first half of a deep one."""
    if colour == "tif":
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, PIXELS.astype(dtype), photometric="rgb", compression="deflate")
    elif colour == "png":
        path = write(png(PIXELS.astype(int) * 257, "rgb", 16))
    else:
        path = write(b"P6\n30 40\n65535\n" + PIXELS.astype(">u2").tobytes(), "a.ppm")
    assert read(path)

    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    assert_refused(read, path)


@pytest.mark.parametrize("rows", [0, 1, 20, 39])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_rows_missing_inside_a_sound_png(write, read, depth, interlaced, rows):
    """A PNG whose chunks are sound, but which lacks rows, is refused: black is not the answer."""
    whole = png(PIXELS, "rgb", depth, interlaced=interlaced)
    part = png(PIXELS[:rows], "rgb", depth, interlaced=interlaced)

    assert_refused(read, write(whole[:33] + part[33:]))


def test_bad_checksum(write, read):
    """A PNG with one wrong checksum is refused; Pillow alone would take it."""
    content = bytearray(png(PIXELS, "rgb", 8, after=[(b"teXt", b"k\0v")]))
    content[-13] ^= 1  # of the text after the pixels

    assert_refused(read, write(bytes(content)), "checksum", "teXt", "damaged")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("place", [40, 200, -20])
def test_flipped_bit_in_the_pixels(write, read, depth, place):
    """One flipped bit of the pixels never passes."""
    content = bytearray(png(PIXELS, "rgb", depth))
    content[place] ^= 8

    assert_refused(read, write(bytes(content)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n",
        b"no picture, just text\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08\0\0\0\0",
        b"BM",
        b"GIF89a",
        b"P6\n",
        b"P5\n-1 5\n255\n",
        b"RIFF\0\0\0\0WEBP",
        b"\xff\xd8\xff",
    ],
    ids=lambda content: repr(content[:8]),
)
def test_no_picture(write, read, content):
    """What is no picture of a known format is refused, whatever it is called."""
    assert_refused(read, write(content))


def test_unlisted_formats_are_not_opened(tmp_path, read):
    """Only the listed formats are opened, however sound a file of another one is."""
    for name in ("TGA", "SGI", "ICO", "PCX"):
        Image.fromarray(PIXELS).save(tmp_path / "a.png", name)
        assert_refused(read, tmp_path / "a.png", "convert it to PNG or TIFF")


def test_header_bomb_is_never_decoded(write, read, monkeypatch):
    """A file that claims too many pixels is refused by its header; nothing is decoded."""
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    path = write(png_header(60_000, 60_000))

    assert_refused(read, path, "60000x60000", "--max-pixels", kind=LimitError)


def test_deep_header_bomb(write, read):
    """The limit holds for what Pillow does not open too."""
    tags = grey_tiff(60_000, 60_000, 64, t339=(3, (3,)))

    assert_refused(read, write(tiff(bytes(8), tags), "a.tif"), "60000x60000", kind=LimitError)


def test_bomb_of_frames_is_never_decoded(tmp_path, read, monkeypatch):
    """To count or to look at frames, none is decoded that is too large."""
    FRAMES[0].save(tmp_path / "a.gif", save_all=True, append_images=FRAMES[1:])
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))

    assert_refused(read, tmp_path / "a.gif", kind=LimitError, frames="all", max_pixels=1199)


def test_the_limit_is_the_largest_allowed(write, read):
    """A picture of exactly the limit is read, one pixel more is not."""
    path = write(png(PIXELS, "rgb", 8))

    assert read(path, max_pixels=1200)
    assert_refused(read, path, kind=LimitError, max_pixels=1199)


def test_text_bomb(write, read):
    """Megabytes of text packed into a tiny PNG are refused unread."""
    import zlib

    bomb = b"k\0\0" + zlib.compress(bytes(80_000_000), 9)
    assert_refused(read, write(png(PIXELS, "rgb", 8, before=[(b"zTXt", bomb)])))


def test_one_chunk_claims_more_than_the_file(write, read):
    """A chunk longer than the file is refused, not allocated."""
    content = png(PIXELS, "rgb", 8)
    claim = b"\x7f\xff\xff\xff" + chunk(b"teXt", b"k\0v")[4:]

    assert_refused(read, write(content[:-12] + claim + content[-12:]))


def hide(monkeypatch, *modules):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in modules else real(name)
    )


@pytest.mark.parametrize("colour", ["rgb", "grey+alpha", "rgb+alpha"])
def test_deep_png_without_the_extra(write, read, monkeypatch, colour):
    """Without the extra, 16-bit colour is refused naming it; it never arrives as 8-bit."""
    hide(monkeypatch, "imagecodecs", "tifffile")
    channels = {"rgb": 3, "grey+alpha": 2, "rgb+alpha": 4}[colour]
    path = write(png(np.ones((5, 7, channels), int), colour, 16))

    assert_refused(read, path, "16 bits", "pip install 'bncli[codecs]'")


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_deep_tiff_without_the_extra(tmp_path, read, monkeypatch, dtype):
    """Likewise deep TIFF."""
    hide(monkeypatch, "imagecodecs", "tifffile")
    tifffile.imwrite(tmp_path / "a.tif", PIXELS.astype(dtype), photometric="rgb")

    assert_refused(read, tmp_path / "a.tif", "TIFF", "pip install 'bncli[codecs]'")


def test_ordinary_pictures_need_no_extra(write, read_one, monkeypatch):
    """16-bit grey and 16-bit PPM are read without the extra."""
    hide(monkeypatch, "imagecodecs", "tifffile")
    values = PIXELS.astype(np.uint16) * 257

    assert np.array_equal(read_one(write(png(values[..., 0], "grey", 16)))[..., 0], values[..., 0])
    path = write(b"P6\n30 40\n65535\n" + values.astype(">u2").tobytes(), "a.ppm")
    assert np.array_equal(read_one(path), values)


@pytest.mark.parametrize("change", ["grown", "replaced", "removed"])
def test_changed_between_preflight_and_decode(write, gather, change):
    """A picture that changes after it was looked at is refused, never mixed in."""
    path = write(png(PIXELS, "rgb", 8))
    images = gather([path])
    if change == "grown":
        path.write_bytes(path.read_bytes() + b"more")
    elif change == "replaced":
        path.with_name("new").write_bytes(path.read_bytes())
        path.with_name("new").replace(path)
    else:
        path.unlink()

    with pytest.raises(DataError, match=r"changed while|cannot be opened"):
        images.picture(0).read()
