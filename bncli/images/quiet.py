"""The libraries that decode pictures say nothing of their own; bncli tells what is wrong."""

from __future__ import annotations

import contextlib
import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import _imaging

# What they find strange they log, with text from the file in it: without a handler it would end on
# the terminal. Who has set up logging still gets it.
for _library in ("PIL", "imagecodecs", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@contextmanager
def libtiff_silent() -> Iterator[None]:
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
