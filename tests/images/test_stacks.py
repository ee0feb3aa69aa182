"""Files of several pictures: all are counted, none is taken twice, and what is none is told."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import struct

import numpy as np
import pytest
import tifffile
from images.stacks import imagej, one_directory, ramp
from PIL import Image

from bncli.errors import ImageError
from bncli.images import decode as decoding, header as looking, pages as paging
from bncli.images.header import read_headers
from bncli.images.policy import ReadPolicy

FRAMES = ramp((12, 5, 7))


def assert_frames(read, path, frames, **policy):
    found = read(path, frames="all", **policy)
    assert len(found) == len(frames)
    for pixels, frame in zip(found, frames, strict=True):
        assert np.array_equal(pixels, frame[..., None] if frame.ndim == 2 else frame)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("uint8", (12, 5, 7)), ("uint16", (12, 5, 7)), ("float32", (12, 5, 7)), ("int16", (4, 5, 7)),
     ("uint8", (4, 5, 7, 3)), ("uint16", (4, 5, 7, 3))],
)  # fmt: skip
def test_one_directory_for_a_stack(write, read, dtype, shape, order):
    """ImageJ's form of a stack above 4 GB: refused with its frames counted, read whole with all."""
    frames = ramp(shape, dtype)
    path = write(one_directory(frames, imagej(len(frames)), order=order), "a.tif")

    with pytest.raises(ImageError, match=f"it has {len(frames)} frames; choose --frames first"):
        read(path)
    assert_frames(read, path, frames)
    assert_frames(lambda path, **_: read(path, frames="first"), path, frames[:1])
    with tifffile.TiffFile(path) as tiff:  # who knows ImageJ agrees on what is in it
        assert np.array_equal(tiff.asarray(), frames)


def test_one_directory_of_tifffile(tmp_path, read):
    """tifffile's own form of the same is counted too."""
    tifffile.imwrite(tmp_path / "a.tif", FRAMES, truncate=True, photometric="minisblack")

    with pytest.raises(ImageError, match="it has 12 frames"):
        read(tmp_path / "a.tif")
    assert_frames(read, tmp_path / "a.tif", FRAMES)


def test_one_directory_of_metamorph(write, read):
    """The planes of a MetaMorph stack, of which a private tag has one value each, are counted."""
    tags = {33629: (4, tuple(range(6 * 12)))}
    content = bytearray(one_directory(FRAMES, more=tags, order="<"))
    place = content.index(struct.pack("<HHI", 33629, 4, 72))
    content[place + 4 : place + 8] = struct.pack("<I", 12)  # each value is of six numbers
    path = write(bytes(content), "a.tif")

    with pytest.raises(ImageError, match="it has 12 frames"):
        read(path)
    assert_frames(read, path, FRAMES)


def test_as_many_frames_as_there_are_bytes(write, read, gather):
    """A stack that was cut off has the frames that are whole, and what is missing is told."""
    content = one_directory(FRAMES[:8], imagej(12))
    path = write(content, "a.tif")

    with pytest.raises(ImageError, match="it has 8 frames of the 12 that it declares"):
        read(path)
    assert_frames(read, path, FRAMES[:8])
    (note,) = gather([path], frames="all").notes
    assert note.startswith("a.tif: it ends 4 frames before the last that it declares")


@pytest.mark.parametrize(
    "description",
    [imagej(12), b"ImageJ=1.54f\nimages=many\n", b"images=12", b'{"shape": [12, 5', b'{"shape": 7}',
     json.dumps({"shape": [12, 5, 6]}).encode(), json.dumps({"shape": ["a", {}]}).encode()],
)  # fmt: skip
def test_words_of_another_file(write, read_one, description):
    """A single picture whose words speak of a stack, or of nonsense, is a single picture."""
    path = write(one_directory(FRAMES[:1], description), "a.tif")

    assert np.array_equal(read_one(path)[..., 0], FRAMES[0])


def test_words_that_are_lost(write, read_one):
    """A picture whose description lies beyond the end of its file is read all the same."""
    content = bytearray(one_directory(FRAMES[:1], imagej(12), order="<"))
    place = content.index(struct.pack("<HH", 270, 2)) + 8
    content[place : place + 4] = struct.pack("<I", len(content) - 1)
    path = write(bytes(content), "a.tif")

    assert np.array_equal(read_one(path)[..., 0], FRAMES[0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("frames", ["error", "first", "all"])
def test_a_volume_in_one_directory(tmp_path, read, dtype, frames):
    """A volume (ImageDepth) is refused on every path, never taken for its first slice."""
    volume = ramp((3, 16, 16), dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", volume, volumetric=True, tile=(3, 16, 16), photometric="minisblack"
    )
    tifffile.imwrite(tmp_path / "b.tif", volume[0], photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "b.tif", volume, volumetric=True, tile=(3, 16, 16), append=True,
        photometric="minisblack",
    )  # fmt: skip

    with pytest.raises(ImageError, match="a volume of 3 slices"):
        read(tmp_path / "a.tif", frames=frames)
    if frames == "first":
        assert np.array_equal(read(tmp_path / "b.tif", frames=frames)[0][..., 0], volume[0])
    else:
        with pytest.raises(ImageError, match="a volume of 3 slices"):
            read(tmp_path / "b.tif", frames=frames)


def cloud_optimized(path, first):
    """A picture, its mask, and overviews of both, as GDAL writes them."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(first, photometric="rgb", metadata=None)
        tiff.write(np.ones(first.shape[:2], bool), photometric="mask", subfiletype=4, metadata=None)
        half = first[::2, ::2].copy()
        tiff.write(half, photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(np.ones(half.shape[:2], bool), photometric="mask", subfiletype=5, metadata=None)


@pytest.mark.parametrize("frames", ["error", "first", "all"])
def test_masks_and_overviews_are_no_frames(tmp_path, read, gather, rng, frames):
    """A picture with its mask and overviews is one picture, and what was left out is told."""
    values = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    cloud_optimized(tmp_path / "a.tif", values)

    (pixels,) = read(tmp_path / "a.tif", frames=frames)

    assert np.array_equal(pixels, values)
    images = gather([tmp_path / "a.tif"], frames=frames)
    assert tuple(images.names) == ("a.tif",)
    if frames != "first":  # which looks no further
        assert images.left_out_pages == 3
        assert "3 pages are left out" in images.notes[0]


def test_overviews_between_frames(tmp_path, read, gather):
    """Frames keep their order and number where thumbnails stand between them."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for frame in FRAMES[:4]:
            tiff.write(frame[::2, ::2].copy(), subfiletype=1, metadata=None)
            tiff.write(frame, metadata=None)

    assert_frames(read, tmp_path / "a.tif", FRAMES[:4])
    assert len(read(tmp_path / "a.tif", frames="first")) == 1
    (note,) = gather([tmp_path / "a.tif"], frames="all").notes
    assert note.startswith("a.tif: 4 pages are left out")
    names = [h.name for h in read_headers(tmp_path / "a.tif", "a.tif", ReadPolicy(frames="all"))]
    assert names == [f"a.tif#{index}" for index in range(4)]


def test_an_overview_alone_is_a_picture(tmp_path, read_one):
    """Who takes an overview out of a file has a picture."""
    tifffile.imwrite(tmp_path / "a.tif", FRAMES[0], subfiletype=1)

    assert np.array_equal(read_one(tmp_path / "a.tif")[..., 0], FRAMES[0])


def test_first_looks_at_the_first_page_alone(tmp_path, read):
    """Whatever the later pages are, the first is read: of another kind, or damaged."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES[0], photometric="minisblack", metadata=None)
    tifffile.imwrite(path, np.ones((3, 3), np.complex64), append=True, metadata=None)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].offset
    path.write_bytes(content[:second] + b"\xff" * 40)

    assert np.array_equal(read(path, frames="first")[0][..., 0], FRAMES[0])
    with pytest.raises(ImageError, match="its directory 2 cannot be read"):
        read(path, frames="all")


def test_directories_in_a_circle(tmp_path, read):
    """A page that is followed by an earlier one is refused, not read for ever."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES[:2], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, second = (page.offset for page in tiff.pages)
        entries = len(tiff.pages[1].tags)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, second + 2 + 12 * entries, first)
    path.write_bytes(content)

    with pytest.raises(ImageError, match="in a circle"):
        read(path, frames="all")


KINDS = {
    "grey 8": ("uint8", (3, 20, 17), "minisblack"),
    "grey 16": ("uint16", (3, 20, 17), "minisblack"),
    "grey float": ("float32", (3, 20, 17), "minisblack"),
    "white is 0": ("uint16", (3, 20, 17), "miniswhite"),
    "colour 8": ("uint8", (3, 20, 17, 3), "rgb"),
    "colour 16": ("uint16", (3, 20, 17, 3), "rgb"),
    "alpha 8": ("uint8", (3, 20, 17, 4), "rgb"),
}
FORMS = {
    "plain": {},
    "strips": {"rowsperstrip": 3},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "deflate", "predictor": True, "rowsperstrip": 7},
    "lzw": {"compression": "lzw"},
    "big": {"bigtiff": True},
    "swapped": {"byteorder": ">"},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_every_form(tmp_path, read, kind, form):
    """A page read by itself holds what tifffile finds in it, whatever the form of the file."""
    dtype, shape, photometric = KINDS[kind]
    frames, options = ramp(shape, dtype), dict(FORMS[form])
    if dtype == "float32" and "predictor" in options:
        options["predictor"] = 3
    settings = {k: options.pop(k) for k in ("bigtiff", "byteorder") if k in options}
    if shape[-1] == 4:
        options["extrasamples"] = ["unassalpha"]
    with tifffile.TiffWriter(tmp_path / "a.tif", **settings) as tiff:
        for frame in frames:
            tiff.write(frame, photometric=photometric, metadata=None, **options)

    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        expected = [page.asarray() for page in tiff.pages]
    if photometric == "miniswhite":
        expected = [np.iinfo(dtype).max - page for page in expected]
    assert_frames(read, tmp_path / "a.tif", expected)


@pytest.mark.parametrize("codec", ["jpeg", "tiff_ccitt", "tiff_lzw", None])
def test_pages_by_pillow(tmp_path, read, rng, codec):
    """Pages that Pillow wrote, of inks in JPEG, palettes and faxes, are what Pillow reads again."""
    mode = {"jpeg": "RGB", "tiff_ccitt": "1", "tiff_lzw": "P", None: "CMYK"}[codec]
    channels = {"RGB": 3, "CMYK": 4}.get(mode, 1)
    arrays = rng.integers(0, 256, (3, 24, 16, channels), dtype=np.uint8)
    images = [Image.fromarray(a if channels > 1 else a[..., 0]).convert(mode) for a in arrays] \
        if mode != "CMYK" else [Image.fromarray(a, "CMYK") for a in arrays]  # fmt: skip
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:], compression=codec)

    expected = []
    with Image.open(tmp_path / "a.tif") as again:
        for index in range(3):
            again.seek(index)
            expected.append(np.asarray(again.convert("L" if mode == "1" else "RGB")))
    assert_frames(read, tmp_path / "a.tif", expected)


@pytest.mark.parametrize("form", ["pages", "single"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_stacks_without_the_extra(tmp_path, write, read, monkeypatch, dtype, form):
    """Grey stacks need no extra; those of 16-bit colour are refused without it."""
    frames = ramp((4, 5, 7), dtype)
    if form == "pages":
        path, colours = tmp_path / "a.tif", tmp_path / "b.tif"
        tifffile.imwrite(path, frames, photometric="minisblack", metadata=None)
        tifffile.imwrite(colours, ramp((4, 5, 7, 3)), photometric="rgb", metadata=None)
    else:
        path = write(one_directory(frames, imagej(4), order="<"), "a.tif")
        colours = write(one_directory(ramp((4, 5, 7, 3)), imagej(4)), "b.tif")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: None if name in {"imagecodecs", "tifffile"} else real(name, *rest),
    )  # fmt: skip

    assert_frames(read, path, frames)
    with pytest.raises(ImageError, match="pip install"):
        read(colours, frames="all")


class Counting(io.FileIO):
    """A file that counts what is read of it."""

    count = 0

    def readinto(self, buffer):
        done = super().readinto(buffer)
        Counting.count += done or 0
        return done

    def readall(self):
        content = super().readall()
        Counting.count += len(content)
        return content


def test_a_page_costs_what_it_holds(tmp_path, monkeypatch):
    """The file is read once to be hashed; then each frame reads about its own bytes and no more."""
    frames = ramp((60, 64, 64))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, frames, photometric="minisblack", metadata=None)
    size = path.stat().st_size
    policy = ReadPolicy(frames="all")
    real = looking.open_file

    class Opened:
        def __init__(self, path):
            self.inner = real(path)

        def __enter__(self):
            file, state = self.inner.__enter__()
            self.file = io.BufferedReader(Counting(file.name), 512)
            return self.file, state

        def __exit__(self, *what):
            self.file.close()
            return self.inner.__exit__(*what)

    monkeypatch.setattr(looking, "open_file", Opened)
    monkeypatch.setattr(decoding, "open_file", Opened)
    Counting.count = 0
    headers = read_headers(path, "a.tif", policy)
    assert Counting.count < 2 * size
    Counting.count = 0
    found = [decoding.decode(header, policy) for header in headers]
    assert Counting.count < 2 * size

    assert {one.digest for one in found} == {hashlib.sha256(path.read_bytes()).hexdigest()}
    for one, frame in zip(found, frames, strict=True):
        assert np.array_equal(one.values, frame.ravel())


def test_only_one_page_is_planned_for(tmp_path, gather):
    """Memory is planned for a page of a stack, and not for the file that it is in."""
    tifffile.imwrite(tmp_path / "a.tif", ramp((60, 64, 64)), photometric="minisblack")

    assert gather([tmp_path / "a.tif"], frames="all").largest_file == 2 * 64 * 64


def test_a_stack_that_changes(tmp_path, gather):
    """A frame of a file that was changed since it was looked at is refused."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    images = gather([path], frames="all")
    tifffile.imwrite(path, FRAMES[::-1].copy(), photometric="minisblack", metadata=None)

    with pytest.raises(ImageError, match="it was changed"):
        images.picture(3).read()


def test_strips_that_claim_more_than_the_file(tmp_path, read):
    """Pages that speak of more bytes than the file has are refused before anything is claimed."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES[:2], photometric="minisblack", metadata=None, rowsperstrip=1)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[1].tags[279].valueoffset
    content = bytearray(path.read_bytes())
    content[place : place + 2] = b"\xff\xff"
    path.write_bytes(content)

    with pytest.raises(ImageError, match=r"more bytes than it has|ends within"):
        read(path, frames="all")


def test_a_page_beyond_the_end(tmp_path, read):
    """A page whose pixels lie behind the end of the file is refused as incomplete."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES[:3], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[2]
        place = page.tags[273].offset + 8
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, place, len(content) - 10)
    path.write_bytes(content)

    with pytest.raises(ImageError, match="it ends within a page"):
        read(path, frames="all")


def test_the_walk_reads_directories_only(tmp_path, monkeypatch):
    """A file and one page of each kind are opened by a decoder, however many there are."""
    tifffile.imwrite(tmp_path / "a.tif", ramp((200, 5, 7)), photometric="minisblack")
    opened = []
    real = looking.open_picture
    monkeypatch.setattr(looking, "open_picture", lambda file: opened.append(1) or real(file))

    headers = read_headers(tmp_path / "a.tif", "a.tif", ReadPolicy(frames="all"))

    assert len(headers) == 200
    assert len(opened) == 2
    assert len({header.page.directory for header in headers}) == 200
    assert paging.read_stack(io.BytesIO(b"GIF89a"), 6, first=False) is None
