"""stats.npz: whatever bytes it holds, it is read right or refused in one line."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, tuples
from storage.npy_files import described, npy, zipped
from storage.stats_files import (
    FLOATS,
    X,
    archive,
    facts,
    float_planes,
    npy_bytes,
    planes,
    stats,
    tables,
)

from bncli.errors import DataError, LimitError
from bncli.runs.fitted import load_fitted

WHOLE = stats()
OTHER = stats(planes(np.flip(X, 1)), tables(["d.png", "e.png", "f.png"]))


@pytest.fixture
def read(tmp_path):
    def reading(content):
        path = tmp_path / "stats.npz"
        path.write_bytes(content)
        return load_fitted(path)

    return reading


def test_files_made_by_hand_are_read(read):
    """Mean and variance of a file that NumPy made are NumPy's."""
    fitted = read(WHOLE)
    raster = X.swapaxes(1, 2).reshape(3, -1)

    assert [picture.name for picture in fitted.pictures] == ["a.png", "b.png", "c.png"]
    assert np.allclose(fitted.moments.mean(), raster.mean(axis=0), rtol=1e-15)
    assert np.allclose(fitted.moments.variance(), raster.var(axis=0), rtol=1e-14)
    floats = read(archive(float_planes() | tables(), facts(**FLOATS)))
    assert np.allclose(floats.moments.variance(), (raster / 255).var(axis=0), rtol=1e-14)


def members_of(content, tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_members_of_two_files_do_not_go_together(read, tmp_path):
    """A plane, the names or the facts of another sound file are noticed."""
    whole, other = members_of(WHOLE, tmp_path), members_of(OTHER, tmp_path)
    assert whole.keys() == other.keys()
    for name in whole:
        mixed = zipped([*(whole | {name: other[name]}).items()])
        if whole[name] == other[name]:
            continue
        with pytest.raises(DataError, match=r"stats\.npz: its member \w+ is not the one") as caught:
            read(mixed)
        assert len(caught.value.lines) == 1


def plane(name, value):
    changed = planes()[name].copy()
    changed[0, 0, 0] = value
    return {name: changed}


FEW = {"digests": tables(["a.png"])["digests"]}
OBJECT = zipped([("facts.npy", npy(described((1,), "|O"), b"x"))])
HUGE = npy(described((1 << 40,), "|u1"), b"x")

HOSTILE = {
    "empty": (b"", "cannot be read"),
    "truncated": (WHOLE[:-40], "cannot be read"),
    "half": (WHOLE[: len(WHOLE) // 2], "cannot be read"),
    "no zip": (b"statistics", "cannot be read"),
    "no facts": (zipped([("total.npy", npy_bytes(planes()["total"]))]), "holds no facts"),
    "object": (OBJECT, "facts: it holds object"),
    "claims a terabyte": (zipped([("facts.npy", HUGE)]), "facts: its header declares"),
    "bomb": (archive(planes() | tables(), facts(), method=8), "compressed"),
    "no JSON": (zipped([("facts.npy", npy_bytes(np.frombuffer(b"{", np.uint8)))]), "no JSON"),
    "facts of numbers": (zipped([("facts.npy", npy_bytes(np.zeros(3)))]), "facts are 3 x float64"),
    "long facts": (stats(bncli="x" * 70_000), "facts are 7"),
    "deep facts": (
        zipped([("facts.npy", npy_bytes(np.frombuffer(b"[" * 60_000, np.uint8)))]), "no JSON",
    ),
    "a list": (zipped([("facts.npy", npy_bytes(np.frombuffer(b"[]", np.uint8)))]), "no format"),
    "future": (stats(format="bncli.stats/2"), "format is 'bncli.stats/2', but .* bncli.stats/1"),
    "unknown fact": (stats(extra=1), "unknown 'extra'"),
    "traversal": (
        archive(planes() | tables() | {"../../evil": X}, facts()), "sha256 cannot be",
    ),
    "missing plane": (
        archive({n: p for n, p in planes().items() if n != "total"} | tables(), facts()),
        "sha256 cannot be",
    ),
    "false digest": (stats(sha256=dict.fromkeys([*planes(), *tables()], "0" * 64)), "not the one"),
    "no digests": (stats(sha256=None), "sha256 cannot be None"),
    "count 0": (stats(count=0), "count cannot be 0"),
    "count true": (stats(count=True), "count cannot be True"),
    "count 4": (stats(count=4), r"must be digests = \(4, 32\)"),
    "shape of two": (stats(shape=[2, 2]), "shape cannot be"),
    "shape of zero": (stats(shape=[2, 0, 1]), "shape cannot be"),
    "other shape": (stats(shape=[2, 3, 1]), r"total: its shape is \(2, 2, 1\)"),
    "dtype": (stats(dtype="object"), "dtype cannot be 'object'"),
    "dtype list": (stats(dtype=["uint8"]), "dtype cannot be"),
    "unit": (stats(unit=0.0), "unit cannot be 0.0"),
    "eps 0": (stats(eps=0.0), "eps cannot be 0.0"),
    "eps nan": (stats(eps=float("nan")), "eps cannot be nan"),
    "mode": (stats(mode="CMYK"), "mode cannot be 'CMYK'"),
    "alpha": (stats(alpha="twice"), "alpha cannot be 'twice'"),
    "resize": (stats(resize=[0, 3]), "resize cannot be"),
    "orientation": (stats(orientation="down"), "orientation cannot be"),
    "channel order": (stats(channel_order="BGR"), "channel_order cannot be"),
    "ddof": (stats(ddof=2), "ddof cannot be 2"),
    "gamma": (stats(gamma="/etc/passwd"), "gamma cannot be '/etc/passwd'"),
    "gamma without its plane": (stats(gamma="random"), "sha256 cannot be"),
    "momentum": (stats(running={"momentum": 2.0, "batch_size": 3}), "running cannot be"),
    "dtype of a plane": (stats({"total": planes()["total"].astype(float)}), "total cannot be"),
    "byte order": (stats({"total": planes()["total"].astype(">u4")}), "total cannot be"),
    "fewer digests": (stats(changed_tables=FEW), r"must be digests = \(3, 32\)"),
    "empty name": (stats(changed_tables=tables(["a", "", "c"])), "names cannot be"),
    "fewer names": (
        stats(changed_tables={"names": tables(["a", "b"])["names"]}), "names cannot be",
    ),
    "minimum above maximum": (stats(plane("minimum", 30)), "minimum is above"),
    "total too small": (stats(plane("total", 0)), "total is below"),
    "total too large": (stats(plane("total", 765)), "total is above"),
    "squares too small": (stats(plane("square_total", 64)), "square_total is below"),
    "squares too large": (stats(plane("square_total", 602)), "square_total is above"),
    "one square off": (stats(plane("square_total", 501)), "odd where the total is even"),
    "nan": (
        archive(float_planes() | {"mean": np.full((2, 2, 1), np.nan)} | tables(), facts(**FLOATS)),
        "mean: it holds NaN",
    ),
    "negative variance": (
        archive(
            float_planes() | {"square_deviation": np.full((2, 2, 1), -1.0)} | tables(),
            facts(**FLOATS),
        ),
        "square_deviation is negative",
    ),
    "variance too large": (
        archive(
            float_planes() | {"square_deviation": np.full((2, 2, 1), 9.0)} | tables(),
            facts(**FLOATS),
        ),
        "square_deviation is above",
    ),
    "mean outside": (
        archive(float_planes() | {"mean": np.full((2, 2, 1), 2.0)} | tables(), facts(**FLOATS)),
        "mean is outside",
    ),
    "negative running variance": (
        archive(
            planes()
            | {"running_mean": np.zeros((2, 2, 1)), "running_variance": np.full((2, 2, 1), -1.0)}
            | tables(),
            facts(running={"momentum": 0.1, "batch_size": 3}),
        ),
        "running_variance is negative",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_trusted(read, tmp_path, kind):
    """Every damaged, mixed or hostile file is refused in one line with its name and the field."""
    content, words = HOSTILE[kind]
    with pytest.raises(DataError, match=words) as caught:
        read(content)

    assert str(caught.value).startswith(f"{tmp_path}/stats.npz: ")
    assert len(caught.value.lines) == 1
    assert len(str(caught.value)) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["stats.npz"]


@settings(max_examples=300)
@given(changes=lists(tuples(integers(0, len(WHOLE) - 1), integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bytes_change_nothing_that_is_read(tmp_path_factory, changes):
    """Whatever bytes are flipped, the file is refused, or what is read of it is as it was."""
    content = bytearray(WHOLE)
    for place, flip in changes:
        content[place] ^= flip
    path = tmp_path_factory.getbasetemp() / "flipped.npz"
    path.write_bytes(content)
    try:
        found = load_fitted(path)
    except (DataError, LimitError):
        return
    path.write_bytes(WHOLE)
    whole = load_fitted(path)
    assert found.moments == whole.moments
    assert (found.facts, list(found.pictures)) == (whole.facts, list(whole.pictures))


@pytest.mark.parametrize("value", [3, 77, 255])
def test_the_one_possible_sum_is_taken(read, value):
    """Of three equal pictures only the exact sums are possible: one more or less is refused."""
    x = np.full((3, 2, 2, 1), value, np.uint8)
    assert read(archive(planes(x) | tables(), facts())).moments.variance().max() == 0
    for name in ("total", "square_total"):
        for off in (-1, 1, 2):
            changed = {name: (planes(x)[name].astype(int) + off).astype(np.uint32)}
            with pytest.raises(DataError, match=r"its \w*total is"):
                read(archive(planes(x) | changed | tables(), facts()))


def test_facts_are_plain_json(tmp_path, folder):
    """What fit writes describes itself to anybody with NumPy and json."""
    from bncli import fit_folder

    fit_folder(folder, tmp_path / "s.npz", eps=0.5, resize=(6, 4))
    with np.load(tmp_path / "s.npz") as opened:
        found = json.loads(opened["facts"].tobytes())
        names = opened["names"].tobytes().split(b"\0")
        assert opened["total"].shape == (6, 4, 3)

    assert found["format"] == "bncli.stats/1"
    assert (found["count"], found["eps"], found["resize"]) == (5, 0.5, [6, 4])
    assert (found["unit"], found["channel_order"], found["dtype"]) == (255.0, "RGB", "uint8")
    assert sorted(names) == sorted([b"", *(f"p{n}.png".encode() for n in (1, 2, 3, 10, 11))])
