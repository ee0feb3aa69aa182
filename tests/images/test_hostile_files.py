"""Things in a folder that are called pictures and are none: nothing blocks, everything is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bncli.errors import DataError, ImageError
from bncli.files import open_regular


@pytest.fixture
def thing(tmp_path):
    """Put something that is no regular file at x.png."""

    def put(kind):
        path = tmp_path / "x.png"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.path.relpath(path))
        else:
            path.symlink_to(
                {"dangling": tmp_path / "nowhere", "loop": path, "device": "/dev/zero"}[kind]
            )
        return path

    return put


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "dangling", "loop", "device"])
def test_only_regular_files_are_opened(thing, gather, kind, monkeypatch, tmp_path):
    """A pipe, folder, socket, device or broken link is refused by name at once."""
    monkeypatch.chdir(tmp_path)
    path = thing(kind)

    with pytest.raises(ImageError, match=r"^x\.png: it (cannot be opened|is not a regular file)"):
        gather([path])
    with pytest.raises(DataError), open_regular(path):
        pass


def test_descriptors_are_given_back(thing, gather, write):
    """Refusing files leaves no file open."""
    path = thing("pipe")
    broken = write(b"\x89PNG\r\n\x1a\n", "broken.png")
    table = Path("/proc/self/fd")
    if not table.is_dir():
        pytest.skip("needs /proc")
    before = len(list(table.iterdir()))

    for _ in range(30):
        with pytest.raises(ImageError):
            gather([path, broken])

    assert len(list(table.iterdir())) <= before


def test_unreadable_file_is_named(write, gather, monkeypatch):
    """A file without permission is refused with the system's reason."""
    path = write(b"", "a.png")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)

    with pytest.raises(ImageError, match=r"^a\.png: it cannot be opened: Permission denied"):
        gather([path])


def test_state_tells_of_change(write):
    """Size, time and identity of an opened file are what the system says."""
    path = write(b"12345", "a.bin")
    with open_regular(path) as (file, state):
        assert file.read() == b"12345"
        assert file.name == str(path)  # tifffile asks for it
    status = path.stat()
    assert (state.size, state.modified_ns, state.inode) == (5, status.st_mtime_ns, status.st_ino)


def test_a_disk_that_fails_while_reading(write, gather, monkeypatch):
    """An input error in the middle of a file is a fault of that file, not a bug."""
    from images.handmade import png

    from bncli.images import decode

    images = gather([write(png([[1, 2], [3, 4]], "grey", 8))])

    class Failing:
        def read(self):
            raise OSError(5, "Input/output error")

    class Same:
        def packed(self):
            return images.headers[0].state

    class Opened:
        def __enter__(self):
            return Failing(), Same()

        def __exit__(self, *_):
            return False

    monkeypatch.setattr(decode, "open_file", lambda _: Opened())
    with pytest.raises(ImageError, match="Input/output error"):
        images.picture(0).read()
