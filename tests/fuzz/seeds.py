"""Valid files of every allowed kind, small, for the mutator to spoil."""

from __future__ import annotations

import io
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, features

from bncli import fit_folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from images.handmade import chunk, exif, png

_PIXELS = np.random.default_rng(5).integers(0, 256, (11, 13, 3), dtype=np.uint8)
_GREY = _PIXELS[..., 0]
_ICC = bytes(range(128)) + b"profile"


def seeds(kind: str) -> list[bytes]:
    """Files of one kind: PNG, JPEG, TIFF, BMP, GIF, WEBP, PNM, NPY, NPZ or STATS."""
    return {"PNG": _png, "JPEG": _jpeg, "TIFF": _tiff, "BMP": _bmp, "GIF": _gif, "WEBP": _webp,
            "PNM": _pnm, "NPY": _npy, "NPZ": _npz, "STATS": _stats}[kind]()  # fmt: skip


def _saved(kind: str, pixels: np.ndarray = _PIXELS, mode: str = "", **options: object) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def _more(count: int = 1) -> list[Image.Image]:
    # New ones each time: saving leaves settings of its format on the images.
    return [Image.fromarray(_PIXELS[::-1]) for _ in range(count)]


def _png() -> list[bytes]:
    text = [(b"tEXt", b"k\0v"), (b"gAMA", b"\0\0\xb1\x8f"), (b"eXIf", exif(6))]
    palette = [(b"PLTE", bytes(range(48))), (b"tRNS", bytes(range(9)))]
    return [
        _saved("png"), _saved("png", mode="RGBA"), _saved("png", mode="LA"),
        _saved("png", icc_profile=_ICC), _saved("png", save_all=True, append_images=_more()),
        png(_GREY & 15, "palette", 4, before=palette), png(_GREY & 1, "grey", 1),
        png(_GREY & 3, "grey", 2, before=[(b"tRNS", b"\0\2")]),
        png(_PIXELS, "rgb", 8, interlaced=True, before=text),
        png(_PIXELS.astype(int) * 257, "rgb", 16, before=text),
        png(_GREY.astype(int) * 257, "grey", 16, after=[(b"eXIf", exif(3))]),
    ]  # fmt: skip


def _jpeg() -> list[bytes]:
    turned = b"Exif\0\0" + exif(8)
    return [
        _saved("jpeg"), _saved("jpeg", progressive=True), _saved("jpeg", _GREY),
        _saved("jpeg", mode="CMYK"), _saved("jpeg", exif=turned, icc_profile=_ICC),
        _saved("jpeg", subsampling=0, restart_marker_blocks=1),
        _saved("mpo", save_all=True, append_images=_more()),
    ]  # fmt: skip


def _tiffed(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, pixels, **{"photometric": photometric, **options})
    return buffer.getvalue()


def _tiff() -> list[bytes]:
    packed = ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate")
    deep = _PIXELS.astype(np.uint16) * 257
    return [
        _saved("tiff"), *(_saved("tiff", compression=name) for name in packed),
        _saved("tiff", _GREY, "1", compression="group4"), _saved("tiff", mode="CMYK"),
        _saved("tiff", _GREY, "1", compression="group3"), _saved("tiff", mode="P"),
        _saved("tiff", save_all=True, append_images=_more()), _saved("tiff", mode="RGBA"),
        _tiffed(deep), _tiffed(deep, compression="deflate", predictor=True),
        _tiffed(deep, planarconfig="separate"), _tiffed(deep, bigtiff=True, byteorder=">"),
        _tiffed(_PIXELS.astype(np.float32), compression="lzw"), _tiffed(_GREY.astype(np.uint16)),
        _tiffed(_GREY.astype(np.float32)), _tiffed(np.tile(deep, (2, 2, 1)), tile=(16, 16)),
    ]  # fmt: skip


def _rle_bmp() -> bytes:
    rows = (b"\x04\x01\x09\x02\0\0" * 11) + b"\0\1"
    palette = bytes(range(16)) * 64
    start = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 13, 11, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + info + palette + rows


def _bmp() -> list[bytes]:
    return [
        _saved("bmp"), _saved("bmp", mode="RGBA"), _saved("bmp", mode="P"), _saved("bmp", _GREY),
        _saved("bmp", _GREY, "1"), _rle_bmp(),
    ]  # fmt: skip


def _gif() -> list[bytes]:
    return [
        _saved("gif"), _saved("gif", _GREY), _saved("gif", interlace=True),
        _saved("gif", save_all=True, append_images=_more(3), disposal=2, duration=9),
        _saved("gif", mode="P", transparency=3, comment=b"a comment"),
    ]  # fmt: skip


def _webp() -> list[bytes]:
    if not features.check("webp"):
        return []
    return [
        _saved("webp"), _saved("webp", lossless=True), _saved("webp", mode="RGBA"),
        _saved("webp", save_all=True, append_images=_more()), _saved("webp", exif=exif(6)),
        _saved("webp", mode="RGBA", lossless=True, icc_profile=_ICC),
    ]  # fmt: skip


def _pnm() -> list[bytes]:
    floats = np.ones((2, 3), "<f4").tobytes()
    return [
        _saved("ppm"), _saved("ppm", _GREY), _saved("ppm", _GREY, "1"),
        b"P6\n13 11\n1000\n" + _PIXELS.astype(">u2").tobytes(),
        b"P5\n13 11\n65535\n" + _GREY.astype(">u2").tobytes(),
        b"P1\n# note\n3 2\n0 1 0 1 1 0\n", b"P2\n3 2\n9\n1 2 3\n4 5 6\n",
        b"P3\n2 1\n255\n1 2 3 4 5 6\n", b"P3\n1 1\n65535\n1 2 3\n",
        b"Pf\n3 2\n-1.0\n" + floats, b"Pf\n3 2\n1.0\n" + floats,
        b"PF\n1 2\n-1.0\n" + floats,
        b"P7\nWIDTH 13\nHEIGHT 11\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + _PIXELS.tobytes(),
    ]  # fmt: skip


def _npy() -> list[bytes]:
    """Batches of four pictures 3 wide, 2 high and 1 deep; as delta and gamma they fit too."""
    numbers = np.arange(24.0).reshape(4, 3, 2, 1)
    files = []
    for array in (numbers, numbers.astype(">f4"), np.asfortranarray(numbers), numbers.astype("u1"),
                  numbers.astype("<u2"), numbers[0], numbers.astype("f2")):  # fmt: skip
        buffer = io.BytesIO()
        np.save(buffer, array)
        files.append(buffer.getvalue())
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, numbers, version=(2, 0))
    return [*files, buffer.getvalue()]


def _npz() -> list[bytes]:
    """What --update leaves for pictures 3 wide, 2 high and 1 deep: stored, and compressed."""
    files = []
    for save, dtype in ((np.savez, "<f8"), (np.savez, ">f4"), (np.savez_compressed, "<f8")):
        plane = np.ones((3, 2, 1), dtype)
        buffer = io.BytesIO()
        save(buffer, velocity_gamma=plane, velocity_beta=plane, rate_factor=np.array(0.5))
        files.append(buffer.getvalue())
    return files


def _stats() -> list[bytes]:
    """What fit leaves for batches 3 wide, 2 high and 1 deep."""
    files = []
    numbers = np.random.default_rng(5).integers(0, 256, (4, 3, 2, 1))
    with tempfile.TemporaryDirectory() as folder:
        batch, out = Path(folder, "batch.npy"), Path(folder, "stats.npz")
        for dtype, options in (
            (np.uint8, {}),
            (np.uint16, {"gamma": "random", "ddof": 1}),
            (np.float64, {"batch_size": 2}),
        ):
            np.save(batch, numbers.astype(dtype))
            fit_folder(batch, out, overwrite=True, **options)
            files.append(out.read_bytes())
    return files


def forged_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, with checksums that are right."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind[:4].ljust(4), body) for kind, body in chunks)
