"""What a run tells of its input and of itself, and whom."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bncli import normalize_folder
from bncli.errors import ImageError
from bncli.images.png import encoder_name
from bncli.runs.check import Inputs, _read_batch


@pytest.fixture
def pictures(tmp_path, rng):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (5, 4), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def test_pictures_that_are_not_read_are_told_to_whoever_listens(pictures, tmp_path):
    """By their kind; without anybody who listens the run is the same."""
    (pictures / "d.heic").write_bytes(b"x")
    warned = []
    first = normalize_folder(pictures, tmp_path / "out", warn=warned.append)
    assert ["HEIC" in line for line in warned] == [True]
    assert normalize_folder(pictures, tmp_path / "silent").unread == first.unread == {"HEIC": 1}


def test_the_packer_is_told_by_its_name(pictures, tmp_path):
    """And that the extra is faster, where it is not there."""
    told = []
    normalize_folder(pictures, tmp_path / "out", tell=told.append)
    assert f"PNG is packed by {encoder_name()}" in told[-1]


def test_a_check_takes_no_damaged_picture(pictures):
    """It is named, and nothing is checked in its place."""
    content = (pictures / "b.png").read_bytes()
    (pictures / "b.png").write_bytes(content[: content.index(b"IDAT") + 6] + content[-12:])
    with pytest.raises(ImageError, match=r"b\.png: "):
        _read_batch(Inputs(images=(str(pictures),)), None)
