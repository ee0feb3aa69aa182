"""Directories of TIFF files by the letter: strips, volumes, and what declares to be no data."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from images.stacks import imagej, one_directory, ramp

from bncli.errors import ImageError
from bncli.images import pages
from bncli.images.header import read_headers
from bncli.images.metadata import _upright, directory
from bncli.images.no_data import check_decoded
from bncli.images.policy import ReadPolicy

FRAMES = ramp((3, 8, 6))


def strips(gap=0):
    """All frames behind one directory, of two strips for each, with a gap between the two."""
    half = FRAMES[0].nbytes // 2
    more = {273: (4, (8, 8 + half + gap)), 278: (3, (4,)), 279: (4, (half, half))}
    return one_directory(FRAMES, imagej(3), more=more)


def test_strips_that_follow_each_other_are_one_run(write, read):
    """So the frames behind them can be counted."""
    found = read(write(strips(), "a.tif"), frames="all")
    assert np.array_equal(np.stack(found)[..., 0], FRAMES)


def test_behind_strips_that_do_not_there_is_nothing(write, read):
    """Where the next frame would be is not known: it is the one picture of its directory."""
    (found,) = read(write(strips(gap=6), "a.tif"), frames="all")
    values = FRAMES.reshape(-1)  # of two bytes each
    expected = np.concatenate([values[:24], values[27:51]]).reshape(8, 6)
    assert np.array_equal(found[..., 0], expected)


def test_one_frame_of_a_stack_is_a_plain_picture(write):
    """Whoever took it out of the stack left the words of it: its name is that of the file."""
    (header,) = read_headers(
        write(one_directory(FRAMES[:1], imagej(3)), "a.tif"), "a.tif", ReadPolicy(frames="all")
    )
    assert header.name == "a.tif"
    assert (header.left_out, header.missing) == (0, 0)


def test_frames_are_counted_by_the_bytes_behind_the_first(write):
    """Up to what follows them, however small they are; what is missing is told."""
    tiny = ramp((3, 2, 2), "uint8")
    path = write(one_directory(tiny, imagej(4)), "a.tif")
    headers = read_headers(path, "a.tif", ReadPolicy(frames="all"))
    assert [header.missing for header in headers] == [1, 0, 0]


def test_pages_of_two_kinds_are_each_what_they_are(tmp_path, read):
    """What was found of one page is not taken for another of another size."""
    pages = [FRAMES[0], FRAMES[1, :5, :4], FRAMES[2]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pages:
            writer.write(page, photometric="minisblack", metadata=None)
    found = read(tmp_path / "a.tif", frames="all")
    assert len(found) == 3
    for one, page in zip(found, pages, strict=True):
        assert np.array_equal(one[..., 0], page)


@pytest.mark.parametrize("frames", ["error", "first", "all"])
def test_a_volume_of_plain_strips_is_refused(write, read, frames):
    """Also where Pillow alone would have read its first slice."""
    path = write(one_directory(FRAMES[:1], more={32997: (4, (5,))}), "a.tif")
    with pytest.raises(ImageError, match="a volume of 5 slices in one directory"):
        read(path, frames=frames)


def declaring(path, values, text, **options):
    """A TIFF that declares its no-data value as GDAL does."""
    tifffile.imwrite(path, values, extratags=[(42113, "s", 0, text, True)], **options)


def test_transparency_may_hold_what_colours_may_not(tmp_path, read_one):
    """The declared number says nothing of the alpha channel."""
    values = np.full((5, 4, 4), 7, np.uint16)
    values[..., 3] = 0
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "zstd"}
    declaring(tmp_path / "a.tif", values, "0", **options)
    assert np.array_equal(read_one(tmp_path / "a.tif", alpha="keep"), values)
    values[1, 2, 0] = 0
    declaring(tmp_path / "b.tif", values, "0", **options)
    with pytest.raises(ImageError, match="in 1 places"):
        read_one(tmp_path / "b.tif", alpha="keep")


@pytest.mark.parametrize(
    ("text", "refused"),
    [("1.23457e+10", True), ("1.23457E10", True), ("1.2346e+10", False), ("-1.23457e+10", False)],
)
def test_texts_of_six_digits_are_rounded_ones(tmp_path, read_one, text, refused):
    """So they stand for all numbers that would be written so; those of fewer for one number."""
    values = np.full((5, 4), 7.0, np.float64)
    values[2, 1] = 12345678901.5
    declaring(tmp_path / "a.tif", values, text, photometric="minisblack")
    if refused:
        with pytest.raises(ImageError, match="in 1 places"):
            read_one(tmp_path / "a.tif")
    else:
        assert np.array_equal(read_one(tmp_path / "a.tif")[..., 0], values)


def test_numbers_of_few_bits_are_compared_as_the_file_holds_them():
    """Pillow spreads four bits over eight; what is declared is of the four."""
    image = SimpleNamespace(mode="L", tag_v2={42113: "7", 258: (4,), 259: 1})
    pixels = np.array([[[0], [7 * 17]], [[15 * 17], [7 * 17]]], np.uint8)
    with pytest.raises(ImageError, match=r"it holds 7, .* in 2 places"):
        check_decoded(image, pixels, alpha=False, inverted=False)
    pixels[pixels == 7 * 17] = 8 * 17
    check_decoded(image, pixels, alpha=False, inverted=False)


@pytest.mark.parametrize("big", [False, True])
def test_a_page_that_must_stand_alone_comes_first(big):
    """All bytes of the file are there, wherever it was read last, but the way to its directory."""
    content = bytes(range(40))
    file = io.BytesIO(content)
    file.seek(17)
    tiff = SimpleNamespace(file=file, big=big, order="<")
    place, form = (8, "<Q") if big else (4, "<I")
    found = pages._first_of_all(SimpleNamespace(tiff=tiff, place=29))
    assert struct.unpack_from(form, found, place) == (29,)
    assert found[:place] == content[:place]
    assert found[place + struct.calcsize(form) :] == content[place + struct.calcsize(form) :]


def test_a_directory_of_exif_ends_where_its_block_does():
    """Twelve bytes for each entry, and not one more is needed."""
    block = b"II*\0" + struct.pack("<IH", 8, 2) + bytes(24)
    assert directory(block) == ("<", 10, 2)
    assert directory(block[:-1]) is None
    assert directory(b"MM\0*" + struct.pack(">IH", 8, 0)) == (">", 10, 0)


def test_orientation_is_taken_from_the_entries_alone():
    """Of a directory that ends its block, and not from what may follow it."""
    entry = struct.pack("<HHII", 274, 3, 1, 6)
    block = b"II*\0" + struct.pack("<IH", 8, 12) + 11 * bytes(12) + entry
    upright = block[:-12] + struct.pack("<HHII", 274, 3, 1, 1)
    assert _upright(block) == upright
    assert _upright(block + entry) == upright + entry
