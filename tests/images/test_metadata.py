"""Metadata: said where it is lost, and copied where that is wanted. Pillow and tifffile judge."""

from __future__ import annotations

import json
import struct
import sys

import numpy as np
import pytest
import tifffile
from oracle import bncli, tree
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from bncli import apply_folder, fit_folder, invert_folder, normalize_folder
from bncli.errors import OptionError
from bncli.images.metadata import Metadata
from bncli.images.tiff import decode_own, encode_tiff, own_layout

PIXELS = np.random.default_rng(4).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="c"/></x:xmpmeta>'
MAKE, ORIENTATION, SOFTWARE, EXIF, GPS = 271, 274, 305, 0x8769, 0x8825
EXPOSURE, TAKEN, NOTE, NORTH = 33434, 36867, 37500, 1


def block(order, orientation=6):
    """EXIF by hand: make, orientation, exposure, a maker's note with an offset, and a latitude."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)

    def entry(tag, kind, count, value):
        return struct.pack(f"{order}HHI", tag, kind, count) + value

    def long(value):
        return struct.pack(f"{order}I", value)

    first = [
        entry(MAKE, 2, 6, long(62)),
        entry(ORIENTATION, 3, 1, struct.pack(f"{order}HH", orientation, 0)),
        entry(EXIF, 4, 1, long(68)),
        entry(GPS, 4, 1, long(118)),
    ]
    inner = [entry(EXPOSURE, 5, 1, long(98)), entry(NOTE, 7, 12, long(106))]
    gps = [entry(NORTH, 2, 2, b"N\0\0\0")]
    parts = [head]
    for entries in (first, inner, gps):
        table = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
        parts.append(table)
        if entries is first:
            parts.append(b"Maker\0")
        if entries is inner:
            parts.append(struct.pack(f"{order}II", 1, 125) + b"at 106 here!")
    return b"".join(parts)


@pytest.fixture(params=["<", ">"])
def photos(tmp_path, request):
    """A folder of three photographs with all there is, to be turned, named after their order."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(
            folder / f"p{number}.jpg", exif=b"Exif\0\0" + block(request.param), xmp=PACKET,
            dpi=(300, 150),
        )  # fmt: skip
    return folder


def exif_of(path):
    """What Pillow finds in a file."""
    with Image.open(path) as image:
        exif = image.getexif()
        inner, gps = exif.get_ifd(EXIF), exif.get_ifd(GPS)
        return {
            "make": exif.get(MAKE), "orientation": exif.get(ORIENTATION, 1),
            "exposure": inner.get(EXPOSURE), "note": inner.get(NOTE), "north": gps.get(NORTH),
            "dpi": tuple(round(float(n), 1) for n in image.info.get("dpi", ())),
            "size": image.size,
        }  # fmt: skip


WHOLE = {
    "make": "Maker", "orientation": 1, "exposure": IFDRational(1, 125), "note": b"at 106 here!",
    "north": "N", "dpi": (150, 300), "size": (20, 30),
}  # fmt: skip


def packet_of(path):
    with Image.open(path) as image:
        image.load()
        found = image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
    return found.encode() if isinstance(found, str) else found


def test_the_block_by_hand(photos):
    """The files say what they should: seen by Pillow, and before they are turned."""
    turned = {"orientation": 6, "dpi": (300, 150), "size": (30, 20)}
    assert exif_of(photos / "p0.jpg") == WHOLE | turned


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_what_is_copied(tmp_path, photos, kind):
    """EXIF whole and upright, GPS, the maker's note at its place, XMP, resolution as turned."""
    mode = "L" if kind == "tiff" else "keep"  # Pillow knows no TIFF of floating-point colour
    normalize_folder(photos, tmp_path / "out", format=kind, mode=mode, keep_metadata=True)

    for number in range(3):
        path = tmp_path / "out" / f"p{number}.{kind}"
        assert exif_of(path) == WHOLE
        assert packet_of(path) == PACKET.replace(b'"6"', b'"1"')


def test_tifffile_agrees(tmp_path, photos):
    """A TIFF with metadata is one for tifffile too, with the same numbers as one without."""
    for name, kept in (("a", True), ("b", False)):
        normalize_folder(photos, tmp_path / name, format="tiff", keep_metadata=kept)

    with tifffile.TiffFile(tmp_path / "a" / "p1.tiff") as tiff:
        tags = tiff.pages[0].tags
        assert tags["Make"].value == "Maker"
        assert tags["ExifTag"].value["ExposureTime"] == (1, 125)
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tags["XMP"].value == PACKET.replace(b'"6"', b'"1"')
        assert tiff.pages[0].get_resolution("inch") == (150, 300)
        pixels = tiff.asarray()
    assert np.array_equal(pixels, tifffile.imread(tmp_path / "b" / "p1.tiff"))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_by_default_nothing_is_copied(tmp_path, photos, kind):
    """Without the option results hold none of it: the bytes of pictures that had none."""
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in photos.iterdir():
        with Image.open(path) as image:
            Image.fromarray(np.rot90(np.asarray(image), -1)).save(bare / f"{path.stem}.png")
    normalize_folder(photos, tmp_path / "a", format=kind)
    normalize_folder(bare, tmp_path / "b", format=kind)

    for number in range(3):
        pair = [(tmp_path / name / f"p{number}.{kind}").read_bytes() for name in "ab"]
        assert pair[0] == pair[1]


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_every_engine_writes_the_same(tmp_path, photos, kind):
    """Bytes do not depend on jobs, memory or processes."""
    options = {"format": kind, "keep_metadata": True}
    normalize_folder(photos, tmp_path / "a", jobs=1, **options)
    normalize_folder(photos, tmp_path / "b", jobs=2, max_memory=100_000_000, **options)
    normalize_folder(photos, tmp_path / "c", engine="processes", **options)

    assert tree(tmp_path / "a") == tree(tmp_path / "b") == tree(tmp_path / "c")


def test_apply_and_invert(tmp_path, photos):
    """They copy as normalize does, and back again."""
    fit_folder(photos, tmp_path / "s.npz", mode="L")
    apply_folder(tmp_path / "s.npz", photos, tmp_path / "out", format="tiff", keep_metadata=True)
    invert_folder(tmp_path / "s.npz", tmp_path / "out", tmp_path / "back", keep_metadata=True)

    assert exif_of(tmp_path / "out" / "p2.tiff") == WHOLE
    assert exif_of(tmp_path / "back" / "p2.png") == WHOLE
    with Image.open(photos / "p2.jpg") as image:
        upright = np.rot90(np.asarray(image.convert("L")), -1)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "back" / "p2.png")), upright)


def test_without_the_extra(tmp_path, photos, monkeypatch):
    """bncli reads its own TIFF files with metadata, colour too, where no codecs are installed."""
    for module in ("imagecodecs", "tifffile"):
        monkeypatch.setitem(sys.modules, module, None)
    normalize_folder(photos, tmp_path / "out", format="tiff", keep_metadata=True)
    summary = invert_folder(
        tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back", keep_metadata=True
    )

    assert summary.exact
    assert exif_of(tmp_path / "back" / "p1.png") == WHOLE


def test_a_tiff_is_a_source_too(tmp_path):
    """What a TIFF tells of its picture is copied, and nothing of how its pixels lie."""
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(PIXELS):
        metadata = Metadata(block(">", 1), PACKET, (72, 72))
        (tmp_path / "in" / f"{number}.tif").write_bytes(encode_tiff(pixels[..., :1], metadata))
    assert exif_of(tmp_path / "in" / "1.tif") == WHOLE | {"dpi": (72, 72), "size": (30, 20)}
    normalize_folder(tmp_path / "in", tmp_path / "out", keep_metadata=True)

    assert exif_of(tmp_path / "out" / "1.png") == WHOLE | {"dpi": (72, 72), "size": (30, 20)}
    assert packet_of(tmp_path / "out" / "1.png") == PACKET.replace(b'"6"', b'"1"')
    with Image.open(tmp_path / "out" / "1.png") as image:
        assert set(image.getexif()) - {ORIENTATION} == {MAKE, EXIF, GPS}


def test_resized(tmp_path, photos):
    """A picture of half the size has half the resolution."""
    normalize_folder(photos, tmp_path / "out", resize=(10, 30), keep_metadata=True)

    assert exif_of(tmp_path / "out" / "p0.png")["dpi"] == (75, 300)


@pytest.mark.parametrize("spoilt", [b"", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"Exif", bytes(40)])
def test_mangled_blocks(tmp_path, spoilt):
    """A block that cannot be read is not copied, and is no reason to refuse the picture."""
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.jpg", exif=b"Exif\0\0" + spoilt)
    normalize_folder(tmp_path / "in", tmp_path / "out", keep_metadata=True)

    assert b"eXIf" not in (tmp_path / "out" / "0.png").read_bytes()


@pytest.mark.parametrize("kept", [False, True])
def test_it_is_said_once(tmp_path, photos, kept):
    """The summary says in one line what was lost or copied, and the document in numbers."""
    (photos / "p0.jpg").unlink()
    Image.fromarray(np.rot90(PIXELS[0], -1)).save(photos / "p0.png")
    option = ["--keep-metadata"] * kept
    done = bncli("normalize", photos, "-o", tmp_path / "out", *option)

    (line,) = [line for line in done.out.splitlines() if line.startswith("metadata")]
    what = "copied" if kept else "not copied; --keep-metadata copies it"
    assert line.split(maxsplit=1)[1] == f"EXIF of 2, GPS of 2, XMP of 2, resolution of 2: {what}"
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]["metadata"]
    assert told == {"kept": kept, "exif": 2, "gps": 2, "xmp": 2, "resolution": 2}


def test_nothing_is_said_of_nothing(tmp_path, folder):
    """Pictures without any are told of nothing."""
    assert "metadata" not in bncli("normalize", folder, "-o", tmp_path / "out").out


def test_one_array_has_no_place(tmp_path, photos):
    """It is refused where it would be without effect."""
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4, 1)))

    with pytest.raises(OptionError, match="--keep-metadata does not go with --format npy"):
        normalize_folder(photos, tmp_path / "out", format="npy", keep_metadata=True)
    with pytest.raises(OptionError, match="--keep-metadata are for picture files"):
        normalize_folder(tmp_path / "a.npy", tmp_path / "out", keep_metadata=True)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_own_files_with_metadata(order, channels):
    """They are known for bncli's own, so that no extra is needed to read them."""
    pixels = np.random.default_rng(1).normal(size=(5, 7, channels)).astype(np.float32)
    content = encode_tiff(pixels, Metadata(block(order, 1), PACKET, (300.5, 72)))

    assert np.array_equal(decode_own(content), pixels)
    assert np.array_equal(decode_own(encode_tiff(pixels, Metadata(b"", PACKET, None))), pixels)


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 339])
def test_others_files_are_not_own(tmp_path, tag):
    """A file whose pixels lie in another way is not taken for one."""
    content = bytearray(encode_tiff(np.ones((5, 7, 3)), Metadata(block("<", 1), b"", None)))
    place = content.rindex(struct.pack("<HH", tag, 3), 200) if tag in (258, 259, 262, 277, 284, 339
        ) else content.rindex(struct.pack("<HH", tag, 4), 200)  # fmt: skip
    content[place + 8] ^= 3
    (tmp_path / "a.tiff").write_bytes(content)

    with (tmp_path / "a.tiff").open("rb") as file:
        assert own_layout(file) is None


def test_each_page_of_a_stack_has_its_own(tmp_path):
    """Description and resolution of a page go to what is made of that page."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 9), np.uint8)
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        for number, picture in enumerate(pictures):
            dpi = (100 + number,) * 2
            words = f"page {number}"
            file.write(picture, resolution=dpi, resolutionunit=2, description=words, metadata=None)

    normalize_folder(
        tmp_path / "in", tmp_path / "out", frames="all", format="tiff", keep_metadata=True
    )

    for number in range(3):
        with tifffile.TiffFile(tmp_path / "out" / f"a-{number}.tiff") as file:
            tags = file.pages[0].tags
            across = tags.valueof(282)
            assert across[0] / across[1] == 100 + number
            assert tags.valueof(270) == f"page {number}"


def test_no_resolution_is_made_up(tmp_path):
    """A TIFF that says nothing of its resolution has none, kept or not."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (8, 9), np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / f"{number}.tif")

    done = normalize_folder(tmp_path / "in", tmp_path / "out", keep_metadata=True)

    assert done.metadata["resolution"] == 0
    with Image.open(tmp_path / "out" / "0.png") as image:
        assert "dpi" not in image.info
