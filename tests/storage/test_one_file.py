"""One file of results is whole or absent, and takes no other's place unasked."""

from __future__ import annotations

import hashlib
import os

import pytest

from bncli.errors import OutputError
from bncli.storage import one_file
from bncli.storage.one_file import write_file

HIDDEN = ".a.npz.bncli-part"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def put(path, content=b"content", *, overwrite=False):
    return write_file(path, lambda file: file.write(content), overwrite=overwrite)


def test_it_is_written(path):
    """The file has its bytes, their digest is told, and nothing lies beside it."""
    assert put(path) == hashlib.sha256(b"content").hexdigest()
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["a.npz"]  # noqa: PTH208 - hidden ones too


def test_it_is_replaced_only_on_request(path):
    """Without overwrite an existing file stays; with it, it is replaced whole."""
    put(path)
    with pytest.raises(OutputError, match="--overwrite"):
        put(path, b"other")
    assert path.read_bytes() == b"content"
    put(path, b"o", overwrite=True)
    assert path.read_bytes() == b"o"


def test_a_name_taken_meanwhile(path):
    """A file that came to be while ours was written is not replaced."""

    def writer(file):
        file.write(b"ours")
        path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="it exists"):
        write_file(path, writer, overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert os.listdir(path.parent) == ["a.npz"]  # noqa: PTH208 - hidden ones too


def test_a_writer_that_fails(path):
    """What was there stays as it was, and no half file is left."""
    put(path)

    def writer(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, writer, overwrite=True)
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["a.npz"]  # noqa: PTH208 - hidden ones too


def test_what_a_killed_process_left_is_written_over(path):
    """A hidden file of an earlier process is no obstacle, longer or not."""
    (path.parent / HIDDEN).write_bytes(b"a much longer half of a file")
    put(path)
    assert path.read_bytes() == b"content"


def test_two_at_once(path):
    """Whoever comes second is told to wait."""

    def writer(file):
        file.write(b"first")
        with pytest.raises(OutputError, match="another bncli is writing it"):
            put(path, b"second")

    write_file(path, writer, overwrite=False)
    assert path.read_bytes() == b"first"


def test_a_hidden_link_is_not_followed(path, tmp_path):
    """A link under the hidden name cannot lead the bytes elsewhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / HIDDEN).symlink_to(victim)
    with pytest.raises(OutputError):
        put(path)
    assert victim.read_bytes() == b"precious"


def test_file_systems_without_links(path, monkeypatch):
    """Where no hard link can be made the file is renamed, and still replaces nothing."""

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(one_file.os, "link", refuse)
    put(path)
    assert path.read_bytes() == b"content"
    path.unlink()

    def writer(file):
        file.write(b"ours")
        path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="it exists"):
        write_file(path, writer, overwrite=False)
    assert path.read_bytes() == b"theirs"


def test_places_that_cannot_be(path, tmp_path):
    """A folder that is not there, a folder in its place: refused before anything is written."""
    for wrong in (tmp_path / "no" / "a.npz", tmp_path):
        with pytest.raises(OutputError):
            put(wrong, overwrite=True)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - hidden ones too
