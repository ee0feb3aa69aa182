"""The number by which a TIFF file of GDAL says that there is no picture in a place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from bncli.errors import ImageError

TAG = 42113
_BITS_TAG = 258
_MANY_DIGITS = 6
_CLOSE = 4
"""Distances of neighbouring numbers by which a decimal text may miss the number it stands for."""


def check_no_data(numbers: NDArray[Any], declared: object) -> None:
    """Raise ImageError, with value and count, if the declared number occurs.

    Args:
        numbers: as the file holds them, without alpha, of any shape.
        declared: the value of the tag, or None; what is no number says nothing.
    """
    text = declared.decode("ascii", "replace") if isinstance(declared, bytes) else str(declared)
    text = text.strip(" \0")
    try:
        value = float(text)
    except ValueError:
        return
    if math.isnan(value):  # NaN is refused wherever it occurs
        return
    digits = len(text.lower().partition("e")[0].strip("+-0.").replace(".", ""))
    count = int(np.count_nonzero(_equal(numbers, value, digits)))
    if count:
        raise ImageError(
            f"it holds {text[:40]}, which it declares to stand for no data (GDAL_NODATA), in "
            f"{count:,} places; replace them, or take the declaration out of the file"
        )


def check_decoded(
    image: ImageFile.ImageFile, pixels: NDArray[Any], *, alpha: bool, inverted: bool
) -> None:
    """Look for the declared number among those of a file, whatever became of them in decoding.

    Args:
        image: of Pillow, loaded.
        pixels: what was made of it, (h, w, channels).
        alpha: whether its last channel is transparency.
        inverted: whether the file says that white is 0.

    Raises:
        ImageError: it occurs.
    """
    tags: Any = getattr(image, "tag_v2", {})
    declared = tags.get(TAG)
    if declared is None:
        return
    eight_bit = pixels.dtype == np.uint8
    if image.mode in {"P", "PA", "CMYK"}:
        pixels = np.asarray(image.getchannel(0) if image.mode == "PA" else image)
    elif alpha:
        pixels = pixels[..., :-1]
    if inverted and pixels.dtype == np.uint8:  # Pillow has inverted them
        pixels = np.iinfo(np.uint8).max - pixels
    if image.mode in {"1", "L"} and eight_bit:  # and spread those of few bits
        bits = tags.get(_BITS_TAG, (1,))[0]
        pixels = pixels // np.uint8(np.iinfo(np.uint8).max // ((1 << min(bits, 8)) - 1))
    check_no_data(pixels, declared)


def _equal(numbers: NDArray[Any], value: float, digits: int) -> Any:
    if numbers.dtype.kind != "f":
        ends = np.iinfo(numbers.dtype)
        possible = value.is_integer() and ends.min <= value <= ends.max
        return numbers == numbers.dtype.type(int(value)) if possible else False
    # Texts of too few digits round the largest number of a type to one that it does not have.
    ends_of_floats = np.finfo(numbers.dtype)
    number = numbers.dtype.type(min(max(value, ends_of_floats.min), ends_of_floats.max))
    slack = _CLOSE * abs(float(number)) * float(ends_of_floats.eps)
    if digits >= _MANY_DIGITS:  # a number that was rounded when it was written
        slack = max(slack, 0.5 * abs(float(number)) * 10.0 ** (1 - digits))
    close = numbers == number
    if slack and math.isfinite(slack):
        close |= np.abs(numbers.astype(np.float64) - float(number)) <= slack
    return close
