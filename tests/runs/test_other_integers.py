"""Pictures of int8, int16, int32 and uint32: taken as they are, summed and restored exactly."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from oracle import textbook

from bncli import fit_folder, invert_folder, merge_statistics, normalize_folder
from bncli.errors import DataError, ImageError

DTYPES = ["int8", "int16", "int32", "uint32"]


@pytest.fixture(params=DTYPES)
def x(request, rng):
    """A batch (batch, w, h, c) over the whole range, with a dead pixel."""
    ends = np.iinfo(request.param)
    x = rng.integers(ends.min, ends.max, (6, 7, 5, 3), request.param, endpoint=True)
    x[:, 0, 0] = ends.min
    return x


@pytest.fixture(params=["tiff", "npy"])
def source(request, x, tmp_path):
    """The batch as TIFF files of tifffile, or as one array of numpy."""
    if request.param == "npy":
        np.save(tmp_path / "x.npy", x)
        return tmp_path / "x.npy"
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(x.swapaxes(1, 2)):
        tifffile.imwrite(folder / f"{number}.tif", np.ascontiguousarray(picture), photometric="rgb")
    return folder


def test_value_scale_is_that_of_the_numbers(x, source, tmp_path):
    """y is the textbook's for the numbers as they are, not divided by anything."""
    summary = normalize_folder(source, tmp_path / "out", format="npy", gamma=2.5, beta=-1)
    y = np.load(tmp_path / "out" / "normalized.npy")

    # Of numbers near 2**31 the textbook's own sums are rounded.
    assert np.allclose(y, textbook(x, 2.5, -1).output, rtol=1e-9, atol=1e-9)
    assert summary.dtype == x.dtype.name
    assert summary.dead_pixels == 3
    means = [channel.mean for channel in summary.channels]
    assert means == pytest.approx(x.astype(np.float64).mean(axis=(0, 1, 2)), rel=1e-12)


def test_sums_are_exact(x, source, tmp_path):
    """What is saved are the sums of Python's integers."""
    fit_folder(source, tmp_path / "s.npz")
    exact = x.astype(object)
    with np.load(tmp_path / "s.npz") as found:
        high, low = (found[f"square_{half}"].astype(object) for half in ("high", "low"))
        assert (found["total"] == exact.sum(axis=0)).all()
        assert (high * 2**32 + low == (exact**2).sum(axis=0)).all()
        assert np.array_equal(found["minimum"], x.min(axis=0))
        assert np.array_equal(found["maximum"], x.max(axis=0))


def test_shards_in_any_order_are_one_fit(source, tmp_path):
    """Merged shards have the bytes of one fit, for any order and number of threads."""
    fit_folder(source, tmp_path / "whole.npz", jobs=1)
    paths = [tmp_path / f"{number}.npz" for number in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        fit_folder(source, path, shard=f"{number}/3")
    merge_statistics(paths, tmp_path / "forth.npz")
    merge_statistics(paths[::-1], tmp_path / "back.npz")

    whole = (tmp_path / "whole.npz").read_bytes()
    assert (tmp_path / "forth.npz").read_bytes() == (tmp_path / "back.npz").read_bytes() == whole


def restored(folder, shape):
    """(batch, w, h, c) of what invert wrote, read by numpy or tifffile."""
    if (folder / "restored.npy").exists():
        return np.load(folder / "restored.npy")
    files = sorted(folder.glob("*.tiff"))
    pictures = [tifffile.imread(path).reshape(shape[2], shape[1], shape[3]) for path in files]
    return np.stack(pictures).swapaxes(1, 2)


@pytest.mark.parametrize("back", ["npy", "tiff"])
@pytest.mark.parametrize("through", ["npy", "tiff"])
def test_invert(x, source, tmp_path, through, back):
    """Through .npy all come back exactly, through TIFF those that float32 holds; or it is told."""
    out = tmp_path / "out"
    normalize_folder(source, out, format=through)
    given = out / "normalized.npy" if through == "npy" else out
    summary = invert_folder(out / "stats.npz", given, tmp_path / "back", format=back)
    found = restored(tmp_path / "back", x.shape)
    off = np.abs(found.astype(np.float64) - x.astype(np.float64))

    small = x.dtype.itemsize < 4
    assert found.dtype == (x.dtype if back == "npy" else np.float32)
    assert summary.exact == (small or through == back == "npy")
    assert off.max() <= summary.restored.largest_error
    assert np.count_nonzero(off) <= summary.restored.inexact
    assert not summary.exact or not off.any()
    if not summary.exact:
        with pytest.raises(DataError, match="--exact"):
            invert_folder(out / "stats.npz", given, tmp_path / "no", format=back, exact=True)


def test_float32_that_holds_them(tmp_path, rng):
    """32-bit numbers of few digits come back exactly through float32 TIFF too."""
    x = rng.integers(-500, 500, (5, 7, 5, 1), np.int32) * 8
    np.save(tmp_path / "x.npy", x)
    normalize_folder(tmp_path / "x.npy", tmp_path / "out", format="tiff")
    invert_folder(
        tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back", format="tiff",
        exact=True,
    )  # fmt: skip

    assert np.array_equal(restored(tmp_path / "back", x.shape)[..., 0], x[..., 0])


def test_resizing(tmp_path, rng, source, x):
    """Small integers are resized like floats, rounded; those float32 does not hold are refused."""
    if source.suffix:
        return
    if x.dtype.itemsize == 4:
        with pytest.raises(ImageError, match="--resize would round"):
            normalize_folder(source, tmp_path / "out", resize=(6, 4))
    else:
        summary = normalize_folder(source, tmp_path / "out", resize=(6, 4))
        assert (summary.shape, summary.dtype) == ((6, 4, 3), x.dtype.name)


def test_grey_of_signed_colours(tmp_path, source, x):
    """--mode L weighs signed numbers as it does others, to the nearest integer."""
    if source.suffix:
        return
    fit_folder(source, tmp_path / "s.npz", mode="L")
    luma = x.astype(np.float64) @ [0.299, 0.587, 0.114]
    with np.load(tmp_path / "s.npz") as found:
        # The weights are rounded to 16 bits.
        off = np.abs(found["total"][..., 0] - luma.sum(axis=0))
        assert off.max() <= 6 * (0.5 + 2.0**-15 * np.abs(x.astype(np.float64)).max())


def test_drawing(x, source, tmp_path):
    """A contact sheet can be drawn of them."""
    normalize_folder(source, tmp_path / "out", contact_sheet=str(tmp_path / "sheet.png"))

    assert (tmp_path / "sheet.png").stat().st_size > 0


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**62])
def test_what_floats_do_not_hold(tmp_path, number):
    """64-bit integers are taken as floating-point numbers, and refused where those would round."""
    x = np.zeros((3, 2, 2, 1), np.int64)
    np.save(tmp_path / "x.npy", x + 2**53)
    assert normalize_folder(tmp_path / "x.npy", tmp_path / "out").dtype == "float64"
    x[1] = number
    np.save(tmp_path / "x.npy", x)

    with pytest.raises(ImageError, match=r"int64 numbers past 2\*\*53"):
        normalize_folder(tmp_path / "x.npy", tmp_path / "more")
