"""What stands in unusual places of PNG and PNM files."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from images.handmade import chunk, png

from bncli.errors import ImageError
from bncli.images.decode import decode
from bncli.images.header import read_headers
from bncli.images.png import check_rows
from bncli.images.policy import ReadPolicy

PACKET = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
CHUNK = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET)


@pytest.mark.parametrize("place", ["before", "after"])
def test_xmp_of_a_png_may_stand_behind_its_pixels(write, place):
    """It is kept from there, too."""
    path = write(png(np.full((3, 4), 7), "grey", 8, **{place: [CHUNK]}), "a.png")
    policy = ReadPolicy(keep_metadata=True)
    (header,) = read_headers(path, "a.png", policy)
    assert PACKET in decode(header, policy).metadata.xmp


@pytest.mark.parametrize("white", [255, 256, 300, 511, 512, 65535])
def test_the_white_of_a_pnm_is_white(write, read_one, white):
    """Whatever number it has: of one byte up to 255, of two above."""
    size = ">u1" if white < 256 else ">u2"
    values = np.array([[0, white], [white, 0]]).astype(size)
    path = write(b"P5 2 2 %d\n" % white + values.tobytes(), "a.pgm")
    found = read_one(path)[..., 0]
    assert np.array_equal(found == np.iinfo(found.dtype).max, values == white)
    assert np.array_equal(found == 0, values == 0)


@pytest.mark.parametrize("lost", [0, 2])
def test_rows_are_counted_to_the_last(lost):
    """A stream without its own checksum holds them all; one that ends two bytes sooner does not.

    What is left in the unpacker when its input is at an end is pixels too.
    """
    width = (1 << 20) + 60
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, 8, 0, 0, 0, 0))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"\x78\x9c" + packer.compress(bytes(1 + width)) + packer.flush()
    body = chunk(b"IDAT", packed[: len(packed) - lost])
    content = b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND")
    if lost:
        with pytest.raises(ImageError, match="rows of pixels are missing"):
            check_rows(content)
    else:
        check_rows(content)
