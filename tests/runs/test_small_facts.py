"""What runs say and keep in passing: notes, doubts, codes, and what is listed only in part."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from bncli import normalize_folder
from bncli.checking.question import Request
from bncli.errors import DataError, OptionError, SinglePictureError
from bncli.images.batch import Fault
from bncli.images.decode import Decoded
from bncli.runs.check import Check, run_check
from bncli.runs.installation import Installation, Package, _package_problem
from bncli.runs.invert import _with_format
from bncli.runs.merge import check_no_doubles
from bncli.runs.reading import KeptPictures, Sums
from bncli.runs.run import Run
from bncli.runs.summary import InvertSummary, Restored
from bncli.storage.statistics import Pictures


def test_notes_need_nobody_who_listens(tmp_path, rng):
    """A page that is left out is no reason to fail where nobody wants to be warned."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        picture = rng.integers(0, 256, (5, 4), dtype=np.uint8)
        with tifffile.TiffWriter(source / f"{name}.tif") as writer:
            writer.write(picture, photometric="minisblack")
            writer.write(picture[:2, :2], photometric="minisblack", subfiletype=1)
    assert normalize_folder(source, tmp_path / "out").count == 2
    warned, told = [], []
    normalize_folder(source, tmp_path / "more", warn=warned.append, tell=told.append)
    assert ["2 pages are left out" in line for line in warned] == [True]
    assert told


@pytest.mark.parametrize("count", [1, 20, 21, 23])
def test_of_many_doubles_twenty_are_listed(count):
    """And how many more there are; all paths are told to programs."""
    names, digests = [f"{n}.png" for n in range(count)], [n.to_bytes(32) for n in range(count)]
    pictures = Pictures(names, digests)
    with pytest.raises(DataError) as caught:
        check_no_doubles([("a.npz", pictures), ("b.npz", pictures)])
    more = [f"and {count - 20} more pictures"] if count > 20 else []
    assert caught.value.lines[20:] == type(caught.value.lines)(more)
    assert len(caught.value.lines) == min(count, 20) + len(more)
    assert len(caught.value.paths) == count


@pytest.mark.parametrize(("dtype", "told"), [("float32", "0.123"), ("uint16", "0.123457")])
def test_by_how_much_values_are_off(dtype, told):
    """Three digits of a floating-point error do, which is an estimate."""
    restored = Restored(inexact=2, largest_error=0.1234567)
    run = SimpleNamespace(restored=restored, count=3, shape=(5, 4, 1), dtype=dtype)
    assert InvertSummary.doubts(run) == [f"2 of 60 values can be off by up to {told}"]


def test_doctor_fails_by_what_is_broken():
    """With the code of wrong usage, as everything that the user can mend."""
    facts = ("1", "3.12", "Linux", (), {}, 1, {}, 1 << 30)
    assert Installation(*facts).exit_code == 0
    assert Installation(*facts, problems=["numpy is missing"]).exit_code == 2


def test_pictures_are_kept_where_they_are_to_be():
    """The very ones that were summed up, in order."""
    taken = []
    moments = SimpleNamespace(add=lambda rows: taken.append(len(rows)))
    alpha = [None, np.ones(3), None]
    pictures = [Decoded(np.full(3, n), alpha[n], None, f"{n:064}") for n in range(3)]
    kept = KeptPictures(np.empty((4, 3)), [bytes.fromhex(each.digest) for each in pictures])
    sums = Sums(moments, 2, kept=kept)
    assert [sums.take(picture) for picture in pictures] == [each.digest for each in pictures]
    sums.whole()
    assert [each.values.tolist() for each in kept] == [[n] * 3 for n in range(3)]
    assert [each.digest for each in kept] == [each.digest for each in pictures]
    assert [each.alpha is alpha[n] for n, each in enumerate(kept)] == [True] * 3
    assert taken == [2, 1]


def test_an_array_is_restored_by_one_writer():
    """Where the format is found from the statistics, no less than where it was asked for."""

    def refuse(option, reason):
        raise OptionError(f"{option}: {reason}")

    asked = SimpleNamespace(format="auto", engine=SimpleNamespace(must_be_local=refuse))
    facts = SimpleNamespace(dtype="float64", channel_order="as given")
    with pytest.raises(OptionError, match="--format npy: one array has one writer"):
        _with_format(asked, facts)


def test_pictures_that_a_check_left_out_are_told():
    """As its last note; nothing is said where none were."""
    request = Request(shape=(3, 2, 1, 1))
    few = run_check(Check(None, request, left_out="2 of 5"), timeout=9, maps=False, progress=None)
    all_of_them = run_check(Check(None, request), timeout=9, maps=False, progress=None)
    assert few.notes == (*all_of_them.notes, "2 of 5")


@pytest.mark.parametrize("count", [0, 3, 30])
def test_a_picture_that_is_alone_is_refused_with_the_faults_of_others(count):
    """Of many faults so many are listed as anywhere; the picture is named last."""
    faults = [Fault(f"{n}.png", "it is damaged") for n in range(count)]
    run = SimpleNamespace(source=SimpleNamespace(faults=faults, names=["a.png"]))
    with pytest.raises(SinglePictureError) as caught:
        Run.check_several(run, [0])
    assert len(caught.value.lines) == min(count, 20) + 1
    assert caught.value.lines[-1].startswith("a.png: it is the only picture")
    Run.check_several(run, [0, 1])


def test_an_array_has_no_transparency(tmp_path, rng):
    """None of its pictures is counted as one that has."""
    np.save(tmp_path / "batch.npy", rng.random((3, 4, 5, 2)))
    summary = normalize_folder(tmp_path / "batch.npy", tmp_path / "out")
    assert (summary.count, summary.with_alpha, summary.left_out_pages) == (3, 0, 0)


def test_a_format_that_cannot_hold_the_pictures_is_refused_before_they_are_written(tmp_path, rng):
    """Also by a dry run."""
    np.save(tmp_path / "batch.npy", rng.random((3, 4, 5, 7)))
    with pytest.raises(OptionError, match="7 channels"):
        normalize_folder(tmp_path / "batch.npy", tmp_path / "out", format="png", dry_run=True)


@pytest.mark.parametrize(("found", "usable"), [(None, False), ("1.26.4", False), ("2.0", True)])
def test_packages_are_told_with_whether_they_do(found, usable):
    """And what is to be done where they do not."""
    package = Package("numpy", "2.0", found)
    document = Installation(
        "1", "3.12", "Linux", (package,), {"x": (package,)}, 1, {}, 1
    ).document()
    expected = {"name": "numpy", "least": "2.0", "found": found, "usable": usable}
    assert document["packages"] == {"numpy": expected}
    assert document["extras"] == {"x": {"usable": usable, "packages": {"numpy": expected}}}
    if not usable:
        assert re.fullmatch(r"numpy .*: .*pip install .*numpy>=2\.0.*", _package_problem(package))
