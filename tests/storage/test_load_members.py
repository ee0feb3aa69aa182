"""A .npz file holds what it must, uncompressed, and nothing else."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, tuples
from storage.npy_files import described, npy, zipped

from bncli.errors import ArrayError, DataError, NonFiniteError, ShapeError
from bncli.storage.members import load_members, write_members

MEAN = np.arange(6.0).reshape(3, 2, 1)
COUNTS = np.array([1, 2, 3], np.uint32)
EXPECTED = {"mean": (3, 2, 1), "counts": (None,)}
MEAN_NPY = npy(described((3, 2, 1)), MEAN.tobytes())
COUNTS_NPY = npy(described((3,), "<u4"), COUNTS.tobytes())
PARTS = [("mean.npy", MEAN_NPY), ("counts.npy", COUNTS_NPY)]


def written(writer, *arguments):
    file = io.BytesIO()
    writer(file, *arguments)
    return file.getvalue()


@pytest.fixture
def load(tmp_path):
    def loaded(content):
        path = tmp_path / "stats.npz"
        path.write_bytes(content)
        return load_members(path, EXPECTED)

    return loaded


def test_round_trip(load):
    """What is written comes back, name by name, and numpy reads it too."""
    content = written(write_members, {"mean": MEAN, "counts": COUNTS})

    members = load(content)

    assert set(members) == {"mean", "counts"}
    assert np.array_equal(members["mean"], MEAN)
    assert np.array_equal(members["counts"], COUNTS)
    with np.load(io.BytesIO(content)) as archive:
        assert np.array_equal(archive["mean"], MEAN)


def test_archives_of_others(load):
    """An archive built by hand, or by numpy.savez, is as good."""
    buffer = io.BytesIO()
    np.savez(buffer, mean=MEAN, counts=COUNTS)

    for content in (zipped(PARTS), buffer.getvalue()):
        assert np.array_equal(load(content)["mean"], MEAN)


def test_the_bytes_do_not_depend_on_the_time(monkeypatch):
    """The same arrays give the same bytes whenever, and on whatever system, they are written."""
    now = written(write_members, {"mean": MEAN})
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")

    assert written(write_members, {"mean": MEAN}) == now


def corrupted(content, place):
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


WHOLE = zipped(PARTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"not a zip file at all", "cannot be read"),
        (WHOLE[:-30], "cannot be read"),
        (WHOLE[: len(WHOLE) // 2], "cannot be read"),
        (corrupted(WHOLE, WHOLE.index(MEAN_NPY) + len(MEAN_NPY) - 3), "cannot be read"),
        (zipped(PARTS[:1]), "holds no counts"),
        (zipped([]), "holds no mean, counts"),
        (zipped([*PARTS, ("more.npy", MEAN_NPY)]), "should not: 'more.npy'"),
        (zipped([*PARTS, ("../../evil.npy", MEAN_NPY)]), r"should not: '../../evil.npy'"),
        (zipped([*PARTS, ("/etc/evil.npy", MEAN_NPY)]), r"should not: '/etc/evil.npy'"),
        (zipped([*PARTS, PARTS[0]]), "a member twice"),
        (zipped([*PARTS, ("mean", MEAN_NPY)]), "a member twice|should not"),
        (zipped([("mean", MEAN_NPY), PARTS[1]]), "holds no mean"),
        (zipped(PARTS, method=8), "compressed"),
        (zipped([("mean.npy", bytes(9_000_000)), PARTS[1]], method=8), "compressed"),
        (zipped(PARTS, method=99), "compressed"),
        (zipped(PARTS, declared=1 << 31), "compressed"),
        (zipped(PARTS, flags=1), "cannot be read"),
        (zipped([("mean.npy", npy(described((1,), "|O"), b"x")), PARTS[1]]), "holds object"),
        (zipped([("mean.npy", b"text"), PARTS[1]]), "no .npy file"),
        (zipped([("mean.npy", MEAN_NPY[:-8]), PARTS[1]]), "truncated"),
    ],
    ids=range(21),
)
def test_what_cannot_be_trusted(load, content, words, tmp_path):
    """Every other archive is refused in a line that names it, and nothing is unpacked to disk."""
    with pytest.raises(ArrayError, match=words) as caught:
        load(content)

    assert str(caught.value).startswith(f"{tmp_path}/stats.npz: ")
    assert [path.name for path in tmp_path.iterdir()] == ["stats.npz"]


def test_a_thousand_members_are_told_briefly(load):
    """However many members there are, the message stays short."""
    content = zipped([*PARTS, *[(f"x{number}.npy", b"") for number in range(1000)]])

    with pytest.raises(ArrayError) as caught:
        load(content)

    assert len(str(caught.value)) < 400


def test_wrong_shape_and_nan_name_the_member(load):
    """A member of another shape, or with NaN in it, is refused like an array file."""
    with pytest.raises(ShapeError, match=r"must be mean = \(3, 2, 1\).*swapped"):
        load(written(write_members, {"mean": MEAN.swapaxes(0, 1), "counts": COUNTS}))
    with pytest.raises(NonFiniteError, match=r"in 6 places, the first at \(0, 0, 0\)"):
        load(written(write_members, {"mean": MEAN * np.nan, "counts": COUNTS}))


@given(changes=lists(tuples(integers(0, len(WHOLE) - 1), integers(0, 255)), min_size=1, max_size=4))
def test_mutated_archives_load_or_are_refused(tmp_path_factory, changes):
    """Whatever bytes are changed, an archive loads or is bad data: never another error."""
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    path.write_bytes(content)
    try:
        members = load_members(path, EXPECTED)
    except DataError:
        return
    assert members["mean"].shape == (3, 2, 1)
