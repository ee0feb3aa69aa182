"""A run leaves everything or nothing, and what it replaces it was asked to replace."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from oracle import tree

from bncli.errors import OutputError
from bncli.storage.output import RunFolder

NAMES = ["a.png", "sub/b.png", "gamma.npy"]


def run(out, *, overwrite=False, content=b"new", names=NAMES):
    with RunFolder(out, names, overwrite=overwrite) as folder:
        for name in names:
            folder.write(name, content)
        folder.commit({"status": "ok"})
    return folder


def broken_off(out, error, *, overwrite=False):
    with RunFolder(out, NAMES, overwrite=overwrite) as folder:
        folder.write("sub/b.png", b"new")
        raise error


def open_files():
    table = Path("/proc/self/fd")
    return len(list(table.iterdir())) if table.is_dir() else 0


def test_a_committed_run_is_whole(tmp_path):
    """After the commit every file is at its place, and nothing else."""
    run(tmp_path / "out")

    found = tree(tmp_path / "out")
    assert json.loads(found.pop("summary.json")) == {"status": "ok"}
    assert found == dict.fromkeys(NAMES, b"new")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.png", "gamma.npy", "sub", "summary.json",
    ]  # fmt: skip


def test_digests_are_those_of_the_files(tmp_path):
    """What the run says of a file's bytes is true, of arrays filled piece by piece too."""
    with RunFolder(tmp_path / "out", ["a.png", "g.npy"], overwrite=False) as folder:
        assert folder.write("a.png", b"x") == hashlib.sha256(b"x").hexdigest()
        with folder.array("g.npy", (4, 3), np.float32) as array:
            for index in (2, 0, 3, 1):
                array.write(index, np.ones(3) if index < 2 else np.arange(3))
        assert folder.array_names() == ["g.npy"]
        digest = folder.digest("g.npy")
        folder.commit({})

    content = (tmp_path / "out" / "g.npy").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    expected = np.stack([np.ones(3)] * 2 + [np.arange(3.0)] * 2)
    assert np.array_equal(np.load(tmp_path / "out" / "g.npy"), expected)
    assert np.load(tmp_path / "out" / "g.npy").dtype == np.float32


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing(tmp_path, error):
    """Whatever ends the block early, folders that the run made are gone again."""
    with pytest.raises(error):
        broken_off(tmp_path / "deep" / "er" / "out", error)

    assert list(tmp_path.iterdir()) == []


def test_leaving_without_commit_leaves_nothing(tmp_path):
    """A block that ends well but commits nothing leaves nothing either."""
    with RunFolder(tmp_path / "out", NAMES, overwrite=False) as folder:
        folder.write("a.png", b"x")

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_before_the_commit(tmp_path):
    """Until the commit no name that the run promises exists."""
    with RunFolder(tmp_path / "out", NAMES, overwrite=False) as folder:
        folder.write("a.png", b"x")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".bncli-run"]


def test_a_failed_run_leaves_what_was_there(tmp_path):
    """With --overwrite too, the old files are untouched until the commit."""
    run(tmp_path / "out", content=b"old")
    before = tree(tmp_path / "out")

    with pytest.raises(ZeroDivisionError):
        broken_off(tmp_path / "out", ZeroDivisionError, overwrite=True)

    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("name", [*NAMES, "summary.json"])
def test_nothing_is_replaced_unasked(tmp_path, name):
    """A file of any name the run will write stops it before anything is made."""
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / name).write_bytes(b"mine")

    with pytest.raises(OutputError, match=r"it exists; choose another folder or --overwrite"):
        run(tmp_path / "out")

    assert tree(tmp_path / "out") == {name: b"mine"}


def test_a_file_that_appears_during_the_run_is_not_replaced(tmp_path):
    """What somebody else puts at a name while the run works stays, and the run leaves nothing."""
    out = tmp_path / "out"
    with RunFolder(out, ["a.png"], overwrite=False) as folder:
        folder.write("a.png", b"new")
        (out / "a.png").write_bytes(b"theirs")
        with pytest.raises(OutputError, match="it exists"):
            folder.commit({})

    assert tree(out) == {"a.png": b"theirs"}


def test_overwrite_replaces_its_own_and_no_more(tmp_path):
    """With --overwrite the run's files are replaced; foreign files stay."""
    run(tmp_path / "out", content=b"old")
    (tmp_path / "out" / "note.txt").write_bytes(b"mine")

    run(tmp_path / "out", overwrite=True)

    found = tree(tmp_path / "out")
    assert found["note.txt"] == b"mine"
    assert all(found[name] == b"new" for name in NAMES)


def test_foreign_files_are_no_hindrance(tmp_path):
    """Without --overwrite too, files of other names stay and do not matter."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_bytes(b"mine")

    run(tmp_path / "out")

    assert tree(tmp_path / "out")["note.txt"] == b"mine"


def test_a_folder_at_the_name_of_a_file(tmp_path):
    """A folder where a file should be is never removed."""
    (tmp_path / "out" / "a.png").mkdir(parents=True)

    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"a\.png"):
            run(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "a.png").is_dir()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_at_the_name_of_a_folder(tmp_path, overwrite):
    """A file where a folder should be is found before anything is written."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_bytes(b"mine")

    with pytest.raises(OutputError, match=r"sub: it is a link or a file, not a folder"):
        run(tmp_path / "out", overwrite=overwrite)

    assert tree(tmp_path / "out") == {"sub": b"mine"}


@pytest.mark.parametrize("place", ["out", "out/in"])
def test_a_file_at_the_name_of_the_output(tmp_path, place):
    """An output folder that is a file, or lies in one, is refused as that."""
    (tmp_path / "out").write_bytes(b"mine")

    with pytest.raises(OutputError, match=r"out: it exists and is not a folder"):
        run(tmp_path / place)


def test_one_run_at_a_time(tmp_path):
    """A second run into the same folder is refused and harms the first one in nothing."""
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    with RunFolder(out, ["a.png"], overwrite=False) as first:
        first.write("a.png", b"x")
        with (
            pytest.raises(OutputError, match="another bncli is writing here"),
            RunFolder(out, ["b.png"], overwrite=False),
        ):
            pytest.fail("two at a time")
        first.commit({})

    assert set(tree(out)) == {"a.png", "summary.json"}


def test_the_lock_ends_with_the_run(tmp_path):
    """A folder can be used again at once, after a failure too, and no descriptor is left open."""
    before = open_files()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            broken_off(tmp_path / "out", ZeroDivisionError)
    run(tmp_path / "out")

    assert open_files() <= before


def test_what_a_killed_run_left_is_swept(tmp_path):
    """The staging folder of a run that was killed does not hinder the next one, and goes."""
    (tmp_path / "out" / ".bncli-run" / "sub").mkdir(parents=True)
    (tmp_path / "out" / ".bncli-run" / "sub" / "b.png").write_bytes(b"half")
    with pytest.raises(OutputError, match="not bncli's"):
        run(tmp_path / "out")  # a folder of that name that somebody else made
    (tmp_path / "out" / ".bncli-run" / "journal").touch()

    run(tmp_path / "out")

    assert set(tree(tmp_path / "out")) == {*NAMES, "summary.json"}
    assert tree(tmp_path / "out")["sub/b.png"] == b"new"


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_have_the_modes_the_user_set(tmp_path, mask):
    """Outputs are as readable as the umask says, neither more nor less."""
    before = os.umask(mask)
    try:
        run(tmp_path / "out")
    finally:
        os.umask(before)

    for name in [*NAMES, "summary.json"]:
        mode = stat.S_IMODE((tmp_path / "out" / name).stat().st_mode)
        assert mode == 0o666 & ~mask


def test_summary_refuses_what_is_no_json(tmp_path):
    """NaN is no JSON: a summary with it is a bug, and leaves nothing."""
    with (
        pytest.raises(ValueError, match="JSON"),
        RunFolder(tmp_path / "out", [], overwrite=False) as folder,
    ):
        folder.commit({"mean": float("nan")})

    assert not (tmp_path / "out").exists()


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Files and journal are flushed before any file is placed, and all names before the summary."""
    events = []
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace
    opened = {}

    def note_open(path, *rest, **options):
        descriptor = real_open(path, *rest, **options)
        opened[descriptor] = Path(os.fsdecode(path)).name
        return descriptor

    def note_sync(descriptor):
        events.append(("flush", opened[descriptor]))
        real_sync(descriptor)

    def note_replace(source, target):
        if ".bncli-run" not in Path(target).parts:
            events.append(("rename", Path(target).name))
        real_replace(source, target)

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    run(tmp_path / "out")

    files = ["a.png", "b.png", "gamma.npy"]
    first, last = events.index(("rename", "a.png")), events.index(("rename", "summary.json"))
    assert events[first : first + 3] == [("rename", name) for name in files]
    assert {name for _, name in events[:first]} == {
        *files, "summary.json", "journal", ".bncli-run", "out", tmp_path.name,
    }  # fmt: skip
    assert set(events[first + 3 : last]) == {("flush", "out"), ("flush", "sub")}
    assert events[last + 1 :] == [("flush", "out")]
