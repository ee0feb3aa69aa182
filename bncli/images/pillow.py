"""Pillow as a run wants it: without its own limit and warnings, silent, and nothing left open."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image, _imaging

from bncli.images.animations import forget


@contextmanager
def pillow_unlimited() -> Iterator[None]:
    """Silence Pillow's own pixel limit and its warnings; bncli has its own and tells in errors."""
    _unlimited.enter()
    try:
        yield
    finally:
        _unlimited.leave()


class _Unlimited:
    """Pillow without its limit, as long as any thread of the process wants it so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._restore = ExitStack()

    def enter(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
                self._restore.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module="PIL")
                self._restore.enter_context(_libtiff_silent())
                self._restore.callback(forget)

    def leave(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._restore.close()


@contextmanager
def _libtiff_silent() -> Iterator[None]:
    """Keep libtiff from writing to the process's stderr, which it does past Python's."""
    try:
        # Pillow offers no way; the library that it has loaded does, where it can be got at.
        library = ctypes.CDLL(_imaging.__file__)
        setters = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
    except (AttributeError, OSError):  # Pillow with its own libtiff inside, as on Windows
        yield
        return
    for setter in setters:
        setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = [setter(None) for setter in setters]
    try:
        yield
    finally:
        for setter, handler in zip(setters, before, strict=True):
            with contextlib.suppress(OSError):
                setter(handler)


_unlimited = _Unlimited()
