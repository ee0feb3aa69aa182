"""Back to the pixel values: exactly where that can be, and honest where it cannot."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import booleans, floats, sampled_from
from oracle import tree
from PIL import Image

from bncli import apply_folder, fit_folder, invert_folder, normalize_folder
from bncli.batchnorm.inverse import Restored
from bncli.errors import ArrayError, DataError, ImageError, OptionError, ShapeError
from bncli.runs.changes import Restoring

NAMES = ["p1", "p2", "p3", "p10", "p11"]


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image)


def same_pictures(one, other, suffix=".png"):
    paths = sorted(one.glob("*.png"))
    assert paths
    return all(
        np.array_equal(picture(path), picture(other / f"{path.stem}{suffix}")) for path in paths
    )


@pytest.mark.parametrize("output", [{"format": "tiff"}, {"format": "npy"},
                                    {"format": "npy", "dtype": "float32"}])  # fmt: skip
@pytest.mark.parametrize(
    "layer", [{}, {"gamma": "random", "beta": "random"}, {"gamma": -300, "eps": 1.0}]
)
def test_pictures_come_back_exactly(folder, tmp_path, layer, output):
    """8-bit colour through float32 TIFF and .npy: every pixel, under its own name."""
    out = tmp_path / "out"
    normalize_folder(folder, out, **layer, **output)
    given = out / "normalized.npy" if output["format"] == "npy" else out
    summary = invert_folder(out / "stats.npz", given, tmp_path / "back", exact=True)

    assert summary.exact
    assert same_pictures(folder, tmp_path / "back")
    assert {p.name for p in (tmp_path / "back").iterdir()} == {
        "summary.json", *(f"{name}.png" for name in NAMES)
    }  # fmt: skip


@pytest.mark.parametrize("options", [{"format": "tiff"}, {"format": "npy", "dtype": "float32"}, {}])
def test_sixteen_bits_come_back_exactly(tmp_path, rng, options):
    """16-bit grey too, through 32 bits of floating point; from its PNG it is said what is off."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6):
        pixels = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
        pixels[0] = 60_000 + number  # hardly a variance
        pixels[1] = 31_000  # dead
        Image.fromarray(pixels).save(source / f"{number}.png")
    out = tmp_path / "out"
    normalize_folder(source, out, **options)
    summary = invert_folder(
        out / "stats.npz", out / "normalized.npy" if "dtype" in options else out, tmp_path / "back"
    )
    off = max(
        np.abs(picture(p).astype(int) - picture(tmp_path / "back" / p.name)).max()
        for p in source.iterdir()
    )

    assert summary.exact == bool(options)
    assert off <= summary.restored.largest_error
    assert not options or off == 0
    assert all((picture(p)[1] == 31_000).all() for p in (tmp_path / "back").glob("*.png"))


@settings(max_examples=40)
@given(
    x=arrays(np.uint16, (3, 2, 3, 1)),
    deep=booleans(),
    gamma=floats(-4, 4).map(lambda g: np.float64(10.0) ** g),
    beta=floats(-1e3, 1e3),
    eps=sampled_from([1e-8, 1e-3, 1.0]),
    output=sampled_from(["float64", "float32", "png"]),
)
def test_what_is_said_of_the_error_is_true(tmp_path_factory, x, deep, gamma, beta, eps, output):
    """Any layer: values are off by no more than is said, and exact where that is said."""
    place = tmp_path_factory.mktemp("any")
    x = x if deep else (x >> 8).astype(np.uint8)
    np.save(place / "x.npy", x)
    source, out = place / "source", place / "out"
    source.mkdir()
    for number, pixels in enumerate(x[..., 0].swapaxes(1, 2)):
        Image.fromarray(pixels).save(source / f"{number}.png")
    options = {} if output == "png" else {"format": "npy", "dtype": output}
    normalize_folder(source, out, gamma=gamma, beta=beta, eps=eps, **options)
    given = out if output == "png" else out / "normalized.npy"
    summary = invert_folder(out / "stats.npz", given, place / "back", format="npy")
    found = np.load(place / "back" / "restored.npy")
    off = np.abs(found.astype(int) - x).max()

    assert found.dtype == x.dtype
    assert off <= summary.restored.largest_error
    assert np.count_nonzero(found != x) <= summary.restored.inexact
    assert summary.restored.foreign == 0
    if output == "float64" and gamma > 1e-3 and abs(beta) < 10:
        assert summary.exact
    shutil.rmtree(place)


def test_when_float32_is_not_enough(tmp_path, rng):
    """16 bits, a gamma small beside its beta: the doubt is told, and refused with --exact."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        pixels = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
        Image.fromarray(pixels).save(source / f"{number}.png")
    normalize_folder(source, tmp_path / "out", gamma=1e-4, beta=1, format="tiff")
    statistics = tmp_path / "out" / "stats.npz"
    summary = invert_folder(statistics, tmp_path / "out", tmp_path / "back")

    assert not summary.exact
    assert "140 of 140 values can be off by up to" in summary.doubts()[0]
    assert 1 <= summary.restored.largest_error < 30
    with pytest.raises(DataError, match="--exact: 140 of 140 values can be off"):
        invert_folder(statistics, tmp_path / "out", tmp_path / "more", exact=True)
    assert not (tmp_path / "more").exists()


def test_a_gamma_of_zero_loses_the_picture(folder, batch, tmp_path):
    """What was multiplied by 0 is gone: the mean stands in its place, and the doubt is told."""
    normalize_folder(folder, tmp_path / "out", gamma=0, format="tiff")
    summary = invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back")
    mean = np.rint(batch.mean(axis=0).swapaxes(0, 1) * 255)

    assert np.array_equal(picture(tmp_path / "back" / "p1.png"), mean)
    off = max(np.abs(picture(folder / f"{n}.png").astype(int) - mean).max() for n in NAMES)
    assert off <= summary.restored.largest_error < 256
    assert summary.restored.inexact == 525


@pytest.mark.parametrize("depth", [8, 16])
def test_from_png(folder, tmp_path, depth):
    """The scale is in the summary beside the pictures; deeper PNG comes back exactly."""
    out = tmp_path / "out"
    normalize_folder(folder, out, depth=str(depth), mode="L")
    normalize_folder(folder, tmp_path / "grey", mode="L", scale="none")
    summary = invert_folder(out / "stats.npz", out, tmp_path / "back")
    off = 0
    for name in NAMES:
        with Image.open(folder / f"{name}.png") as image:
            grey = np.asarray(image.convert("L")).astype(int)
        off = max(off, np.abs(grey - picture(tmp_path / "back" / f"{name}.png")).max())

    assert off <= summary.restored.largest_error
    assert summary.exact == (depth == 16)
    document = json.loads((tmp_path / "back" / "summary.json").read_text())
    assert document == summary.document()
    assert (document["schema"], document["exact"]) == ("bncli.invert/1", depth == 16)


def test_from_png_without_its_summary(folder, tmp_path):
    """--scale says what the summary would; without either it is refused."""
    out, bare = tmp_path / "out", tmp_path / "bare"
    normalize_folder(folder, out, scale="-5:5")
    bare.mkdir()
    for path in out.glob("*.png"):
        shutil.copy(path, bare)
    with pytest.raises(OptionError, match=r"no summary\.json beside it .* give --scale LO:HI"):
        invert_folder(out / "stats.npz", bare, tmp_path / "back")
    invert_folder(out / "stats.npz", bare, tmp_path / "one", scale="-5:5")
    invert_folder(out / "stats.npz", out, tmp_path / "two")
    assert same_pictures(tmp_path / "one", tmp_path / "two")


def test_clipped_values_are_in_doubt(folder, tmp_path):
    """Where the scale clipped, black and white values may have been anything."""
    normalize_folder(folder, tmp_path / "out", scale="sigma:1")
    summary = invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back")
    ends = sum(int(np.isin(picture(tmp_path / "out" / f"{n}.png"), (0, 255)).sum()) for n in NAMES)

    assert summary.restored.saturated == ends > 0
    assert summary.restored.foreign == 0
    assert f"{ends} of 525 values are black or white" in summary.doubts()[-1]


def test_pictures_that_were_changed_are_noticed(folder, tmp_path):
    """Values that no pixel value can have become are counted."""
    normalize_folder(folder, tmp_path / "out", format="npy")
    y = np.load(tmp_path / "out" / "normalized.npy")
    (tmp_path / "changed").mkdir()
    np.save(tmp_path / "changed" / "y.npy", y * 0.99)
    summary = invert_folder(
        tmp_path / "out" / "stats.npz", tmp_path / "changed" / "y.npy", tmp_path / "back"
    )

    assert summary.restored.foreign > 400
    assert not summary.exact


def test_scale_image_cannot_be_inverted(folder, tmp_path):
    """The range of each picture is not kept: refused, naming a picture."""
    normalize_folder(folder, tmp_path / "out", scale="image")
    with pytest.raises(ImageError, match=r"p1\.png: it was normalized with --scale image"):
        invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_applied_pictures_come_back(folder, tmp_path, rng):
    """A picture that was not fitted, with values where all fitted ones agreed."""
    for name in NAMES:
        pixels = picture(folder / f"{name}.png").copy()
        pixels[0] = 100
        Image.fromarray(pixels).save(folder / f"{name}.png")
    new = tmp_path / "new"
    new.mkdir()
    Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(new / "n.png")
    for fit in ({}, {"ddof": 1, "eps": 0.1}, {"batch_size": 5, "gamma": "random", "beta": 1}):
        place = tmp_path / str(len(fit))
        place.mkdir()
        fit_folder(folder, place / "s.npz", **fit)
        apply_folder(place / "s.npz", new, place / "out", format="tiff")
        invert_folder(place / "s.npz", place / "out", place / "back", exact=True)
        assert same_pictures(new, place / "back")


def test_other_statistics_are_refused(folder, tmp_path):
    """The summary says with which statistics the pictures were made; the shape must fit too."""
    normalize_folder(folder, tmp_path / "out", format="tiff")
    fit_folder(folder, tmp_path / "other.npz", eps=1.0)
    with pytest.raises(DataError, match="made with other statistics than"):
        invert_folder(tmp_path / "other.npz", tmp_path / "out", tmp_path / "back")
    fit_folder(folder, tmp_path / "small.npz", resize=(5, 5))
    with pytest.raises(ImageError, match=r"its shape is 7x5x3, but .*small.npz is of 5x5x3"):
        invert_folder(tmp_path / "small.npz", tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("alpha", ["keep", "normalize"])
@pytest.mark.parametrize("options", [{"format": "tiff"}, {"depth": "16"}])
def test_alpha_comes_back(tmp_path, rng, alpha, options):
    """The alpha channel, copied through or normalized, is what it was."""
    pytest.importorskip("imagecodecs")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    normalize_folder(source, tmp_path / "out", alpha=alpha, **options)
    invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back", exact=True)

    assert same_pictures(source, tmp_path / "back")


def test_float_pictures(tmp_path, rng):
    """Floating-point values come back but for rounding, in the format they fit."""
    source = tmp_path / "source"
    source.mkdir()
    x = rng.random((4, 5, 7)).astype(np.float32)
    for number, pixels in enumerate(x):
        Image.fromarray(pixels).save(source / f"{number}.tif")
    normalize_folder(source, tmp_path / "out", format="tiff")
    statistics = tmp_path / "out" / "stats.npz"
    summary = invert_folder(statistics, tmp_path / "out", tmp_path / "back")
    back = np.stack([picture(tmp_path / "back" / f"{n}.tiff") for n in range(4)])

    assert 0 < np.abs(back - x).max() <= summary.restored.largest_error < 1e-6
    with pytest.raises(OptionError, match="--format png does not hold the float32"):
        invert_folder(statistics, tmp_path / "out", tmp_path / "png", format="png")


def test_npy_batches(tmp_path, rng):
    """A .npy batch comes back as one, of its own dtype and any number of channels."""
    x = rng.integers(0, 256, (4, 3, 5, 6), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    normalize_folder(tmp_path / "x.npy", tmp_path / "out", format="npy", dtype="float32")
    invert_folder(
        tmp_path / "out" / "stats.npz", tmp_path / "out" / "normalized.npy", tmp_path / "back"
    )
    found = np.load(tmp_path / "back" / "restored.npy")

    assert found.dtype == np.uint8
    assert np.array_equal(found, x)


def test_without_the_codecs(folder, tmp_path, monkeypatch):
    """Colour TIFF that bncli wrote needs no extra; from any other program it does."""
    tifffile = pytest.importorskip("tifffile")
    normalize_folder(folder, tmp_path / "out", format="tiff")
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / "a.tif", np.zeros((5, 7, 3), np.float32), photometric="rgb")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back", exact=True)

    assert same_pictures(folder, tmp_path / "back")
    with pytest.raises(ImageError, match="codecs"):
        invert_folder(tmp_path / "out" / "stats.npz", other, tmp_path / "more")


def spoilt(folder, change):
    path = folder / "summary.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="bncli.invert/1"), "schema is 'bncli.invert/1'"),
        (lambda d: d.pop("schema"), "lacks what"),
        (lambda d: d["scale"].update(low="0"), "scale holds '0'"),
        (lambda d: d["scale"].update(low=float("nan")), "scale holds nan"),
        (lambda d: d.update(scale=[]), "lacks what"),
        (lambda d: d["outputs"][0].update(source="../../p1.png"), "calls a picture"),
        (lambda d: d["outputs"][0].update(source="/etc/p1.png"), "calls a picture"),
        (lambda d: d["outputs"][0].update(source=7), "lacks what"),
        (lambda d: d.update(arrays=[]), "lacks what"),
    ],
)
def test_a_summary_that_cannot_be_trusted(folder, tmp_path, change, words):
    """A changed summary is refused in one line; no file is written by a name in it."""
    out = tmp_path / "out"
    normalize_folder(folder, out)
    spoilt(out, change)
    before = tree(tmp_path)
    with pytest.raises(ArrayError, match=words) as caught:
        invert_folder(out / "stats.npz", out, tmp_path / "back", format="npy")

    assert str(caught.value).startswith(str(out / "summary.json"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null"])
def test_a_summary_that_is_none(folder, tmp_path, content):
    """Whatever bytes it holds, there is one line, and from TIFF nothing of it is needed."""
    normalize_folder(folder, tmp_path / "out")
    (tmp_path / "out" / "summary.json").write_bytes(content)
    with pytest.raises(ArrayError):
        invert_folder(tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back")
    normalize_folder(folder, tmp_path / "tiff", format="tiff")
    (tmp_path / "tiff" / "summary.json").write_bytes(content)
    invert_folder(tmp_path / "tiff" / "stats.npz", tmp_path / "tiff", tmp_path / "back")
    assert same_pictures(folder, tmp_path / "back")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scale": "minmax"}, OptionError),
        ({"scale": "0:1"}, OptionError),
        ({"format": "jpeg"}, OptionError),
        ({"jobs": 0}, OptionError),
    ],
)
def test_impossible_options(folder, tmp_path, options, error):
    """Each impossible option has its own error, and OUT does not come to be."""
    normalize_folder(folder, tmp_path / "out", format="tiff")
    with pytest.raises(error):
        invert_folder(
            tmp_path / "out" / "stats.npz", tmp_path / "out", tmp_path / "back", **options
        )
    assert not (tmp_path / "back").exists()


def test_a_dry_run_knows_whether_they_come_back(folder, tmp_path):
    """It restores everything, and tells what the run would."""
    normalize_folder(folder, tmp_path / "out", format="tiff")
    statistics = tmp_path / "out" / "stats.npz"
    assert invert_folder(statistics, tmp_path / "out", tmp_path / "back", dry_run=True).exact


def test_arrays_that_do_not_go_with_it(folder, tmp_path):
    """Another shape, or integers, are refused, naming what differs."""
    out = tmp_path / "out"
    normalize_folder(folder, out, format="tiff")
    np.save(tmp_path / "y.npy", np.zeros((2, 5, 7, 3)))
    with pytest.raises((ImageError, ShapeError), match="its shape is 5x7x3"):
        invert_folder(out / "stats.npz", tmp_path / "y.npy", tmp_path / "back")
    np.save(tmp_path / "y.npy", np.zeros((2, 7, 5, 3), np.uint8))
    with pytest.raises(DataError, match="it holds uint8; y is floating-point"):
        invert_folder(out / "stats.npz", tmp_path / "y.npy", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_the_folder_of_a_run_that_wrote_one_array(folder, batch, tmp_path):
    """It stands for the array in it."""
    out = tmp_path / "out"
    normalize_folder(folder, out, format="npy")
    invert_folder(out / "stats.npz", out, tmp_path / "back", format="npy")

    restored = np.load(tmp_path / "back" / "restored.npy")
    np.testing.assert_array_equal(restored, np.rint(batch * 255))


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_a_dry_run_tells_what_would_be_skipped(folder, tmp_path, kind):
    """Its exit code and its faults are those of the run."""
    out = tmp_path / "out"
    normalize_folder(folder, out)
    content = bytearray((out / "p2.png").read_bytes())
    content[len(content) // 2] ^= 255
    (out / "p2.png").write_bytes(content)
    options = {"format": kind, "on_error": "skip"}
    dry, real = (
        invert_folder(out / "stats.npz", out, tmp_path / "back", **options, dry_run=dry_run)
        for dry_run in (True, False)
    )
    assert (dry.exit_code, dry.faults, dry.count) == (3, real.faults, real.count)
    assert dry.doubts() == real.doubts()


@pytest.mark.parametrize("error", [float("inf"), float("nan"), -1.0])
def test_notes_that_cannot_be_are_not_believed(error):
    """A journal may have been made by anybody."""
    change = Restoring(inverse=None)
    assert change.noted(change.facts(Restored(0.5, 1))) == Restored(0.5, 1)
    assert change.noted(change.facts(Restored(error, 1))) is None
    assert change.noted(change.facts(Restored(0.5, -1))) is None


def test_own_files_need_no_codecs(folder, tmp_path, monkeypatch):
    """TIFF files of bncli's own are read where the extra codecs is not installed."""
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    normalize_folder(folder, tmp_path / "y", format="tiff")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    summary = invert_folder(tmp_path / "y" / "stats.npz", tmp_path / "y", tmp_path / "back")
    assert summary.exact
    assert set(summary.run) >= {"pillow"}
    assert "imagecodecs" not in summary.run
