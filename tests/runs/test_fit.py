"""Statistics alone: fit, shards and merge, against one run of normalize."""

from __future__ import annotations

import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from bncli import fit_folder, inspect_statistics, merge_statistics, normalize_folder
from bncli.errors import (
    ArrayError,
    DataError,
    NoPicturesError,
    OptionError,
    OutputError,
    ShapeError,
    SinglePictureError,
)


@pytest.fixture
def many(tmp_path, rng):
    """Twenty-three 16-bit pictures; two of them have the same bytes."""
    path = tmp_path / "many"
    path.mkdir()
    for number in range(22):
        pixels = rng.integers(0, 65536, (5, 4), dtype=np.uint16)
        Image.fromarray(pixels).save(path / f"{number}.png")
    shutil.copy(path / "3.png", path / "twin.png")
    return path


def shards(source, folder, count, **options):
    """The files of a fit in *count* parts."""
    paths = [folder / f"shard-{number}.npz" for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        fit_folder(source, path, shard=f"{number}/{count}", **options)
    return paths


OPTIONS = [
    {},
    {"gamma": "random", "beta": "random", "seed": 4, "eps": 0.1},
    {"mode": "L", "resize": (6, 4)},
    {"gamma": 2.5, "alpha": "drop"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_fit_leaves_what_normalize_leaves(folder, tmp_path, options):
    """The file of fit has the bytes of normalize's stats.npz, for any number of threads."""
    normalize_folder(folder, tmp_path / "out", **options)
    summary = fit_folder(folder, tmp_path / "one.npz", jobs=1, **options)
    fit_folder(folder, tmp_path / "eight.npz", jobs=8, **options)
    expected = (tmp_path / "out" / "stats.npz").read_bytes()

    assert (tmp_path / "one.npz").read_bytes() == expected
    assert (tmp_path / "eight.npz").read_bytes() == expected
    assert summary.sha256 == summary.document()["output"]["sha256"]


@pytest.mark.parametrize("options", OPTIONS)
def test_four_shards_merged_in_any_order_are_one_fit(many, tmp_path, options):
    """One process, four shards merged in two orders, and a shuffled folder: the same bytes."""
    options = {name: value for name, value in options.items() if name != "mode"}
    fit_folder(many, tmp_path / "whole.npz", **options)
    paths = shards(many, tmp_path, 4, **options)
    merge_statistics(paths, tmp_path / "forth.npz")
    merge_statistics([paths[i] for i in (2, 0, 3, 1)], tmp_path / "mixed.npz")
    merge_statistics(paths[:2], tmp_path / "left.npz")
    merge_statistics(paths[2:], tmp_path / "right.npz")
    merge_statistics([tmp_path / "right.npz", tmp_path / "left.npz"], tmp_path / "tree.npz")
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for path in random.Random(3).sample(sorted(many.iterdir()), 23):
        shutil.copy(path, shuffled)
    fit_folder(shuffled, tmp_path / "shuffled.npz", **options)
    whole = (tmp_path / "whole.npz").read_bytes()

    for name in ("forth", "mixed", "tree", "shuffled"):
        assert (tmp_path / f"{name}.npz").read_bytes() == whole, name


def test_channel_statistics(folder, batch, tmp_path):
    """Mean and std of each channel are over all its pixels, in value scale, as for Normalize."""
    report = fit_folder(folder, tmp_path / "s.npz").report

    assert [c.mean for c in report.channels] == pytest.approx(batch.mean(axis=(0, 1, 2)))
    assert [c.std for c in report.channels] == pytest.approx(batch.std(axis=(0, 1, 2)))
    assert [c.minimum for c in report.channels] == pytest.approx(batch.min(axis=(0, 1, 2)))
    assert report == inspect_statistics(tmp_path / "s.npz")
    mean, std = eval(  # noqa: S307 - what the user is to paste must be Python
        report.normalize_call, {"Normalize": lambda mean, std: (mean, std)}
    )
    assert mean == pytest.approx(batch.mean(axis=(0, 1, 2)), rel=1e-5)
    assert std == pytest.approx(batch.std(axis=(0, 1, 2)), rel=1e-5)


def test_float_batches_merge_the_same_in_any_order(tmp_path, rng):
    """Floating-point shards: one result whatever the order, near to that of one fit."""
    x = 1e3 + rng.random((9, 4, 3, 2))
    np.save(tmp_path / "x.npy", x)
    fit_folder(tmp_path / "x.npy", tmp_path / "whole.npz")
    paths = shards(tmp_path / "x.npy", tmp_path, 3)
    merge_statistics(paths, tmp_path / "forth.npz")
    merge_statistics(paths[::-1], tmp_path / "back.npz")

    assert (tmp_path / "forth.npz").read_bytes() == (tmp_path / "back.npz").read_bytes()
    with np.load(tmp_path / "forth.npz") as found, np.load(tmp_path / "whole.npz") as whole:
        assert np.array_equal(found["names"], whole["names"])
        assert np.allclose(found["mean"], x.mean(axis=0), rtol=1e-14)
        assert np.allclose(found["square_deviation"] / 9, x.var(axis=0), rtol=1e-9)


def test_update(many, tmp_path):
    """An old fit and the new pictures are the fit of all; what it already counts is refused."""
    new = tmp_path / "new"
    new.mkdir()
    for number in (5, 6):
        (many / f"{number}.png").rename(new / f"{number}.png")
    fit_folder(many, tmp_path / "old.npz")
    summary = fit_folder(new, tmp_path / "both.npz", update_from=tmp_path / "old.npz")
    for path in new.iterdir():
        shutil.copy(path, many)
    fit_folder(many, tmp_path / "whole.npz")

    assert (summary.added, summary.report.facts.count) == (2, 23)
    assert (tmp_path / "both.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with pytest.raises(DataError, match=r"5\.png: it is in .*both\.npz and again in SRC"):
        fit_folder(new, tmp_path / "more.npz", update_from=tmp_path / "both.npz")
    with pytest.raises(DataError, match=r"its eps is 0\.5, but that of .*old\.npz is 1e-08"):
        fit_folder(new, tmp_path / "more.npz", update_from=tmp_path / "old.npz", eps=0.5)
    with pytest.raises(OptionError, match="it is read"):
        fit_folder(new, tmp_path / "old.npz", update_from=tmp_path / "old.npz", overwrite=True)
    assert not (tmp_path / "more.npz").exists()


def test_a_picture_counted_twice_is_refused(many, tmp_path):
    """Under its own name, or below another folder; equal bytes under another name are not it."""
    paths = shards(many, tmp_path, 2)
    with pytest.raises(DataError, match=r"0\.png: it is in .*shard-1\.npz and again") as caught:
        merge_statistics([paths[0], *paths], tmp_path / "m.npz")
    assert len(caught.value.paths) == 12
    above = tmp_path / "above"
    shutil.copytree(many, above / "monday")
    fit_folder(above, tmp_path / "above.npz", recursive=True)
    with pytest.raises(DataError, match=r"monday/0\.png: it is in"):
        merge_statistics([paths[0], tmp_path / "above.npz"], tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()
    for name, kept in (("a", "3.png"), ("b", "twin.png")):
        (tmp_path / name).mkdir()
        shutil.copy(many / kept, tmp_path / name)
        fit_folder(tmp_path / name, tmp_path / f"{name}.npz")
    assert merge_statistics([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "m.npz").twins == 1


@pytest.mark.parametrize(
    ("options", "words", "error"),
    [
        ({"resize": (5, 7)}, r"its shape \(w, h, c\) is \(5, 7, 3\), but", ShapeError),
        ({"mode": "L"}, r"its shape \(w, h, c\) is \(7, 5, 1\), but", ShapeError),
        ({"mode": "RGB"}, "its mode is RGB, but that of .*first.npz is keep", DataError),
        ({"resize": (7, 5)}, r"its resize is \(7, 5\), but that of .*first.npz is None", DataError),
        ({"alpha": "drop"}, "its alpha is drop", DataError),
        ({"eps": 1e-5}, "its eps is 1e-05, but that of .*first.npz is 1e-08", DataError),
        ({"ddof": 1}, "its ddof is 1", DataError),
        ({"gamma": 2}, r"its gamma is 2\.0, but that of .*first.npz is 1\.0", DataError),
        ({"beta": "random"}, r"its beta is random, but that of .*first.npz is 0\.0", DataError),
        ({"batch_size": 2}, "running statistics, which depend on the order", ArrayError),
    ],
)
def test_shards_that_do_not_go_together(folder, tmp_path, options, words, error):
    """Another shape, policy or layer is refused, naming the field, both values and the file."""
    fit_folder(folder, tmp_path / "first.npz", include="p1*")
    fit_folder(folder, tmp_path / "other.npz", exclude="p1*", **options)
    with pytest.raises(error, match=words) as caught:
        merge_statistics([tmp_path / "first.npz", tmp_path / "other.npz"], tmp_path / "m.npz")
    assert str(tmp_path / "other.npz") in str(caught.value)
    assert not (tmp_path / "m.npz").exists()


def test_random_layers_of_other_seeds(folder, tmp_path):
    """Gamma of another seed is refused although both are called random."""
    fit_folder(folder, tmp_path / "a.npz", include="p1*", gamma="random", seed=1)
    fit_folder(folder, tmp_path / "b.npz", exclude="p1*", gamma="random", seed=2)
    with pytest.raises(DataError, match="its gamma is random numbers, but that of"):
        merge_statistics([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "m.npz")


def test_dtypes_do_not_mix(folder, many, tmp_path):
    """8 and 16-bit pictures of one size are refused by their dtype."""
    fit_folder(folder, tmp_path / "a.npz", mode="L", resize=(4, 5))
    fit_folder(many, tmp_path / "b.npz", mode="L", resize=(4, 5))
    with pytest.raises(DataError, match=r"its dtype is uint16, but that of .* is uint8"):
        merge_statistics([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "m.npz")


def test_one_picture(folder, tmp_path):
    """One picture is a fit to be merged: apply refuses it, and a shard without one is exit 4."""
    from bncli import apply_folder

    fit_folder(folder / "p1.png", tmp_path / "one.npz")
    with pytest.raises(SinglePictureError, match=r"p1\.png: it is the only picture in the stat"):
        apply_folder(tmp_path / "one.npz", folder, tmp_path / "out")
    with pytest.raises(NoPicturesError, match="there are only 5 pictures"):
        fit_folder(folder, tmp_path / "six.npz", shard="6/6")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shard": "0/4"}, "--shard"),
        ({"shard": "5/4"}, "--shard"),
        ({"shard": "half"}, "--shard half"),
        ({"momentum": 0.1}, "give --batch-size"),
        ({"batch_size": 1}, "--batch-size"),
        ({"batch_size": 2, "momentum": 0}, "--momentum"),
        ({"batch_size": 2, "momentum": "much"}, "--momentum is much"),
        ({"batch_size": 2, "shard": "1/2"}, "--shard does not go with"),
        ({"batch_size": 2, "update_from": "x.npz"}, "--update-from does not go"),
        ({"batch_size": 2, "ddof": 1}, "--ddof"),
        ({"ddof": 2}, "--ddof"),
        ({"eps": 0.0}, "--eps"),
        ({"mode": "CMYK"}, "--mode"),
        ({"jobs": 0}, "--jobs"),
        ({"scale": "none"}, "no option scale"),
    ],
)
def test_impossible_options(folder, tmp_path, options, words):
    """Each impossible option has its own error, and nothing is written."""
    with pytest.raises(OptionError, match=words):
        fit_folder(folder, tmp_path / "s.npz", **options)
    assert not (tmp_path / "s.npz").exists()


def test_where_it_may_be_written(folder, tmp_path):
    """Not over what is read, not into a folder that is not there, not under another suffix."""
    out = tmp_path / "s.npz"
    fit_folder(folder, out)
    for path, error in (
        (tmp_path / "s.png", OptionError),
        (tmp_path / "no" / "s.npz", OutputError),
        (tmp_path, OptionError),
    ):
        with pytest.raises(error):
            fit_folder(folder, path, overwrite=True)
    with pytest.raises(OptionError, match="it is read"):
        merge_statistics([out, out], out, overwrite=True)
    with pytest.raises(OptionError, match="nothing to merge"):
        merge_statistics([out], tmp_path / "m.npz")


def test_running_statistics_of_a_folder(folder, batch, tmp_path):
    """Batches are taken in natural order; the file holds the running planes, (w, h, c)."""
    fit_folder(folder, tmp_path / "s.npz", batch_size=3, momentum=0.3)
    mean, variance = np.zeros(batch.shape[1:]), np.ones(batch.shape[1:])
    for part in (batch[:3], batch[3:]):
        mean = 0.7 * mean + 0.3 * part.mean(axis=0)
        variance = 0.7 * variance + 0.3 * part.var(axis=0, ddof=1)
    with np.load(tmp_path / "s.npz") as found:
        assert np.allclose(found["running_mean"], mean, rtol=1e-12)
        assert np.allclose(found["running_variance"], variance, rtol=1e-12)
    with pytest.raises(SinglePictureError, match="leaves one picture"):
        fit_folder(folder, tmp_path / "t.npz", batch_size=4)


def test_names_that_are_no_text(tmp_path, rng):
    """Names of any bytes are kept, merged and compared."""
    source = tmp_path / "source"
    source.mkdir()
    for name in (b"a\xff.png", b"a\n.png", b"\xc3\xa9.png"):
        Image.fromarray(rng.integers(0, 256, (3, 3), dtype=np.uint8)).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(source / os.fsdecode(name))
    fit_folder(source, tmp_path / "whole.npz")
    merge_statistics(shards(source, tmp_path, 3), tmp_path / "m.npz")

    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with np.load(tmp_path / "m.npz") as found:
        assert b"a\xff.png\0" in found["names"].tobytes()
