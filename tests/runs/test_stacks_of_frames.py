"""One file of many frames is a batch like the same frames as files."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import tifffile
from images.stacks import imagej, one_directory, ramp
from oracle import bncli, tree

from bncli import fit_folder, normalize_folder
from bncli.errors import LimitError

FRAMES = ramp((30, 9, 14))


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    return path


@pytest.fixture
def single(tmp_path):
    path = tmp_path / "single.tif"
    path.write_bytes(one_directory(FRAMES, imagej(len(FRAMES))))
    return path


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for index, frame in enumerate(FRAMES):
        tifffile.imwrite(folder / f"{index}.tif", frame)
    return folder


def pictures(folder):
    """The bytes of all pictures, in natural order of their numbers."""
    numbered = {int(path.stem.rpartition("-")[2]): path for path in folder.glob("*.png")}
    return [numbered[number].read_bytes() for number in sorted(numbered)]


@pytest.mark.parametrize("form", ["stack", "single"])
def test_frames_are_like_files(request, files, tmp_path, form):
    """The pictures of a stack have the bytes of those of files; each is told by the one file."""
    path = request.getfixturevalue(form)
    normalize_folder(files, tmp_path / "apart")
    summary = normalize_folder(path, tmp_path / "out", frames="all")

    assert pictures(tmp_path / "out") == pictures(tmp_path / "apart")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert {output.source_sha256 for output in summary.outputs} == {digest}
    assert [output.source for output in summary.outputs][:2] == [f"{form}.tif#0", f"{form}.tif#1"]


@pytest.mark.parametrize("engine", ["processes", "dask"])
@pytest.mark.parametrize("form", ["stack", "single"])
def test_engines(request, tmp_path, form, engine):
    """Other processes read the frames of one file to the same bytes."""
    if engine == "dask":
        pytest.importorskip("distributed")
    path = request.getfixturevalue(form)
    normalize_folder(path, tmp_path / "here", frames="all")
    normalize_folder(path, tmp_path / "there", frames="all", engine=engine, jobs=2)

    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_shards_are_of_files(stack, tmp_path):
    """A fit of the frames of one file is a fit of all of them."""
    report = fit_folder(stack, tmp_path / "s.npz", frames="all").report

    assert report.facts.count == 30
    assert report.channels[0].mean * 65535 == pytest.approx(FRAMES.mean())


def test_memory_is_planned_for_pages(tmp_path):
    """A file far larger than the memory allowed is read page by page; its one page is not."""
    frames = np.zeros((150, 512, 512), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 150
    limit = 100 << 20  # of which the program takes 76
    assert (tmp_path / "a.tif").stat().st_size > 75e6
    summary = fit_folder(
        tmp_path / "a.tif", tmp_path / "s.npz", frames="all", max_memory=limit, jobs=1
    )
    assert summary.report.facts.count == 150
    tifffile.imwrite(tmp_path / "b.tif", frames.reshape(1, -1, 512), photometric="minisblack")
    with pytest.raises(LimitError, match="memory"):
        fit_folder(tmp_path / "b.tif", tmp_path / "t.npz", max_memory=limit, jobs=1)


def test_what_is_left_out_is_told(tmp_path):
    """Masks and overviews are told in a warning, with -q too, and in JSON."""
    for index in range(2):
        with tifffile.TiffWriter(tmp_path / f"{index}.tif") as tiff:
            tiff.write(FRAMES[index], metadata=None)
            tiff.write(np.ones((9, 14), bool), photometric="mask", subfiletype=4, metadata=None)
            tiff.write(FRAMES[index][::2, ::2].copy(), subfiletype=1, metadata=None)
    sources = [tmp_path / "0.tif", tmp_path / "1.tif"]
    line = "Warning: 0.tif and 1 more: 4 pages are left out: masks or overviews are no frames\n"

    run = bncli("normalize", *sources, "-o", tmp_path / "out", "-q", "--json")
    assert (run.code, run.err) == (0, line)
    assert run.document["images"]["left_out_pages"] == 4
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["images"]["count"] == 2
    run = bncli("fit", *sources, "-o", tmp_path / "s.npz", "-q", "--json")
    assert (run.code, run.err) == (0, line)
    assert run.document["left_out_pages"] == 4
