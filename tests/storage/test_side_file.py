"""A file outside the output folder: whole or absent, and never over another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bncli.errors import OptionError, OutputError
from bncli.storage.apart import check_file_apart
from bncli.storage.side_file import SideFile


def test_it_appears_whole(tmp_path):
    """Staged bytes have no name; placed they have theirs alone."""
    target = tmp_path / "page.html"
    with SideFile(target) as file:
        file.stage(b"bytes")
        assert not target.exists()
        file.place()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"page.html": b"bytes"}


def test_without_place_nothing_is_left(tmp_path):
    """Neither an error nor a plain end leaves anything."""

    def fail():
        with SideFile(tmp_path / "a") as file:
            file.stage(b"bytes")
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    with SideFile(tmp_path / "b") as file:
        file.stage(b"bytes")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept(tmp_path):
    """The next run of the same name takes the place of what was staged before."""
    SideFile(tmp_path / "a").stage(b"half")
    assert len(list(tmp_path.iterdir())) == 1
    with SideFile(tmp_path / "a") as file:
        file.stage(b"whole")
        file.place()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"whole"}


def test_what_exists_stays(tmp_path):
    """It is refused at the start, and again at the end if it came meanwhile."""
    target = tmp_path / "a"
    with SideFile(target, overwrite=False) as file:
        file.stage(b"new")
        target.write_bytes(b"old")
        with pytest.raises(OutputError, match="it exists; choose another name or --overwrite"):
            file.place()
    with pytest.raises(OutputError, match=r"it exists; choose another name$"):
        SideFile(target)
    assert target.read_bytes() == b"old"

    with SideFile(target, overwrite=True) as file:
        file.stage(b"new")
        file.place()
    assert target.read_bytes() == b"new"


def test_a_link_is_replaced_not_followed(tmp_path):
    """With --overwrite the link goes; what it pointed to stays as it was."""
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "a").symlink_to("precious")
    with SideFile(tmp_path / "a", overwrite=True) as file:
        file.stage(b"new")
        file.place()
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/a.html", "there is no folder"),
        ("file/a.html", "there is no folder"),
        ("folder", "it is a folder"),
        ("x" * 300, "choose shorter names"),
    ],
)
def test_impossible_places(tmp_path, name, reason):
    """A place that cannot be written is found before anything is."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=reason):
        SideFile(tmp_path / name, overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    """It is refused before anything is written."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        SideFile(tmp_path / "a")


def test_apart_from_the_input(tmp_path):
    """Inside a folder that is read, or being a file that is read, by links too: refused."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("in")
    picture = tmp_path / "one.png"
    picture.touch()
    (tmp_path / "alias.png").symlink_to("one.png")
    for bad in ("in/a.png", "in/deep/a.png", "link/a.png", "one.png", "alias.png"):
        with pytest.raises(OptionError):
            check_file_apart(tmp_path / bad, [tmp_path / "in"], [picture])
    check_file_apart(tmp_path / "a.png", [tmp_path / "in"], [picture])
    assert Path(tmp_path / "one.png").exists()
