"""Every combination of layout that Pillow says it can open, judged by tifffile."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
import tifffile

from bncli.errors import ImageError

SAMPLES = {
    "grey": ("minisblack", 1, []),
    "grey, white is 0": ("miniswhite", 1, []),
    **{
        f"{name} and {extra}": (photometric, count, [extra])
        for name, photometric, count in (("grey", "minisblack", 2), ("rgb", "rgb", 4))
        for extra in ("unspecified", "assocalpha", "unassalpha")
    },
    "rgb": ("rgb", 3, []),
    "rgb and two": ("rgb", 5, ["unassalpha", "unspecified"]),
}
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32")
COMPRESSIONS = (None, "lzw", "deflate", "packbits", "jpeg")
FORMS = (
    ("<", {"rowsperstrip": 3}, False),
    (">", {"rowsperstrip": 20}, True),
    (">", {"tile": (16, 16)}, False),
    ("<", {"tile": (16, 16)}, True),
)
"""Byte order, strips or tiles, and whether there is a predictor where there can be one."""


def written(path, values, photometric, extra, planar, compression, order, form, predictor):
    """Write a file with tifffile, if it can be, and give what tifffile reads of it, alpha last."""
    samples = values.shape[2]
    stored = values[..., 0] if samples == 1 else values
    if planar == "separate":
        stored = np.ascontiguousarray(np.moveaxis(values, 2, 0))
    try:
        tifffile.imwrite(
            path, stored, photometric=photometric, extrasamples=extra, compression=compression,
            planarconfig=planar if samples > 1 else None, byteorder=order, metadata=None,
            predictor=predictor, **form,
        )  # fmt: skip
    except ValueError:
        return None
    found = tifffile.imread(path)
    if planar == "separate" and samples > 1:
        found = np.moveaxis(found, 0, 2)
    return found.reshape(20, 17, samples)


def combinations(samples, dtype):
    for number, (planar, compression) in enumerate(
        itertools.product(("contig", "separate"), COMPRESSIONS)
    ):
        # Half of the forms by turns: each meets every compression, and each layout of planes.
        for order, layout, predictor in FORMS[number % 2 :: 2]:
            possible = compression != "jpeg" or dtype == "uint8"
            if possible and (planar == "contig" or samples > 1):
                able = compression in {"lzw", "deflate"}
                yield planar, compression, order, layout, predictor and able


def without_codecs(name, *rest, real=importlib.util.find_spec):
    return None if name in {"imagecodecs", "tifffile"} else real(name, *rest)


def outcome(read_one, path):
    """The pixels, or None where they were refused with a remedy."""
    try:
        return read_one(path, alpha="normalize")
    except ImageError as error:
        assert "convert it" in str(error) or "pip install" in str(error)  # noqa: PT017
        return None


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (kind, dtype)
        for kind, dtype in itertools.product(SAMPLES, DTYPES)
        # The two that are left out go the same way as int16.
        if SAMPLES[kind][1] == 1 or dtype not in {"int8", "int32"}
    ],
)
def test_what_is_read_is_right(tmp_path, read_one, monkeypatch, rng, kind, dtype):
    """Every file of the matrix is read as tifffile reads it, or refused with a remedy, with the
    extra and without.
    """  # fmt: skip
    photometric, samples, extra = SAMPLES[kind]
    path, seen = tmp_path / "a.tif", []
    for combination in combinations(samples, dtype):
        if dtype == "float32":
            values = rng.normal(size=(20, 17, samples)).astype(dtype)
        else:
            ends = np.iinfo(dtype)
            values = rng.integers(ends.min, ends.max, (20, 17, samples), dtype, endpoint=True)
        expected = written(path, values, photometric, extra, *combination)
        if expected is None:
            continue
        if photometric == "miniswhite":
            expected = np.iinfo(dtype).max - expected if dtype.startswith("u") else expected
        found = [outcome(read_one, path)]
        seen.append(found[0] is not None)
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", without_codecs)
            found.append(outcome(read_one, path))
        for pixels in found:
            if pixels is None:
                continue
            assert pixels.dtype == dtype
            # Colours are divided by alpha, which has its own test.
            colours = slice(-1, None) if "assocalpha" in extra else slice(None)
            # Two decoders of one JPEG may round differently.
            off = 2 if combination[1] == "jpeg" else 0
            distance = pixels[..., colours].astype(np.float64) - expected[..., colours]
            assert np.abs(distance).max() <= off, combination
    coloured = dtype in {"uint8", "uint16"}
    supported = samples < 5 and (coloured or photometric != "miniswhite")
    supported = supported and (coloured or dtype == "float32" or extra != ["assocalpha"])
    assert set(seen) == {supported}
