"""Pictures in a store: the same results as from a local folder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from oracle import bncli, tree
from PIL import Image

from bncli import fit_folder, normalize_folder
from bncli.errors import ImageError, MissingExtraError, NoPicturesError, OptionError
from bncli.images.folder import Selection, find_pictures

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def local(tmp_path, rng):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name in ("p2.png", "p10.png", "p1.png", "deep/q.png"):
        Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder


@pytest.fixture
def store(local):
    """The same files in a store, at memory://set."""
    system = fsspec.filesystem("memory")
    for path in local.rglob("*"):
        if path.is_file():
            system.pipe(f"/set/{path.relative_to(local).as_posix()}", path.read_bytes())
    yield system
    system.rm("/set", recursive=True)


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.usefixtures("store")
def test_same_as_local(local, tmp_path, recursive):
    """Names, order, statistics, pictures, what is ignored: every byte."""
    normalize_folder(local, tmp_path / "here", recursive=recursive)
    normalize_folder("memory://set", tmp_path / "there", recursive=recursive)

    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    fit_folder("memory://set/", tmp_path / "stats.npz", recursive=recursive)
    assert (tmp_path / "stats.npz").read_bytes() == (tmp_path / "here/stats.npz").read_bytes()


def test_a_stack_in_a_store(store, local, tmp_path, rng):
    """The frames of one file in a store are those of the same file here."""
    tifffile.imwrite(
        local / "stack.tif", rng.integers(0, 999, (5, 6, 7), np.uint16), photometric="minisblack"
    )
    store.pipe("/set/stack.tif", (local / "stack.tif").read_bytes())
    normalize_folder(local / "stack.tif", tmp_path / "here", frames="all")
    normalize_folder("memory://set/stack.tif", tmp_path / "there", frames="all")

    assert tree(tmp_path / "there") == tree(tmp_path / "here")


@pytest.mark.usefixtures("store")
def test_globs_and_files():
    def names(source):
        return [name for _, name in find_pictures(Selection((source,))).files]

    assert names("memory://set/p1*.png") == ["p1.png", "p10.png"]
    assert names("memory://set/p2.png") == ["p2.png"]


@pytest.mark.usefixtures("store")
def test_nothing_there(tmp_path):
    for source in ("memory://nowhere", "memory://set/none*.png"):
        with pytest.raises(NoPicturesError, match="there is no such file or folder"):
            normalize_folder(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "pictures"]


def test_a_file_that_changes(store, tmp_path, monkeypatch):
    """What was looked at and what is decoded must be one file."""
    from bncli.runs import normalize

    collect = normalize.read_all

    def meddle(*arguments, **options):
        store.pipe("/set/p1.png", store.cat("/set/p2.png"))
        return collect(*arguments, **options)

    monkeypatch.setattr(normalize, "read_all", meddle)
    with pytest.raises(ImageError, match=r"p1\.png: it was changed"):
        normalize_folder("memory://set", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "url", ["http://x/y.png", "zip://a.png::memory://set/a.zip", "simplecache::memory://set",
            "memory://set::x", "file:///etc", "ssh://host/x"],
)  # fmt: skip
def test_what_is_no_plain_store(url, tmp_path):
    """Other protocols, and chains of them, are never opened."""
    with pytest.raises((OptionError, NoPicturesError)):
        normalize_folder(url, tmp_path / "out")


def test_results_stay_local(local, tmp_path):
    run = bncli("normalize", local, "-o", "s3://bucket/out", cwd=tmp_path)

    assert (run.code, run.out) == (2, "")
    assert "results go to a local folder" in run.err
    assert not (tmp_path / "s3:").exists()


def test_a_store_that_cannot_be_reached(tmp_path, monkeypatch):
    """Whatever a store raises is one line that names the source."""
    system = fsspec.filesystem("memory")

    def fail(*_):
        raise RuntimeError("no\ncredentials")

    monkeypatch.setattr(type(system), "isdir", fail)
    with pytest.raises(ImageError, match="memory://set: it cannot be reached: no credentials"):
        normalize_folder("memory://set", tmp_path / "out")


def test_without_what_the_store_needs(tmp_path, monkeypatch):
    """A missing package is named, exit code 2."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bncli\[dask\]'"):
        normalize_folder("s3://bucket/x", tmp_path / "out")


def test_local_runs_do_not_load_it(local, tmp_path):
    code = "import sys; from bncli import normalize_folder as n; n(*sys.argv[1:]); "
    code += "assert 'fsspec' not in sys.modules"
    words = [sys.executable, "-c", code, local, tmp_path / "out"]
    assert subprocess.run(words, check=False).returncode == 0
