"""One file to one array, or an ImageError with the reason."""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from bncli.errors import ImageError
from bncli.files import packed_size
from bncli.images import deep
from bncli.images.animations import give, take
from bncli.images.bmp import check_no_alpha
from bncli.images.deep import PixelKind
from bncli.images.foreign import CONVERT, unpacks
from bncli.images.header import (
    Header,
    decoding,
    open_picture,
    orientation_of,
    sixteen_bit_maximum,
)  # fmt: skip
from bncli.images.jpeg import watch
from bncli.images.metadata import Metadata, metadata_of
from bncli.images.no_data import check_decoded
from bncli.images.pages import read_page
from bncli.images.png import check_chunks, check_rows
from bncli.images.policy import ReadPolicy
from bncli.images.stores import open_file

Pixels = NDArray[Any]
"""(h, w, channels) as files hold them, alpha last."""

_WHITE_IS_ZERO, _PHOTOMETRIC_TAG = 0, 262
_TWELVE_BIT_WHITE = 4095
_XMP = b"XML:com.adobe.xmp"

_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Pillow's name of a low-depth grey -> the 8-bit distance of its neighbouring values."""

_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF orientation -> how to turn (h, w, channels) upright."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of one picture, as flat rasters in the order files hold them.

    Attributes:
        values: what is normalized, (h * w * c,).
        alpha: the alpha channel that is copied through, (h * w,), or None.
        icc: the colour profile, where the values are still of its colours, or None.
        digest: SHA-256 of the file's bytes, hexadecimal.
        metadata: what else is copied to what is made of it, or None.
    """

    values: NDArray[Any]
    alpha: NDArray[Any] | None
    icc: bytes | None
    digest: str
    metadata: Metadata | None = None


def decode(header: Header, policy: ReadPolicy) -> Decoded:
    """Read one picture.

    Raises:
        DataError: it cannot be read as its header says, or it has changed since; the message does
            not name the file.
    """
    with open_file(header.path) as (file, state), decoding():
        if state.packed() != header.state:
            raise ImageError("it was changed while bncli was running; run again")
        begun = take(_key(header), header.frame) if header.is_animation else None
        if header.page is not None:
            content = _page_of(file, header)
        else:  # an animation that is open already has all but the metadata
            content = file.read() if begun is None or policy.keep_metadata else b""
    if content.startswith(b"\x89PNG"):
        check_chunks(content)
    with decoding():
        if content.startswith(b"BM") and policy.alpha != "drop":
            check_no_alpha(content)
        if header.deep:
            pixels, icc = _read_deep(content, header)
        else:
            pixels, icc = _read(begun or open_picture(io.BytesIO(content)), content, header)
        pixels = _converted(pixels, header.kind.alpha, policy)
    colours, alpha = _split_alpha(pixels, header.kind.alpha, policy)
    if header.kind.mode != policy.mode != "keep":
        icc = None
    digest = header.digest or hashlib.sha256(content).hexdigest()
    metadata = _metadata(content, header, policy) if policy.keep_metadata else None
    return Decoded(colours, alpha, icc, digest, metadata)


def _page_of(file: BinaryIO, header: Header) -> bytes:
    assert header.page is not None  # noqa: S101 - it was asked for
    return read_page(file, packed_size(header.state), header.page)


def _key(header: Header) -> tuple[str, bytes]:
    return header.path, header.state


def _read(
    image: ImageFile.ImageFile, content: bytes, header: Header
) -> tuple[Pixels, bytes | None]:
    if header.is_animation:
        image.seek(header.frame)
    profile = image.info.get("icc_profile")
    inverted = image.format == "TIFF" and (
        getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    )
    coloured = image.mode in {"CMYK", "YCbCr"}  # after the conversion the profile is another's
    rawmode = str(image.tile[0].args) if image.tile else ""
    twelve_bit = image.format == "TIFF" and "I;12" in rawmode
    step = _GREY_STEPS.get(rawmode, 1)
    if image.format in {"JPEG", "MPO"}:
        assert isinstance(image.fp, io.BytesIO)  # noqa: S101 - it was opened from one
        watch(image, image.fp)
    _load(image)
    if image.format == "PNG" and not header.frame and _may_lack_rows(image):
        check_rows(content)
    orientation = orientation_of(image)
    pixels = _array(image, header.kind, step)
    if header.is_animation and image.format != "MPO":  # whose file ends after this frame now
        give(_key(header), header.frame, image)
    if image.format == "TIFF":
        check_decoded(image, pixels, alpha=header.kind.alpha, inverted=inverted)
    if twelve_bit:
        pixels = deep.at_full_scale(pixels, _TWELVE_BIT_WHITE)
    if inverted and image.mode.startswith("I;16"):  # Pillow inverts the 8-bit ones only
        pixels = np.iinfo(pixels.dtype).max - pixels
    return _upright(pixels, orientation, header), None if coloured else profile


def _metadata(content: bytes, header: Header, policy: ReadPolicy) -> Metadata:
    file = io.BytesIO(content)
    image: ImageFile.ImageFile | None = None
    with decoding(), contextlib.suppress(UnidentifiedImageError):  # a TIFF for others to read
        image = open_picture(file)
        if image.format == "MPO":  # whose pictures have each their own
            image.seek(header.frame)
        if image.format == "PNG" and _XMP in content and not image.info.get("xmp"):
            image.load()  # it stands after the pixels
    orientation = 1 if image is None else orientation_of(image)
    wide, high = policy.resize or header.size
    shrunk = wide / header.size[0], high / header.size[1]
    return metadata_of(image, file, orientation, shrunk)


def _load(image: ImageFile.ImageFile) -> None:
    compression = str(image.info.get("compression", "raw")) if image.format == "TIFF" else "raw"
    try:
        image.load()
    except OSError as error:
        if unpacks(compression):
            raise
        raise ImageError(
            f"its compression, {compression}, is not supported: {CONVERT} of another"
        ) from error


def _may_lack_rows(image: ImageFile.ImageFile) -> bool:
    """Whether the end is black, as Pillow leaves rows that a PNG promises and does not hold."""
    width, height = image.size
    end = np.asarray(image.crop((0, max(0, height - 2), width, height)))
    return bool(image.info.get("interlace")) or not end.reshape(len(end), -1).any(axis=1).all()


def _read_deep(content: bytes, header: Header) -> tuple[Pixels, bytes | None]:
    if deep.is_tiff(io.BytesIO(content)):
        pixels, orientation, icc = deep.decode_tiff(content)
        return _upright(pixels, orientation, header), icc
    image = open_picture(io.BytesIO(content))
    largest = sixteen_bit_maximum(image)
    if largest is None:
        pixels = deep.decode_png(content)
    else:
        pixels = deep.decode_pnm(content, image.tile[0].offset, image.size, largest)
    return _upright(pixels, orientation_of(image), header), image.info.get("icc_profile")


def _array(image: Image.Image, kind: PixelKind, step: int) -> Pixels:
    """The pixels of a loaded image, with the channels that its header promised."""
    if kind.dtype != np.uint8:
        pixels: Pixels = np.asarray(image)[..., None].astype(kind.dtype)
        return _cut_out(pixels, image, 1) if kind.alpha else pixels
    colour_key = isinstance(image.info.get("transparency"), int | tuple)
    own_alpha = kind.alpha and not (colour_key and image.mode in {"1", "L", "RGB"})
    target = {("L", False): "L", ("L", True): "LA", ("RGB", False): "RGB"}.get(
        (kind.mode, own_alpha), "RGBA"
    )
    pixels = np.asarray(image if image.mode == target else image.convert(target))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]  # noqa: PLR2004 - channel axis
    if kind.alpha == own_alpha:
        return pixels
    return _cut_out(pixels, image, step)


def _cut_out(pixels: Pixels, image: Image.Image, step: int) -> Pixels:
    """Add the alpha channel of a PNG whose transparency is one colour.

    Pillow's own conversion compares 2 and 4-bit greys without scaling the colour (*step*), and does
    not know 16-bit grey.
    """
    seen = (pixels != np.array(image.info["transparency"]) * step).any(axis=2, keepdims=True)
    opaque = np.where(seen, np.iinfo(pixels.dtype).max, 0).astype(pixels.dtype)
    return np.concatenate([pixels, opaque], axis=2)


def _upright(pixels: Pixels, orientation: int, header: Header) -> Pixels:
    if orientation in _TURNS:
        pixels = _TURNS[orientation](pixels)
    height, width, channels = pixels.shape
    promised = (1 if header.kind.mode == "L" else 3) + header.kind.alpha
    if (width, height) != header.size or channels != promised or pixels.dtype != header.kind.dtype:
        raise ImageError(
            f"its pixels are {width}x{height}x{channels} {pixels.dtype}, but its header says "
            f"{header.size[0]}x{header.size[1]}x{promised} {header.kind.dtype}; save it anew"
        )
    bad = _non_finite(pixels)
    if bad:
        raise ImageError(f"it holds NaN or infinity in {bad} places; replace them")
    return pixels


def _non_finite(pixels: Pixels) -> int:
    if pixels.dtype.kind != "f":
        return 0
    return pixels.size - int(np.count_nonzero(np.isfinite(pixels)))


def _converted(pixels: Pixels, alpha: bool, policy: ReadPolicy) -> Pixels:
    """Bring the picture to the mode and size that the policy asks for."""
    colours = pixels[..., :-1] if alpha else pixels
    wanted = {"keep": colours.shape[2], "L": 1, "RGB": 3}[policy.mode]
    if wanted < colours.shape[2]:
        colours = _luma(colours)
    elif wanted > colours.shape[2]:
        colours = np.repeat(colours, wanted, axis=2)
    if colours.shape[2] + alpha != pixels.shape[2]:
        pixels = np.concatenate([colours, pixels[..., -1:]], axis=2) if alpha else colours
    if policy.resize is not None and policy.resize != (pixels.shape[1], pixels.shape[0]):
        pixels = _resized(pixels, policy.resize)
    return pixels


def _luma(pixels: Pixels) -> Pixels:
    """ITU-R 601-2 luma, with the integer weights of Pillow's conversion to L."""
    if pixels.dtype.kind == "f":
        weighted = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
        return weighted.astype(pixels.dtype)[..., None]
    wide = pixels.astype(np.int64) @ np.array([19595, 38470, 7471])
    luma: Pixels = ((wide + (1 << 15)) >> 16).astype(pixels.dtype)
    return luma[..., None]


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Lanczos, by Pillow: whole for 8 bits, where alpha weighs the colours, else per channel."""
    if pixels.dtype == np.uint8:
        squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        image = Image.fromarray(np.ascontiguousarray(squeezed))
        resized: Pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
        return resized if resized.ndim == 3 else resized[..., None]  # noqa: PLR2004 - channel axis
    if pixels.dtype.itemsize > 2 and pixels.dtype.kind != "f":  # noqa: PLR2004 - bytes
        # Pillow resizes in float32, which would round them.
        raise ImageError(f"it holds {pixels.dtype}, which --resize would round; resize it before")
    with np.errstate(over="ignore"):  # what overflows is told below
        single = pixels.astype(np.float32)
    planes = [
        np.asarray(Image.fromarray(single[..., k]).resize(size, Image.Resampling.LANCZOS))
        for k in range(pixels.shape[2])
    ]
    stacked = np.stack(planes, axis=2)
    if pixels.dtype.kind != "f":
        ends = np.iinfo(pixels.dtype)
        stacked = np.clip(np.rint(stacked), ends.min, ends.max)
    with np.errstate(over="ignore"):
        resized = stacked.astype(pixels.dtype)
    if _non_finite(resized):
        raise ImageError(f"its numbers are too large to be resized as {pixels.dtype} numbers")
    return resized


def _split_alpha(
    pixels: Pixels, alpha: bool, policy: ReadPolicy
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if not alpha or policy.alpha == "normalize":
        return np.ascontiguousarray(pixels).reshape(-1), None
    colours = np.ascontiguousarray(pixels[..., :-1]).reshape(-1)
    kept = np.ascontiguousarray(pixels[..., -1]).reshape(-1) if policy.alpha == "keep" else None
    return colours, kept
