"""Pillow serves others in the process too: a run leaves it, and its files, as they were."""

from __future__ import annotations

import ctypes
import warnings

import numpy as np
import pytest
from PIL import Image, _imaging

from bncli.images import animations, decode as decoding
from bncli.images.header import read_headers
from bncli.images.pillow import pillow_unlimited
from bncli.images.policy import ReadPolicy

LIMIT = 12_345
"""That somebody has set."""


@pytest.fixture(autouse=True)
def _as_in_a_run(monkeypatch):
    """Unlike in the other tests of pictures, nobody is inside who wants the limit away."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT)


def test_its_limit_comes_back_when_the_last_has_left():
    """Not with the first of two that overlap, and each time anew."""
    for limit in (LIMIT, 67_890):
        Image.MAX_IMAGE_PIXELS = limit
        with pillow_unlimited():
            with pillow_unlimited():
                assert Image.MAX_IMAGE_PIXELS is None
            assert Image.MAX_IMAGE_PIXELS is None
        assert limit == Image.MAX_IMAGE_PIXELS


def test_it_comes_back_after_an_error_too():
    """However the block ends."""
    with pytest.raises(ZeroDivisionError), pillow_unlimited():
        raise ZeroDivisionError
    assert Image.MAX_IMAGE_PIXELS == LIMIT


def test_its_warnings_come_back():
    """None of Pillow's own inside, those of others as ever, and the filters of before after it."""
    before = list(warnings.filters)
    with pillow_unlimited():
        assert warnings.filters != before
        warnings.warn_explicit("of Pillow", UserWarning, "TiffImagePlugin.py", 1, module="PIL.x")
        with pytest.raises(UserWarning, match="of others"):
            warnings.warn_explicit("of others", UserWarning, "x.py", 1, module="others")
    assert warnings.filters == before


def test_files_are_closed(tmp_path, rng):
    """An animation that was kept open between two frames is not, when the last has left."""
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    policy = ReadPolicy(frames="all")
    with pillow_unlimited():
        decoding.decode(read_headers(path, path.name, policy)[0], policy)
        assert animations._kept
    assert not animations._kept


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(_imaging.__file__), "TIFFSetErrorHandler"),
    reason="Pillow's libtiff cannot be got at",
)
def test_libtiff_speaks_again(tmp_path, capfd):
    """Silent inside; afterwards what it says of a damaged file reaches others as before."""
    path = tmp_path / "a.tif"
    Image.new("L", (64, 64)).save(path, compression="tiff_lzw")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(whole[8:24], b"\xff\x13\x57\x9b" * 4, 1))

    def said():
        with pytest.raises(OSError), Image.open(path) as image:  # noqa: PT011 - of Pillow
            image.load()
        return capfd.readouterr().err

    before = said()
    with pillow_unlimited():
        inside = said()
    assert before
    assert inside == ""
    assert said() == before
