"""Whatever bytes a file holds, it is a picture or bad data: never another error, never a hang."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis.strategies import binary, data, integers, lists, sampled_from, tuples
from images.handmade import chunk, exif, png
from PIL import Image

from bncli.errors import DataError, ImageError, LimitError
from bncli.images.decode import decode
from bncli.images.header import read_headers
from bncli.images.pillow import pillow_unlimited
from bncli.images.policy import ReadPolicy

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(kind, pixels=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def tiffed(dtype, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS.astype(dtype), photometric="rgb", **options)
    return buffer.getvalue()


SOUND = {
    "png": encoded("png"),
    "png16": png(PIXELS.astype(int) * 257, "rgb", 16, before=[(b"eXIf", exif(6))]),
    "palette": encoded("png", PIXELS[..., 0] & 3),
    "apng": encoded("png", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])]),
    "jpeg": encoded("jpeg", exif=b"Exif\0\0" + exif(8)),
    "gif": encoded("gif", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])]),
    "webp": encoded("webp"),
    "bmp": encoded("bmp"),
    "tiff": encoded("tiff"),
    "tiff lzw": encoded("tiff", compression="tiff_lzw"),
    "tiff16": tiffed("u2"),
    "tiff float": tiffed("f4", compression="deflate"),
    "ppm": encoded("ppm"),
    "ppm16": b"P6\n9 6\n1000\n" + PIXELS.astype(">u2").tobytes(),
    "pgm text": b"P2\n3 2\n9\n1 2 3\n4 5 6\n",
    "pfm": b"Pf\n3 2\n-1.0\n" + np.ones((2, 3), "<f4").tobytes(),
}


def assert_read_or_refused(path, content):
    """Read a file in every way there is; give how many pictures were read."""
    path.write_bytes(content)
    count = 0
    for policy in (ReadPolicy(frames="all", max_pixels=100_000), ReadPolicy(frames="first")):
        try:
            with pillow_unlimited():
                headers = read_headers(path, "x", policy)
                for header in headers[:4]:
                    decoded = decode(header, policy)
                    width, height = header.size
                    assert decoded.values.size in {width * height, width * height * 3}
                    count += 1
        except (DataError, LimitError) as error:
            told = str(error)
        else:
            continue
        assert told.isprintable()
        assert len(told) < 500
    return count


@pytest.mark.parametrize("kind", SOUND)
def test_the_sound_ones_are_read(tmp_path, kind):
    """What is damaged below is sound to begin with."""
    assert assert_read_or_refused(tmp_path / "x", SOUND[kind]) >= 2


def test_decoders_say_nothing_of_their_own(tmp_path, capfd, monkeypatch):
    """What decoders find strange never reaches the terminal past the one who escapes it."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    strange = [(b"eXIf", b"II\0\0"), (b"gAMA", b"\0"), (b"iCCP", b"\x1b[2J\0\0x")]
    damaged = bytearray(SOUND["tiff16"])
    damaged[-30:] = b"\x1b" * 30
    for content in (
        png(PIXELS, "rgb", 16, before=strange),
        png(PIXELS, "rgb", 16, interlaced=True),
        png(PIXELS, "rgb", 8, before=strange),
        bytes(damaged),
        SOUND["tiff float"][:-40] + bytes(40),
        SOUND["jpeg"][:300] + b"\0" * 30 + SOUND["jpeg"][330:],
    ):
        assert_read_or_refused(tmp_path / "x", content)

    assert capfd.readouterr() == ("", "")


@settings(max_examples=300)
@given(draw=data(), kind=sampled_from(sorted(SOUND)))
def test_changed_bytes(tmp_path_factory, draw, kind):
    """Bytes may be changed anywhere."""
    content = bytearray(SOUND[kind])
    place = integers(0, len(content) - 1)
    for where, value in draw.draw(lists(tuples(place, integers(0, 255)), min_size=1, max_size=5)):
        content[where] = value

    assert_read_or_refused(tmp_path_factory.getbasetemp() / "changed", bytes(content))


@settings(max_examples=200)
@given(draw=data(), kind=sampled_from(sorted(SOUND)), middle=binary(max_size=12))
def test_lost_and_foreign_bytes(tmp_path_factory, draw, kind, middle):
    """Bytes may be lost or come in anywhere."""
    content = SOUND[kind]
    start = draw.draw(integers(0, len(content)))
    stop = draw.draw(integers(start, len(content)))

    spliced = content[:start] + middle + content[stop:]
    assert_read_or_refused(tmp_path_factory.getbasetemp() / "spliced", spliced)


@settings(max_examples=150)
@given(draw=data(), kind=sampled_from(["png", "png16", "palette", "apng"]))
def test_changed_bytes_with_sound_checksums(tmp_path_factory, draw, kind):
    """An attacker computes the checksums of what he changes."""
    content, parts, position = SOUND[kind], [], 8
    while position < len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        parts.append(
            (content[position + 4 : position + 8], bytearray(content[position + 8 : end - 4]))
        )
        position = end
    for _ in range(draw.draw(integers(1, 4))):
        _, body = draw.draw(sampled_from([part for part in parts if part[1]]))
        body[draw.draw(integers(0, len(body) - 1))] = draw.draw(integers(0, 255))

    forged = content[:8] + b"".join(chunk(name, bytes(body)) for name, body in parts)
    assert_read_or_refused(tmp_path_factory.getbasetemp() / "forged", forged)


def test_a_value_above_the_declared_maximum(write, read):
    """A number above what the file itself calls white is a fault of the file."""
    body = np.full((2, 3, 3), 1001, ">u2").tobytes()

    with pytest.raises(ImageError, match="above the 1000 that it declares"):
        read(write(b"P6\n3 2\n1000\n" + body, "a.ppm"))


def test_pages_in_a_circle(write, read):
    """A TIFF whose pages point at one another ends."""
    content = bytearray(SOUND["tiff"])
    start = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[start : start + 2], "little")
    link = start + 2 + 12 * entries
    content[link : link + 4] = start.to_bytes(4, "little")

    for frames in ("all", "first"):
        try:
            pictures = read(write(bytes(content), "a.tif"), frames=frames)
        except DataError:
            continue
        assert len(pictures) <= 2


def test_too_little_memory_is_a_limit(write, gather, monkeypatch):
    """When a decoder finds no memory, the error is a limit with a way out."""
    images = gather([write(SOUND["png"])])

    def starve(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", starve)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", starve)
    with pytest.raises(LimitError, match="not enough memory"):
        images.picture(0).read()


def test_deep_animation(write, read):
    """Of a 16-bit colour animation the first frame is read, but not all: never one twice."""
    still = png(PIXELS.astype(int) * 257, "rgb", 16)
    control = [(b"acTL", (2).to_bytes(4, "big") + bytes(4)), (b"fcTL", _frame(0))]
    animated = still[:33] + b"".join(chunk(*pair) for pair in control) + still[33:-12]
    idat = still.index(b"IDAT")
    length = int.from_bytes(still[idat - 4 : idat], "big")
    animated += chunk(b"fcTL", _frame(1))
    animated += chunk(b"fdAT", (2).to_bytes(4, "big") + still[idat + 4 : idat + 4 + length])
    path = write(animated + still[-12:])

    (first,) = read(path, frames="first")

    assert np.array_equal(first, PIXELS.astype(int) * 257)
    with pytest.raises(ImageError, match="--frames first"):
        read(path, frames="all")


def _frame(number):
    numbers = (number, 9, 6, 0, 0)
    return b"".join(n.to_bytes(4, "big") for n in numbers) + b"\0\1\0\1\0\0"
