"""Animations: every frame is what Pillow draws, in any order, and no frame begins at the first."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bncli.errors import ImageError
from bncli.images import animations, decode as decoding
from bncli.images.header import read_headers
from bncli.images.policy import ReadPolicy

FORMATS = {
    "a.gif": {"disposal": 2},
    "b.gif": {"disposal": 1},
    "a.webp": {"lossless": True},
    "a.png": {},
}
ALL = ReadPolicy(frames="all")


@pytest.fixture(params=FORMATS)
def animation(request, tmp_path, rng):
    """A file of twelve frames that differ in a part, and what Pillow draws of them in turn."""
    path = tmp_path / request.param
    still = rng.integers(0, 256, (20, 14, 3), dtype=np.uint8)
    frames = []
    for index in range(12):
        moved = still.copy()
        moved[index : index + 4, 3:9] = 20 * index
        frames.append(Image.fromarray(moved))
    frames[0].save(path, save_all=True, append_images=frames[1:], **FORMATS[request.param])
    expected = []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            expected.append(np.asarray(image.convert("RGB")).reshape(-1))
    return path, expected


def test_frames_are_those_of_pillow(animation):
    """Read one after another, twice, backwards and by leaps."""
    path, expected = animation
    headers = read_headers(path, path.name, ALL)
    order = [*range(12), *range(12), *reversed(range(12)), 3, 9, 5, 6, 0, 11]

    for index in order:
        found = decoding.decode(headers[index], ALL).values
        assert np.array_equal(found, expected[index]), index


def test_an_animation_is_opened_once(animation, monkeypatch):
    """In order, one look at the file is enough for all frames."""
    path, _ = animation
    headers = read_headers(path, path.name, ALL)
    animations.forget()
    opened = []
    real = decoding.open_picture
    monkeypatch.setattr(decoding, "open_picture", lambda file: opened.append(1) or real(file))
    for header in headers:
        decoding.decode(header, ALL)

    assert len(opened) == 1


def test_a_changed_animation(animation):
    """One that is open is no excuse: a file that changed is refused."""
    path, _ = animation
    headers = read_headers(path, path.name, ALL)
    decoding.decode(headers[0], ALL)
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(ImageError, match="it was changed"):
        decoding.decode(headers[1], ALL)
