"""Pictures, and what is taken for such, of kinds that are not read: named by suffix or content."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import BinaryIO

from PIL import Image

from bncli.errors import DataError, ImageError, reason_of
from bncli.files import open_regular
from bncli.images.policy import PILLOW_FORMATS

CONVERT = "convert it to PNG or TIFF"
_VIDEO, _RAW = "video", "camera raw"

_SUFFIXES = {
    "HEIC": "heic heif heics heifs hif",
    "AVIF": "avif avifs",
    "JPEG XL": "jxl",
    "JPEG 2000": "jp2 j2k j2c jpc jpf jpx jpm jph jhc",
    "JPEG XR": "jxr wdp hdp",
    "OpenEXR": "exr",
    "FITS": "fits fit fts fz",
    "DICOM": "dcm dicom",
    "Photoshop": "psd psb",
    _RAW: "dng cr2 cr3 crw nef nrw arw sr2 srf orf raf rw2 rwl pef raw srw x3f 3fr iiq erf mrw kdc"
    " dcr mef mos",
    "Radiance HDR": "hdr rgbe",
    "Targa": "tga",
    "DDS": "dds",
    "QOI": "qoi",
    "PCX": "pcx",
    "PAM": "pam",
    "SGI": "sgi",
    "GIMP": "xcf",
    "icon": "ico icns",
    "vector": "svg svgz eps ai wmf emf",
    "microscope": "czi nd2 lif oib oif vsi ims lsm stk svs ndpi scn mrc",
    "NIfTI": "nii",
    _VIDEO: "mp4 m4v mov avi mkv webm mpg mpeg wmv asf flv mts m2ts 3gp ogv mj2",
}
_KINDS = {f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

_DNG_VERSION = 50706
_SUBFILE_TYPE, _SUB_DIRECTORIES = 254, 330
_MARK_OF_CANON = 8
_PNG_HEAD = b"\x89PNG\r\n\x1a\n....IHDR.."
_HEAD = 132
"""Bytes in which every kind shows."""

_SIGNATURES = {
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XR": rb"II\xbc",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "FITS": rb"SIMPLE  =",
    "DICOM": rb".{128}DICM",
    "Photoshop": rb"8BPS",
    _RAW: rb"FUJIFILMCCD-RAW|IIRO|IIRS|MMOR|IIU\0|\0MRM|FOVb|II\x1a\0\0\0HEAPCCDR"
    rb"|.{4}ftypcrx",
    "HEIC": rb".{4}ftyp(?:hei|hev|mif1(?!.{0,40}avi[fs])|msf1(?!.{0,40}avi[fs]))",
    "AVIF": rb".{4}ftyp(?:avi[fs]|mif1|msf1)",
    _VIDEO: rb".{4}(?:ftyp|moov|mdat)|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xba\xb3]"
    rb"|FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11|OggS",
    "Radiance HDR": rb"#\?R",
    "DDS": rb"DDS ",
    "QOI": rb"qoif",
    "colour PFM": rb"PF[ \n]",
    "PAM": rb"P7\n",
    "SGI": rb"\x01\xda[\0\x01][\x01\x02]",
    "GIMP": rb"gimp xcf",
    "icon": rb"\0\0[\x01\x02]\0[^\0]|icns",
    "PDF": rb"%PDF",
    "vector": rb"%!PS|\s*<(?:\?xml|svg)|\xc5\xd0\xd3\xc6",
    "HDF5": rb"\x89HDF",
}
"""Kind -> how its files begin. Compiled where a file is none of the known: that takes a while."""

_LACKING = (
    r"Unsupported BMP (?:bitfields|pixel depth \((?:0|2|64)\)|compression \((?:[0-6]|1[1-3])\)"
    r"|header type \((?:16|52|56|64)\))|cannot handle |not (?:yet )?supported|not implemented"
    r"|[Uu]nsupported (?!operand|BMP)|not available|[Uu]nknown compression"
)
"""What Pillow and the codecs say of sound files that are beyond them."""

_PYTHONS_OWN = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError,
                EOFError, UnicodeError, RecursionError)  # fmt: skip
_PYTHONS_WORDS = (
    r"values to unpack|invalid literal|could not convert|reshape|requires a buffer|broadcast"
    r"|NoneType|out of range|argument|buffer|operand|not identified by this driver|\bb'"
)
_PYTHONS_SPEECH = r"between instances of|object at 0x"
_DAMAGED = "it is damaged or incomplete; fetch or save it anew"
_KNOWN = "PNG JPEG TIFF BMP GIF WEBP PNM"


def foreign_kind(name: str) -> str | None:
    """The kind that a file of this name is, of those that are not read; None: of no such."""
    return _KINDS.get(PurePosixPath(name).suffix.lower())


def is_dicom(path: str) -> bool:
    """Whether a local file is DICOM by its content: such files often have no suffix."""
    try:
        with open_regular(path) as (file, _):
            return re.match(_SIGNATURES["DICOM"], file.read(_HEAD), re.DOTALL) is not None
    except (DataError, OSError):
        return False


def counted(kinds: Mapping[str, int]) -> str:
    """How many of each kind there are, in words."""
    files = [f"{count:,} {kind}" for kind, count in sorted(kinds.items())]
    return " and ".join([", ".join(files[:-1]), files[-1]] if files[1:] else files)


def unread_words(kinds: Mapping[str, int]) -> str:
    """A warning of files that are not read, one line."""
    total = sum(kinds.values())
    files = f"{counted(kinds)} file{'s' * (total > 1)}"
    lines = {_VIDEO: "frames of a video are made pictures by ffmpeg -i VIDEO frames/%06d.png"}
    remedies = [words for kind, words in lines.items() if kind in kinds]
    if set(kinds) - set(lines):
        remedies.insert(0, f"convert {'them' if total > 1 else 'it'} to PNG or TIFF to have "
                        f"{'them' if total > 1 else 'it'} in the batch")  # fmt: skip
    return (
        f"{files} among the sources {'are' if total > 1 else 'is'} not read; {'; '.join(remedies)}"
    )


def refuse_raw(path: str, file: BinaryIO, tags: Mapping[int, object]) -> None:
    """Raise ImageError for a TIFF that is a camera's own: what is read in it is a preview.

    Args:
        path, file: of a picture.
        tags: of the TIFF that it is, or none.
    """
    if not tags:
        return
    file.seek(_MARK_OF_CANON)
    marked = file.read(2) == b"CR"
    reduced = tags.get(_SUBFILE_TYPE) == 1 and _SUB_DIRECTORIES in tags
    if marked or reduced or foreign_kind(path) == _RAW or _DNG_VERSION in tags:
        raise ImageError(_not_read(_RAW, path))


def unidentified(file: BinaryIO, path: str) -> ImageError:
    """Why a file is no picture of a known format."""
    file.seek(0)
    head = file.read(_HEAD)
    if not head:
        return ImageError("it is empty: it has no bytes; fetch or save it anew")
    for kind, pattern in _SIGNATURES.items():
        if re.match(pattern, head, re.DOTALL):
            return ImageError(_not_read(kind, path))
    for name in PILLOW_FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(head) is not True:
            continue
        try:  # Pillow keeps to itself why it does not know its own
            factory(BytesIO(head + file.read()), "")
        except Exception as error:  # noqa: BLE001 - whatever it says is the answer
            return undecodable(error)
    if b"IHDR" in head[: len(_PNG_HEAD)]:
        return ImageError(f"it is no PNG any more, by its first bytes: {_DAMAGED}")
    called = foreign_kind(path)
    if called is not None:
        return ImageError(_not_read(called, path))
    return ImageError(f"it is no picture of a known format ({_KNOWN}); {CONVERT}, or leave it out")


def undecodable(error: Exception) -> ImageError:
    """Why a file of a known format cannot be decoded, by what was raised: its fault, or ours."""
    words = re.sub(r"\bb'(\w*)'", r"\1", reason_of(error))
    if isinstance(error, _PYTHONS_OWN) or re.search(_PYTHONS_SPEECH, words):
        return ImageError(f"it cannot be decoded: {_DAMAGED}")
    if isinstance(error, NotImplementedError) or re.search(_LACKING, words):
        return ImageError(f"its kind is not supported ({words}): {CONVERT}")
    if re.search(_PYTHONS_WORDS, words):
        return ImageError(f"it cannot be decoded: {_DAMAGED}")
    return ImageError(f"it cannot be decoded ({words}): {_DAMAGED}")


def unpacks(compression: str) -> bool:
    """Whether Pillow's TIFF library knows a compression: then it can write such a file, too."""
    try:
        Image.new("RGB", (8, 8)).save(BytesIO(), "TIFF", compression=compression)
    except Exception:  # noqa: BLE001 - whatever it says, it does not
        return False
    return True


def _not_read(kind: str, path: str) -> str:
    if kind == _VIDEO:
        return (
            "it is a video, not a picture; make pictures of its frames: "
            f"ffmpeg -i {shlex.quote(str(path))} frames/%06d.png"
        )
    return f"its kind, {kind}, is not supported: {CONVERT}"
