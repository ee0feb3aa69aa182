"""The PNG writer, judged by Pillow, imagecodecs and pngcheck."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import integers, sampled_from, tuples
from PIL import Image

from bncli.errors import ImageError
from bncli.images import png as writer
from bncli.images.png import check_chunks, check_rows, encode_png, encoder_name, encoder_version

PICTURES = tuples(
    sampled_from([np.uint8, np.uint16]), integers(1, 40), integers(1, 40), integers(1, 4)
).flatmap(lambda kind: arrays(kind[0], kind[1:]))


@pytest.fixture(params=["isal", "zlib"])
def compressor(request, monkeypatch):
    """Both compressors, whatever is installed."""
    if request.param == "isal":
        pytest.importorskip("isal")
    monkeypatch.setattr(writer, "_deflate", getattr(writer, f"_{request.param}_deflate"))
    return request.param


def filters(content, pixels):
    """The filter bytes of the rows of an encoded picture."""
    idat = content.index(b"IDAT")
    length = int.from_bytes(content[idat - 4 : idat], "big")
    rows = zlib.decompress(content[idat + 4 : idat + 4 + length])
    return set(rows[:: 1 + pixels[0].nbytes])


def assert_decoders_agree(content, pixels):
    """Two decoders give back the pixels; Pillow gives 16-bit colour back as 8 bits."""
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    expected = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    assert np.array_equal(imagecodecs.png_decode(content).reshape(expected.shape), expected)
    with Image.open(io.BytesIO(content)) as image:
        shown = np.asarray(image)
    if pixels.dtype == np.uint16 and pixels.shape[2] > 1:
        expected = expected >> 8
        if pixels.shape[2] == 2:  # LA of 16 bits is opened as LA or RGBA
            shown = shown[..., [0, -1]]
    assert np.array_equal(shown, expected)
    check_chunks(content)
    check_rows(content)


@given(pixels=PICTURES)
def test_any_picture_comes_back(pixels):
    """What is written is what decoders of two other libraries read."""
    assert_decoders_agree(encode_png(pixels), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_either_compressor(compressor, rng, dtype, channels):
    """The pixels do not depend on the compressor."""
    pixels = rng.integers(0, np.iinfo(dtype).max + 1, (50, 33, channels)).astype(dtype)

    assert_decoders_agree(encode_png(pixels), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turned", [False, True])
def test_the_filter_follows_the_picture(compressor, rng, dtype, turned):
    """What is smooth from row to row is stored by Up, along the rows by Sub; each comes back."""
    rough = rng.integers(0, 256, (1, 64, 3))
    rows = (rough + np.cumsum(rng.integers(0, 2, (64, 64, 3)), axis=0)).astype(dtype)
    pixels = np.ascontiguousarray(rows.swapaxes(0, 1)) if turned else rows

    content = encode_png(pixels)

    assert filters(content, pixels) == {1 if turned else 2}
    assert len(content) < pixels.nbytes / 2
    assert_decoders_agree(content, pixels)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 1), (9, 1, 4), (17, 13, 3), (40, 31, 2)])
def test_every_filter_comes_back(monkeypatch, rng, kind, dtype, shape):
    """Each filter by itself is undone by another decoder, one pixel wide or high too."""
    monkeypatch.setattr(writer, "_best_filter", lambda rows, step: kind)
    pixels = rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    content = encode_png(pixels)

    assert filters(content, pixels) == {kind}
    assert np.array_equal(imagecodecs.png_decode(content).reshape(shape), pixels)


def test_views_and_byte_orders(rng):
    """Turned, strided and big-endian arrays are written by their values."""
    pixels = rng.integers(0, 65536, (20, 30, 3)).astype(">u2")

    assert_decoders_agree(encode_png(pixels[::-1, ::2, ::-1]), pixels[::-1, ::2, ::-1])


def test_colour_profile():
    """The ICC profile is carried to the byte."""
    profile = bytes(range(256)) * 20
    pixels = np.zeros((3, 4, 3), np.uint8)

    with Image.open(io.BytesIO(encode_png(pixels, profile))) as image:
        assert image.info["icc_profile"] == profile
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert "icc_profile" not in image.info


def test_nothing_but_pixels_is_written(rng):
    """No time, text or place is in the file: the same pixels give the same bytes."""
    pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    content = encode_png(pixels)

    assert content == encode_png(pixels.copy())
    kinds = []
    position = 8
    while position < len(content):
        kinds.append(content[position + 4 : position + 8])
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_the_compressor_has_a_name():
    """The summary can say which compressor made the bytes."""
    assert encoder_name() in {"isal", "zlib"}


@pytest.mark.parametrize("place", [9, 17, 30, 45, -2])
def test_check_chunks_finds_a_flipped_bit(rng, place):
    """A change of one bit anywhere is found."""
    content = bytearray(encode_png(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)))
    content[place] ^= 16

    with pytest.raises(ImageError):
        check_chunks(bytes(content))


@pytest.mark.parametrize("length", [8, 20, 33, 60, -1, -12])
def test_check_chunks_finds_an_early_end(rng, length):
    """A file that stops before IEND is found, wherever it stops."""
    content = encode_png(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))

    with pytest.raises(ImageError, match="truncated"):
        check_chunks(content[:length])


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngcheck_agrees(tmp_path, rng, dtype, channels):
    """The strictest reader has nothing to object to."""
    pixels = rng.integers(0, 256, (13, 7, channels)).astype(dtype)
    (tmp_path / "a.png").write_bytes(encode_png(pixels))

    checked = subprocess.run([shutil.which("pngcheck"), "-q", tmp_path / "a.png"], check=False)
    assert checked.returncode == 0


def test_bytes_do_not_hang_on_the_stack_of_the_thread(compressor):
    """Equal rows give equal bytes wherever a thread has its stack, and a fault would be seen.

    Stacks of these sizes lie at ever other places. Of a compressor that looks at its own address,
    twenty or more of these streams come out in two ways.
    """
    rng = np.random.default_rng(7)
    streams = [np.tile(rng.integers(0, 256, (1, 5), np.uint8), (8, 1)) for _ in range(500)]
    found = [set() for _ in streams]

    def encode():
        for contents, stream in zip(found, streams, strict=True):
            contents.add(writer._deflate(stream))

    before = threading.stack_size()
    try:
        for number in range(80):
            threading.stack_size((4 + number * 7919 % 8191) << 16)
            thread = threading.Thread(target=encode)
            thread.start()
            thread.join()
    finally:
        threading.stack_size(before)

    assert {len(contents) for contents in found} == {1}


def test_the_version_tells_another_compressor(monkeypatch):
    """What names the encoder differs where the same version would write other bytes."""
    here = encoder_version()

    assert encoder_version() == here
    monkeypatch.setattr(writer, "_deflate", lambda data: zlib.compress(data.tobytes(), 9))
    assert encoder_version() != here
