"""Damaged is what is damaged; what is of another kind is called by its name, with a remedy."""

from __future__ import annotations

import io
import json
import os
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from images.handmade import grey_tiff, tiff
from oracle import bncli
from PIL import Image

from bncli import fit_folder, normalize_folder
from bncli.errors import ImageError, NoPicturesError, SinglePictureError

PIXELS = np.random.default_rng(9).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def boxed(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(40)


def pillowed(kind):
    paper = io.BytesIO()
    Image.fromarray(PIXELS).save(paper, kind)
    return paper.getvalue()


def bmp(bits, compression, size=40, masks=()):
    """A BMP of 4x4 pixels, all zeros."""
    body = struct.pack("<IiiHHIIiiII", size, 4, 4, 1, bits, compression, 64, 0, 0, 0, 0)
    body += struct.pack(f"<{len(masks)}I", *masks) + bytes(64)
    return (
        struct.pack("<2sIHHI", b"BM", 14 + len(body) + 64, 0, 0, 14 + len(body)) + body + bytes(64)
    )


FOREIGN = {
    "HEIC": boxed(b"heic"),
    "AVIF": imagecodecs.avif_encode(PIXELS),
    "JPEG XL": imagecodecs.jpegxl_encode(PIXELS),
    "JPEG 2000": imagecodecs.jpeg2k_encode(PIXELS),
    "JPEG XR": imagecodecs.jpegxr_encode(PIXELS),
    "OpenEXR": struct.pack("<II", 20000630, 2) + b"channels\0" + bytes(100),
    "FITS": b"SIMPLE  =                    T".ljust(80) + bytes(2800),
    "DICOM": bytes(128) + b"DICM" + bytes(50),
    "Photoshop": b"8BPS\0\1" + bytes(200),
    "camera raw": b"FUJIFILMCCD-RAW " + bytes(200),
    "QOI": imagecodecs.qoi_encode(PIXELS),
    "colour PFM": b"PF\n2 2\n-1.0\n" + bytes(48),
    "PAM": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(12),
    "SGI": pillowed("SGI"),
    "icon": pillowed("ICO"),
    "PDF": b"%PDF-1.7\n" + bytes(100),
}
VIDEOS = {
    "mp4": boxed(b"isom"),
    "mov": boxed(b"qt  "),
    "avi": b"RIFF" + bytes(4) + b"AVI LIST" + bytes(100),
    "webm": b"\x1a\x45\xdf\xa3" + bytes(100),
    "mpg": b"\0\0\1\xba" + bytes(100),
}
LACKING = {
    "BMP of 4-4-4 bits": bmp(16, 3, masks=(0xF00, 0xF0, 0xF)),
    "BMP of 2 bits": bmp(2, 0),
    "BMP with RLE24": bmp(24, 4, size=64),
    "BMP with a JPEG inside": bmp(0, 4),
    "JPEG of 12 bits": imagecodecs.jpeg8_encode(PIXELS.astype("u2"), bitspersample=12),
}


@pytest.fixture
def pair(tmp_path):
    """A folder for two pictures."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def refusal(read, path):
    with pytest.raises(ImageError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_other_kinds_are_named(write, read, kind, name):
    """A picture of a kind that is not read is called by it, whatever the file is called."""
    told = refusal(read, write(FOREIGN[kind], name))

    assert told == f"its kind, {kind}, is not supported: convert it to PNG or TIFF"


@pytest.mark.parametrize("kind", VIDEOS)
def test_videos_are_called_videos(write, read, kind):
    """A video is a video, and the line that makes pictures of it names the file."""
    path = write(VIDEOS[kind], f"my clip.{kind}")

    told = refusal(read, path)

    assert told.startswith("it is a video, not a picture")
    assert told.endswith(f"ffmpeg -i '{path}' frames/%06d.png")


@pytest.mark.parametrize("kind", LACKING)
def test_beyond_the_decoder_is_not_damaged(write, read, kind):
    """What is sound and only beyond the decoder is not called damaged."""
    told = refusal(read, write(LACKING[kind], "a.bmp"))

    assert "is not supported (" in told
    assert told.endswith(": convert it to PNG or TIFF")
    assert "damaged" not in told


def test_compressed_with_webp(tmp_path, read):
    """So is a TIFF whose compression Pillow's library does not know, unless it is read."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", compression="webp")
    try:
        (found,) = read(tmp_path / "a.tif")
    except ImageError as error:
        told = str(error)
        assert "compression, webp, is not supported: convert it to" in told
    else:
        assert np.array_equal(found, tifffile.imread(tmp_path / "a.tif"))


def test_a_preview_is_known_without_suffix(write, read):
    """So is a first page that says to be a reduced one, with the picture itself below it."""
    grey = PIXELS[..., 0]
    for subfile in (0, 1):
        tags = grey_tiff(24, 16, 8, t254=(4, (subfile,)), t330=(4, (8,)))
        path = write(tiff(grey.tobytes(), tags), "a")
        if subfile:
            assert "camera raw, is not supported" in refusal(read, path)
        else:
            assert np.array_equal(read(path)[0][..., 0], grey)


def test_a_jpeg_called_raw_is_a_jpeg(write, read):
    """Only what is a TIFF can be a camera's own."""
    assert len(read(write(pillowed("JPEG"), "a.nef"))) == 1


@pytest.mark.parametrize("suffix", ["dng", "nef", "cr2", "tif"])
def test_the_preview_in_a_raw_is_no_picture(tmp_path, read, suffix):
    """Cameras' own files are TIFF with a small preview first: it is not taken for the picture."""
    dng = [(50706, "B", 4, b"\1\4\0\0", True)] if suffix == "tif" else []
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", extratags=dng)
    path = (tmp_path / "a.tif").rename(tmp_path / f"a.{suffix}")

    assert "camera raw, is not supported" in refusal(read, path)


def test_empty_and_text(write, read):
    """Neither is called damaged for nothing: one is empty, the other no picture."""
    assert refusal(read, write(b"")).startswith("it is empty")
    assert refusal(read, write(b"some text")).startswith("it is no picture of a known format")


def test_damaged_is_called_damaged(write, read):
    """What is of a known kind and does not hold together is damaged, in no words of Python's."""
    paper = io.BytesIO()
    Image.fromarray(PIXELS).save(paper, "TIFF")
    spoilt = bytearray(paper.getvalue())
    place = spoilt.index(struct.pack("<HHI", 277, 3, 1))
    for content in (
        pillowed("PNG")[:40],
        pillowed("PNG").replace(b"\r\n", b"\n", 1),  # as text is sent
        pillowed("PNG").replace(b"IHDR\0", b"IHDR\1", 1),
        pillowed("JPEG")[:100],
        pillowed("BMP")[:100],
        bytes(spoilt[:place]) + bytes(12) + bytes(spoilt[place + 12 :]),
    ):
        told = refusal(read, write(content))
        assert "operand" not in told
        assert "NoneType" not in told
        assert "b'" not in told
        assert any(word in told for word in ("damaged", "premature", "incomplete", "TIFF of"))


@pytest.mark.parametrize("first", ["bad", "good"])
@pytest.mark.parametrize("skip", [False, True])
def test_of_two_the_damaged_one_is_named(tmp_path, pair, first, skip):
    """Where two differ because one is damaged, that one is named, and not the sound one."""
    names = ("a.jpg", "b.jpg") if first == "bad" else ("b.jpg", "a.jpg")
    Image.fromarray(PIXELS).save(pair / names[1])
    content = (pair / names[1]).read_bytes()
    height = content.index(b"\xff\xc0") + 5
    taller = content[:height] + struct.pack(">H", 160) + content[height + 2 :]
    (pair / names[0]).write_bytes(taller)
    kind = SinglePictureError if skip else ImageError

    with pytest.raises(kind, match=f"^{names[0]}: premature end") as caught:
        normalize_folder(pair, tmp_path / "out", on_error="skip" if skip else "fail")
    assert caught.value.paths == (names if skip else names[:1])


def test_sound_ones_that_differ_are_still_told(tmp_path, pair):
    """Where both are sound, the one that is not like the first is named, as ever."""
    Image.fromarray(PIXELS).save(pair / "a.png")
    Image.fromarray(PIXELS[:8]).save(pair / "b.png")

    with pytest.raises(ImageError, match=r"^b\.png: it is of size 24x8"):
        normalize_folder(pair, tmp_path / "out")


@pytest.mark.parametrize("command", ["normalize", "fit", "apply"])
def test_unread_pictures_are_counted_by_kind(tmp_path, folder, command):
    """Pictures of other kinds are counted, in a warning that comes with -q too, and in JSON."""
    for name in ("a.HEIC", "b.heif", "c.jxl", "d.dcm", "e.NEF", "f.mp4", "g.txt", ".h.heic"):
        (folder / name).write_bytes(b"anything")
    out, words = tmp_path / "out.npz", [command]
    if command == "apply":
        fit_folder(folder, tmp_path / "s.npz")
        words.append(str(tmp_path / "s.npz"))
    if command != "fit":
        out = tmp_path / "out"

    done = bncli(*words, folder, "-o", out, "--json", "-q")

    document = json.loads(done.out)
    told = document if command == "fit" else document["images"]
    kinds = {"DICOM": 1, "HEIC": 2, "JPEG XL": 1, "camera raw": 1, "video": 1}
    assert told["unread_files"] == kinds
    assert told["ignored_files"] == 8
    (line,) = done.err.splitlines()
    assert line.startswith(
        "Warning: 1 DICOM, 2 HEIC, 1 JPEG XL, 1 camera raw and 1 video files among the sources are "
        "not read; convert them"
    )
    assert "ffmpeg -i VIDEO" in line


def test_dicom_without_suffix(tmp_path, folder):
    """DICOM files are known without a suffix, which they often lack; others are not looked for."""
    (folder / "IM0001").write_bytes(FOREIGN["DICOM"])
    (folder / "README").write_bytes(b"read me")
    (folder / "empty").write_bytes(b"")
    os.mkfifo(folder / "pipe")

    summary = normalize_folder(folder, tmp_path / "out")

    assert (summary.unread, summary.ignored) == ({"DICOM": 1}, 4)


def test_nothing_but_unread_pictures(tmp_path):
    """A folder of nothing else says so."""
    (tmp_path / "a.avif").write_bytes(b"anything")

    with pytest.raises(
        NoPicturesError, match=r"no pictures found .*: 1 AVIF file among the sources"
    ):
        normalize_folder(tmp_path, tmp_path / "out")


def test_no_warning_for_nothing(tmp_path, folder):
    """Other files are no pictures, and are no reason for a warning."""
    (folder / "notes.txt").write_text("so")

    done = bncli("normalize", folder, "-o", tmp_path / "out", "-q")

    assert (done.code, done.out, done.err) == (0, "", "")
