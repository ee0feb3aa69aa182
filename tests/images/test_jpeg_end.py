"""JPEG files that stop early are refused by name; all that is merely odd is read as ever."""

from __future__ import annotations

import io
import struct
import sys
from itertools import pairwise

import imagecodecs
import numpy as np
import pytest
from images.handmade import exif
from PIL import Image

from bncli import normalize_folder
from bncli.errors import ImageError

END = b"\xff\xd9"
Y, X = np.mgrid[0:64, 0:80]
WAVE = 127 + 100 * (np.sin(X / 7) * np.cos(Y / 9))[..., None]
PIXELS = np.clip(WAVE + np.random.default_rng(8).normal(0, 8, (64, 80, 3)), 0, 255).astype(np.uint8)
HALF_GREY = np.concatenate([PIXELS[:32], np.full((32, 80, 3), 128, np.uint8)])


def encoded(mode="RGB", pixels=PIXELS, **options):
    paper = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(paper, "JPEG", **options)
    return paper.getvalue()


def segment(kind, body):
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def in_scans_of_one(levels):
    """A JPEG of three components, each in a scan of its own; *levels*: (3, 8) DC differences.

    The picture is 64x8, eight blocks. One DC table, in which category 5 is the code 0, and one AC
    table, in which the end of the block is the code 0; each difference has five bits.
    """
    table = bytes([1] + [0] * 15)
    content = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([8] * 64))
    content += segment(0xC4, b"\0" + table + b"\5") + segment(0xC4, b"\x10" + table + b"\0")
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    content += segment(0xC0, struct.pack(">BHHB", 8, 8, 64, 3) + parts)
    for number, row in zip((1, 2, 3), levels, strict=True):
        bits = "".join(f"0{value if value > 0 else value + 31:05b}0" for value in row)
        bits += "1" * (-len(bits) % 8)
        content += segment(0xDA, bytes([1, number, 0, 0, 63, 0]))
        content += int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return content + END


LEVELS = np.array([[16, 20, -16, -31, 31, 17, -20, 16], [16, -16] * 4, [-17, 17] * 4])
KINDS = {
    "baseline": encoded(quality=90),
    "optimized": encoded(optimize=True),
    "whole colour": encoded(subsampling=0),
    "grey": encoded("L"),
    "CMYK": encoded("CMYK"),
    "restarts": encoded(restart_marker_blocks=3),
    "restarts of a row": encoded("L", restart_marker_rows=1),
    "progressive": encoded(progressive=True),
    "progressive grey": encoded("L", progressive=True),
    "progressive CMYK": encoded("CMYK", progressive=True),
    "progressive with restarts": encoded(progressive=True, restart_marker_blocks=3),
    "flat": encoded(pixels=HALF_GREY),
    "progressive flat": encoded(pixels=HALF_GREY, progressive=True),
    "thumbnail": encoded(exif=b"Exif\0\0" + exif(1) + encoded()),
    "scans of one": in_scans_of_one(LEVELS),
}


def data_of(content):
    """Where the data of the last scan of the picture itself begin, and where they end."""
    start = content.rindex(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big"), len(content) - 2


def assert_premature(read, path):
    with pytest.raises(ImageError, match="premature end of its JPEG data"):
        read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_pictures(write, read_one, kind):
    """What is whole is read, to the values that imagecodecs finds."""
    pixels = read_one(write(KINDS[kind], "a.jpg"))

    if "CMYK" not in kind:
        expected = imagecodecs.jpeg8_decode(KINDS[kind])
        assert np.array_equal(pixels, expected.reshape(pixels.shape))


def test_scans_of_one(write, read_one):
    """The file made above holds what it should: grey levels that are the sums of differences."""
    levels = LEVELS.copy()
    levels[1:] = [16, -16] * 4
    pixels = read_one(write(in_scans_of_one(levels), "a.jpg"))

    luma = 128 + np.cumsum(levels[0])
    red = np.rint(luma + 1.402 * np.cumsum(levels[1]))
    assert np.abs(pixels[0, ::8, 0] - np.clip(red, 0, 255)).max() <= 1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_stops_in_the_last_scan(write, read, kind, share):
    """A scan that ends before its last block is refused, though the end mark stands there."""
    start, end = data_of(KINDS[kind])
    cut = start + int(share * (end - start))

    assert_premature(read, write(KINDS[kind][:cut] + END, "a.jpg"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", [16, 24])
def test_stops_just_before_the_end(write, read, kind, lost):
    """Few bytes that are lost are enough."""
    start, end = data_of(KINDS[kind])
    if end - start > lost:
        assert_premature(read, write(KINDS[kind][: end - lost] + END, "a.jpg"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "prog" in kind or "one" in kind])
def test_scans_are_missing(write, read, kind):
    """So is a picture whose last scans are missing, where nothing else is wrong."""
    content = KINDS[kind]
    starts = [at for at in range(len(content) - 1) if content[at : at + 2] == b"\xff\xda"]

    for start in starts[1:]:
        assert_premature(read, write(content[:start] + END, "a.jpg"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "prog" in kind or "one" in kind])
def test_a_scan_before_the_last_is_short(write, read, kind):
    """So is one of which a scan before the last one stops early."""
    content = KINDS[kind]
    starts = [at for at in range(len(content) - 1) if content[at : at + 2] == b"\xff\xda"]
    start = starts[0] + 2 + content[starts[0] + 3]
    end = next(
        start + at
        for at, (first, second) in enumerate(pairwise(content[start:]))
        if first == 0xFF and second not in {0, *range(0xD0, 0xD8)}
    )

    assert_premature(read, write(content[: (start + end) // 2] + content[end:], "a.jpg"))


def test_an_interval_is_missing(write, read):
    """So is one that lacks what stands between two restart marks."""
    content = KINDS["restarts"]
    first, third = (content.index(bytes([0xFF, kind])) for kind in (0xD1, 0xD3))

    assert_premature(read, write(content[:first] + content[third:], "a.jpg"))


@pytest.mark.parametrize("kind", ["baseline", "restarts", "progressive"])
def test_something_else_follows_too_early(write, read, kind):
    """Whatever mark stands where data should, and whatever follows it."""
    start, end = data_of(KINDS[kind])
    half = (start + end) // 2
    broken = KINDS[kind][:half] + segment(0xFE, b"a comment") + KINDS[kind][half:]

    assert_premature(read, write(broken, "a.jpg"))
    assert_premature(read, write(KINDS[kind][:half] + END + bytes(5000), "a.jpg"))
    assert_premature(read, write(KINDS[kind][:half] + END + KINDS[kind], "a.jpg"))
    assert_premature(read, write(KINDS[kind][:half], "a.jpg"))


@pytest.mark.parametrize("kind", KINDS)
def test_oddities(write, read_one, kind):
    """Bytes too many, and an end mark that is missing, change nothing."""
    content = KINDS[kind]
    expected = read_one(write(content, "a.jpg"))
    start = content.rindex(b"\xff\xda")
    odd = {
        "no end mark": content[:-2],
        "zeros at the end": content + bytes(3000),
        "another picture at the end": content + KINDS["grey"],
        "fill bytes before the end mark": content[:-2] + b"\xff\xff" + END,
        "bytes before the scan": content[:start] + b"\1\2\3" + content[start:],
        "a comment after the data": content[:-2] + segment(0xFE, b"so") + END,
        "bytes after the data": content[:-2] + bytes(12) + END,
    }

    for name, each in odd.items():
        assert np.array_equal(read_one(write(each, "a.jpg")), expected), name


def test_pictures_of_one_file(tmp_path, read):
    """Of a file of several, each is looked at by itself."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])
    content = (tmp_path / "a.mpo").read_bytes()
    first, second = read(tmp_path / "a.mpo", frames="all")

    assert np.array_equal(first, imagecodecs.jpeg8_decode(content))
    assert np.array_equal(second, imagecodecs.jpeg8_decode(content[content.index(END) + 2 :]))
    (tmp_path / "a.mpo").write_bytes(content[:-400] + END)
    read(tmp_path / "a.mpo", frames="first")
    with pytest.raises(ImageError, match="premature end"):
        read(tmp_path / "a.mpo", frames="all")


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_extra(write, read, read_one, monkeypatch, kind):
    """All this needs no codecs but Pillow's: verdicts and pixels are the same."""
    expected = read_one(write(KINDS[kind], "a.jpg"))
    for module in ("imagecodecs", "tifffile"):
        monkeypatch.setitem(sys.modules, module, None)
    start, end = data_of(KINDS[kind])

    assert np.array_equal(read_one(write(KINDS[kind], "a.jpg")), expected)
    assert_premature(read, write(KINDS[kind][: (start + end) // 2] + END, "a.jpg"))


@pytest.mark.parametrize("engine", ["local", "processes"])
def test_the_one_of_a_batch_is_named(tmp_path, engine):
    """One such file among many is the one that is named, on threads and in processes."""
    (tmp_path / "in").mkdir()
    for number in range(4):
        content = KINDS["baseline"] if number != 2 else KINDS["baseline"][:1500] + END
        (tmp_path / "in" / f"p{number}.jpg").write_bytes(content)

    with pytest.raises(ImageError, match=r"^p2\.jpg: premature end") as caught:
        normalize_folder(tmp_path / "in", tmp_path / "out", engine=engine)
    assert caught.value.paths == ("p2.jpg",)
    assert not (tmp_path / "out").exists()
