"""Which way out is told where a run cannot go on, and what is refused before anything moves."""

from __future__ import annotations

import errno
import hashlib
import json
import os

import pytest

from bncli.errors import ArrayError, OutputError
from bncli.storage import earlier
from bncli.storage.disk import digest_of
from bncli.storage.earlier import Hold
from bncli.storage.journal import Inputs, read_journal
from bncli.storage.output import RunFolder
from bncli.storage.staging import SharedStaging, Staging
from bncli.storage.summary_file import find_summary, read_summary
from bncli.storage.whole_file import write_whole

INPUT = Inputs(["a.jpg"], [bytes(32)])
OTHER = Inputs(["a.jpg"], [bytes([1] * 32)])


def opened(out, *, eps=1, overwrite=False, resume=True):
    folder = RunFolder(out, ["a.png"], overwrite=overwrite, resume=resume, key={"eps": eps})
    return folder.begin(INPUT)


def write(folder):
    with folder:
        folder.write("a.png", b"first")
        entry = {"source": "a.jpg", "source_sha256": "00" * 32, "path": "a.png"}
        entry["sha256"] = folder.digest("a.png")
        folder.commit({"outputs": [entry], "arrays": [], "run": folder.key})


def test_a_whole_run_of_another_key_may_be_replaced(tmp_path):
    """By --overwrite, which is told; to leave --resume out would not be enough."""
    write(opened(tmp_path / "out"))
    with pytest.raises(OutputError, match=r"; choose another folder or --overwrite$"):
        opened(tmp_path / "out", eps=2).__enter__()


def test_a_run_that_was_broken_off_is_begun_anew_without_resume(tmp_path):
    """Its files are at no place yet."""
    with opened(tmp_path / "out") as folder:
        folder.write("a.png", b"first")
    with pytest.raises(OutputError, match=r"; leave --resume out to begin anew$"):
        opened(tmp_path / "out", eps=2).__enter__()


def test_other_inputs_are_refused_unless_they_may_be_replaced(tmp_path):
    """A whole run of other inputs is not gone on with; --overwrite replaces it."""
    write(opened(tmp_path / "out"))
    with opened(tmp_path / "out") as folder:
        folder.check_inputs(INPUT)
        with pytest.raises(OutputError, match=r"input changed: a\.jpg"):
            folder.check_inputs(OTHER)
    with opened(tmp_path / "out", overwrite=True) as folder:
        folder.check_inputs(OTHER)


def test_files_that_came_meanwhile_are_seen_before_anything_is_moved(tmp_path, monkeypatch):
    """Not when some files are at their places already."""
    monkeypatch.setattr(Hold, "commit", lambda *_: pytest.fail("it has begun"))
    out = tmp_path / "out"
    with opened(out, resume=False) as folder:
        folder.write("a.png", b"first")
        (out / "a.png").write_bytes(b"somebody's")
        words = r"out/a\.png: it exists; choose another folder or --overwrite$"
        with pytest.raises(OutputError, match=words):
            folder.commit({"outputs": []})
    assert (out / "a.png").read_bytes() == b"somebody's"


def test_how_many_files_are_there_already_is_told(tmp_path):
    """The first by its name."""
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    with pytest.raises(OutputError, match=r"a\.png and 2 more: it exists") as caught:
        RunFolder(tmp_path, ["a.png", "b.png", "c.png", "d.png"], overwrite=False)
    assert caught.value.paths == tuple(str(tmp_path / f"{name}.png") for name in "abc")


def test_a_journal_of_another_form_is_not_gone_on_with(tmp_path):
    """Of this form it is, by whichever version of bncli it was written."""
    for form, key in ((1, {"eps": 1}), (2, None)):
        path = tmp_path / f"journal-{form}"
        path.write_text(json.dumps({"bncli": form, "key": {"eps": 1}}) + "\n")
        assert read_journal(path, lambda _: True).key == key


def test_what_is_flushed_is_whole(tmp_path, monkeypatch):
    """All bytes have left the process when the system is asked to keep them."""
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda file: sizes.append(os.fstat(file).st_size))
    write_whole(tmp_path / "a.bin", b"x" * 100, overwrite=False)
    assert sizes[0] == 100


def test_only_files_have_a_digest(tmp_path):
    """Links are not followed, and a pipe is not waited for."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert digest_of(tmp_path / "file") == hashlib.sha256(b"x").digest()
    assert digest_of(tmp_path / "link") is None
    assert digest_of(tmp_path) is None


def test_json_that_may_not_be_there(tmp_path):
    """The document; None of what is no JSON, and of what is not there."""
    path = tmp_path / "x.json"
    assert find_summary(path, pytest.fail) is None
    path.write_text(json.dumps({"a": [1]}))
    assert find_summary(path, pytest.fail) == {"a": [1]}
    path.write_text("{")
    assert find_summary(path, pytest.fail) is None


def test_a_summary_says_what_the_files_of_a_run_are(tmp_path):
    """Written by hand, as the documented schema has it."""
    path = tmp_path / "summary.json"
    document = {
        "schema": "bncli.normalize/1",
        "scale": {"kind": "minmax", "low": -1, "high": 2.5},
        "clipped_values": 3,
        "arrays": [{"path": "stats.npz", "sha256": "ab" * 32}],
        "outputs": [{"source": "sub/a.png"}, {"source": "b.png"}],
    }
    path.write_text(json.dumps(document))
    found = read_summary(path, 2)
    assert (found.scale, found.low, found.high, found.clipped) == ("minmax", -1.0, 2.5, 3)
    assert found.statistics_sha256 == "ab" * 32
    assert list(found.sources) == ["sub/a.png", "b.png"]
    assert len(read_summary(path, 0).sources) == 1
    for change in ({"schema": "other/1"}, {"outputs": [{"source": "../a"}]}, {"outputs": None}):
        path.write_text(json.dumps(document | change))
        with pytest.raises(ArrayError):
            read_summary(path, 2)


def test_a_worker_that_was_left_behind_writes_nothing(tmp_path):
    """Into the folder of a later run it does not: that has another mark."""
    staging = Staging(tmp_path / ".bncli-run")
    staging.path.mkdir()
    staging.make([])
    shared = SharedStaging.open(staging)
    shared.write("a.png", b"first")
    shared.mark.unlink()
    with pytest.raises(OutputError, match="the run has ended"):
        shared.write("b.png", b"second")
    assert [path.name for path in staging.new("x").parent.iterdir()] == ["a.png"]


def test_what_kept_a_run_from_its_folder_is_told_to_all(tmp_path, monkeypatch):
    """Other threads that write meet the first failure, not what came of it."""
    failures = [OSError(errno.ENOSPC, "full")]
    real = earlier.Journal

    def journal(path):
        if failures:
            raise failures.pop()
        return real(path)

    monkeypatch.setattr(earlier, "Journal", journal)
    with opened(tmp_path / "out") as folder:
        for name in ("a.png", "b.png"):
            with pytest.raises(OutputError, match="free some space"):
                folder.write(name, b"x")
