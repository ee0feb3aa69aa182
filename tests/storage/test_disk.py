"""The disk: what is free is known, and what cannot fit is refused before anything is written."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from bncli.errors import OutputError
from bncli.storage.disk import check_room, free_bytes


def test_free_bytes_are_those_of_the_system(tmp_path):
    """The folder need not exist: what counts is where it would be made."""
    status = os.statvfs(tmp_path)
    free = free_bytes(tmp_path / "new" / "out")
    assert free == pytest.approx(status.f_bavail * status.f_frsize, rel=0.1)


def test_a_system_that_does_not_say(tmp_path, monkeypatch):
    """Where the free space is not told nothing is refused."""

    def refuse(_):
        raise OSError

    monkeypatch.setattr(os, "statvfs", refuse)
    assert free_bytes(tmp_path) is None
    check_room(tmp_path, 1 << 80)


def test_room_to_the_byte(tmp_path, monkeypatch):
    """As much as is free fits; one byte more is refused, with both numbers and the way out."""
    status = SimpleNamespace(f_bavail=1500, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    check_room(tmp_path / "out", 1500 * 4096)
    with pytest.raises(
        OutputError, match="at least 6 MB of disk, but 6 MB are free; free some"
    ) as e:
        check_room(tmp_path / "out", 1500 * 4096 + 1)
    assert e.value.paths == (str(tmp_path / "out"),)
