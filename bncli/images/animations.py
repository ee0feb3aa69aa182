"""Open animations, each at some frame, so that the next frame need not begin at the first.

A frame of a GIF, WEBP or animated PNG is drawn over those before it: to open the file for each
frame anew takes time that grows with the square of their number.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from PIL import ImageFile

Key = tuple[str, bytes]
"""Path and state of a file."""

_MOST = 16
"""Animations that are kept open; more threads than that begin anew now and then."""


class _Open(NamedTuple):
    key: Key
    frame: int
    image: ImageFile.ImageFile


_lock = threading.Lock()
_kept: list[_Open] = []


def take(key: Key, frame: int) -> ImageFile.ImageFile | None:
    """An animation that stands before a frame, which is the caller's alone from now; or None."""
    with _lock:
        before = [one for one in _kept if one.key == key and one.frame < frame]
        if not before:
            return None
        best = max(before, key=lambda one: one.frame)
        _kept.remove(best)
        return best.image


def give(key: Key, frame: int, image: ImageFile.ImageFile) -> None:
    """Keep an animation that stands at a frame, whose pixels are no longer needed."""
    if frame + 1 == getattr(image, "n_frames", 1):
        return
    with _lock:
        _kept.append(_Open(key, frame, image))
        del _kept[:-_MOST]


def forget() -> None:
    """Keep none."""
    with _lock:
        _kept.clear()
