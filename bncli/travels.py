"""The classes that may come from a process which a hostile file may have taken over."""

from __future__ import annotations

from typing import TypeVar

Class = TypeVar("Class", bound=type)

TRAVELLING: dict[str, type] = {}
"""Name -> class. Of no other does an answer of such a process make an instance."""


def travels(kind: Class) -> Class:
    """Let instances of a class come from such a process, as nothing but its annotated fields."""
    if TRAVELLING.setdefault(kind.__name__, kind) is not kind:
        raise TypeError(f"{kind.__name__} is the name of two classes that travel")
    return kind
