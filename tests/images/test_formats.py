from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from bncli.errors import OptionError, OutputError
from bncli.images.formats import (
    FORMATS,
    check_writable,
    format_holding,
    output_name,
    picture_names,
    png_bytes,
    tiff_bytes,
)

PICTURES = [fmt for fmt in FORMATS.values() if fmt.encode is not None]


def test_table_is_read_without_an_encoder():
    """Options and help pages read the names of the formats; nothing heavy is loaded for that."""
    code = (
        "import sys, bncli.images.formats as f\n"
        "print('png' in f.FORMATS, {'numpy', 'PIL', 'bncli.images.png'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_rows_agree_with_themselves(fmt):
    """A format has files exactly if it has an encoder, and travels to other processes."""
    assert (fmt.encode is not None) == fmt.suffix.startswith(".")
    assert FORMATS[fmt.name] is fmt
    assert pickle.loads(pickle.dumps(fmt)) == fmt  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("fmt", "dtype"),
    [(f, dtype) for f in PICTURES for dtype in ("uint8", "uint16", "float32") if f.holds(dtype)],
    ids=lambda one: getattr(one, "name", one),
)
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_hold_what_they_say(fmt, dtype, channels, write, read_one):
    """What a format says to hold is read back the same, rounded to the dtype that it stores."""
    values = np.arange(6 * channels).astype(dtype) * np.dtype(dtype).type(7)

    path = write(fmt.encode(values, None, (3, 2, channels), None), f"a{fmt.suffix}")

    pixels = read_one(path)
    assert pixels.dtype == (fmt.stores or dtype)
    assert np.array_equal(pixels, values.reshape(2, 3, channels))


@pytest.mark.parametrize("fmt", PICTURES, ids=lambda fmt: fmt.name)
def test_uncompressed_formats_are_as_long_as_their_numbers(fmt):
    """The disk is planned by that: files are longer than their numbers by little, or compressed."""
    values = np.zeros(64 * 64, "uint8" if fmt.levels else "float32")

    length = len(fmt.encode(values, None, (64, 64, 1), None))

    assert (length < values.nbytes) == fmt.compressed
    assert fmt.compressed or length < values.nbytes + 1024


@pytest.mark.parametrize(
    ("dtype", "one_array", "name"),
    [
        ("uint8", False, "png"),
        ("uint16", False, "png"),
        ("float32", False, "tiff"),
        ("float64", False, "tiff"),
        ("uint8", True, "npy"),
        ("float64", True, "npy"),
    ],
)
def test_format_of_auto(dtype, one_array, name):
    """Auto takes png, tiff for floating-point values, and npy for one array."""
    assert format_holding(dtype, one_array=one_array).name == name


def test_what_does_not_fit_is_refused():
    """No alpha channel is lost, and no channel, for want of a place in the format."""
    for fmt in PICTURES:
        check_writable(fmt, fmt.most_channels, alpha_kept=False)
        told = f"--format {fmt.name}: .* 9 channels.*at most {fmt.most_channels}"
        with pytest.raises(OptionError, match=told):
            check_writable(fmt, 9, alpha_kept=False)
    check_writable(FORMATS["npy"], 9, alpha_kept=False)
    with pytest.raises(OptionError, match="--format npy has no place for the alpha channel"):
        check_writable(FORMATS["npy"], 3, alpha_kept=True)


def test_pictures_have_names_of_their_own():
    """All pictures that would share a file are refused at once; one array has no such names."""
    png = FORMATS["png"]
    assert list(picture_names(png, ["a.jpg", "b/a.jpg"])) == ["a.png", "b/a.png"]
    with pytest.raises(OutputError, match=r"a.bmp and a.jpg: all .* a\.png") as told:
        picture_names(png, ["a.bmp", "a.jpg", "b.gif#1", "b-1.png", "c.png"])
    assert told.value.paths == ("a.bmp", "a.jpg", "b.gif#1", "b-1.png")
    assert list(picture_names(FORMATS["npy"], ["a.npy#0", "a.npy#0"])) == []


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("a.jpg", "a.png"),
        ("sub/a.b.tiff", "sub/a.b.png"),
        ("a", "a.png"),
        ("a.gif#3", "a-3.png"),
        ("sub/a.gif#12", "sub/a-12.png"),
        ("a#b.png", "a#b.png"),
        ("[x].bmp", "[x].png"),
    ],
)
def test_output_names(name, output):
    """An output has the relative path of its source and the new suffix; frames their number."""
    assert output_name(name, "png") == output
    assert output_name(name, "tiff") == output.removesuffix("png") + "tiff"


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [0, 32896, 65535]),
        (np.array([0, 5, 65535], np.uint16), [0, 5, 65535]),
        (np.array([0, 0.5, 1.5]), [0, 32768, 65535]),
        (np.array([0, 0.5, 1], np.float16), [0, 32768, 65535]),
    ],
)
def test_alpha_follows_the_depth_of_the_picture(write, read_one, alpha, expected):
    """Alpha that is copied through is brought to the depth that is written."""
    values = np.array([1, 2, 3], np.uint16)

    pixels = read_one(write(png_bytes(values, alpha, (3, 1, 1), None)))

    assert pixels[0, :, 0].tolist() == [1, 2, 3]
    assert pixels[0, :, 1].tolist() == expected


def test_alpha_of_a_tiff_is_a_fraction(write, read_one):
    """In a floating-point TIFF alpha is in [0, 1]."""
    alpha = np.array([0, 51, 255], np.uint8)

    path = write(tiff_bytes(np.array([-1.0, 0.5, 2.0]), alpha, (3, 1, 1), None), "a.tiff")

    assert read_one(path)[0].tolist() == [[-1, 0], [0.5, np.float32(0.2)], [2, 1]]
