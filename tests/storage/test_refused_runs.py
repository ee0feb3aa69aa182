"""Which way out is told where a run cannot go on, and what is refused before anything moves."""

from __future__ import annotations

import json

import pytest

from bncli.errors import OutputError
from bncli.storage.earlier import Hold
from bncli.storage.journal import Inputs
from bncli.storage.output import RunFolder
from bncli.storage.summary_file import find_summary

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
        with pytest.raises(OutputError, match="it exists"):
            folder.commit({"outputs": []})
    assert (out / "a.png").read_bytes() == b"somebody's"


def test_json_that_may_not_be_there(tmp_path):
    """The document; None of what is no JSON, and of what is not there."""
    path = tmp_path / "x.json"
    assert find_summary(path) is None
    path.write_text(json.dumps({"a": [1]}))
    assert find_summary(path) == {"a": [1]}
    path.write_text("{")
    assert find_summary(path) is None
