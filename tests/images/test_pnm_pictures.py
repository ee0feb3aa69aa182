"""PNM files: one picture is read, and of several none is lost in silence."""

from __future__ import annotations

import numpy as np
import pytest

from bncli.errors import ImageError
from bncli.images.header import read_headers
from bncli.images.policy import ReadPolicy

ONE = {
    "P4": b"P4\n9 3\n" + bytes(range(6)),
    "P5": b"P5\n5 3\n255\n" + bytes(range(15)),
    "P6": b"P6\n5 3\n255\n" + bytes(range(45)),
    "wide": b"P5\n5 3\n65535\n" + np.arange(15, dtype=">u2").tobytes(),
}


@pytest.mark.parametrize("kind", ONE)
def test_a_second_picture_is_not_lost_in_silence(kind, tmp_path):
    """Two one after the other are legal, and refused; the first alone where that is chosen."""
    path = tmp_path / "a.pnm"
    path.write_bytes(ONE[kind] + b"\n" + ONE[kind])

    with pytest.raises(ImageError, match="more than one picture stands in it"):
        read_headers(path, "a.pnm", ReadPolicy())
    assert len(read_headers(path, "a.pnm", ReadPolicy(frames="first"))) == 1


@pytest.mark.parametrize("kind", ONE)
@pytest.mark.parametrize("tail", [b"", b"\n", b"P", b"more"])
def test_what_is_no_picture_does_not_matter(kind, tail, tmp_path):
    """A line's end or other bytes after the pixels are no second picture."""
    path = tmp_path / "a.pnm"
    path.write_bytes(ONE[kind] + tail)

    assert len(read_headers(path, "a.pnm", ReadPolicy())) == 1
