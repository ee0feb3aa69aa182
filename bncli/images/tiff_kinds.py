"""What becomes of a TIFF file that Pillow opens, and where Pillow would read it wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import ImageFile

from bncli.errors import ImageError
from bncli.images.deep import PixelKind

_BITS_TAG, _COMPRESSION_TAG, _PHOTOMETRIC_TAG, _SAMPLES_TAG = 258, 259, 262, 277
_PLANAR_TAG, _PREDICTOR_TAG, _EXTRAS_TAG, _SAMPLE_FORMAT_TAG = 284, 317, 338, 339
_TILE_WIDTH_TAG, _TILES_TAG, _SUBSAMPLING_TAG = 322, 324, 530
_SIGNED, _WHITE_IS_ZERO, _SEPARATE, _ASSOCIATED_ALPHA = 2, 0, 2, 1
_BYTE_BITS = 8


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would lose depth, or read it wrong.

    Raises:
        ImageError: it is of a kind that nothing here reads.
    """
    tags: Any = getattr(image, "tag_v2", {})
    samples, signed = tags.get(_SAMPLES_TAG, 1), _SIGNED in _as_tuple(tags.get(_SAMPLE_FORMAT_TAG))
    if image.mode == "F" and tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:
        raise ImageError("it is floating-point grey with 0 as white; convert it to 0 as black")
    if samples > len(image.getbands()) or (signed and samples > 1):
        return True
    if _TILE_WIDTH_TAG in tags and _TILES_TAG not in tags:
        return True  # tiles by the name of strips, which Pillow takes them for
    associated = _ASSOCIATED_ALPHA in _as_tuple(tags.get(_EXTRAS_TAG))
    if tags.get(_PLANAR_TAG) == _SEPARATE and (samples == 2 or associated):  # noqa: PLR2004
        return True  # Pillow takes the plane of alpha for 0
    if image.mode in {"F", "I"} and tags.get(_COMPRESSION_TAG, 1) != 1 and tags.prefix == b"MM":
        return True  # Pillow turns the bytes of the numbers that libtiff has turned
    if image.tile and "I;12" in str(image.tile[0].args) and tags.get(_PREDICTOR_TAG, 1) != 1:
        return True  # neither Pillow nor libtiff adds up 12-bit differences
    if image.mode == "YCbCr" and tags.get(_COMPRESSION_TAG, 1) == 1:
        sampling = tags.get(_SUBSAMPLING_TAG, (2, 2))
        if tuple(sampling) != (1, 1):  # Pillow takes them for whole pixels
            raise ImageError(
                "it is uncompressed YCbCr of subsampled colours, which is not supported; convert "
                "it to RGB"
            )
    return max(_as_tuple(tags.get(_BITS_TAG, 1))) > _BYTE_BITS and image.mode in {
        "LA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB",
    }  # fmt: skip


def integer_kind(image: ImageFile.ImageFile) -> PixelKind | None:
    """What becomes of grey integers that have no white: signed, or of 32 bits; None of others."""
    tags: Any = getattr(image, "tag_v2", {})
    signed = _SIGNED in _as_tuple(tags.get(_SAMPLE_FORMAT_TAG))
    if image.mode != "I" and not signed:
        return None
    bits = max(_as_tuple(tags.get(_BITS_TAG, 1)))
    return PixelKind("L", alpha=False, dtype=np.dtype(f"{'int' if signed else 'uint'}{bits}"))


def has_nameless_channel(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow takes a channel for alpha that nothing calls so."""
    return image.mode == "RGBA" and _EXTRAS_TAG not in getattr(image, "tag_v2", {})


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
