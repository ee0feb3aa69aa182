"""What is raised in a process that works for another one, told as data and raised again there."""

from __future__ import annotations

import traceback
from typing import Any

from bncli.errors import BncliError, LimitError, error_kinds

_FACTS = {"name": str, "lines": tuple, "paths": tuple, "told": bool, "notes": tuple}
_MEMORY = MemoryError.__name__


def told_error(error: Exception) -> dict[str, Any]:
    """What there is to know of an error; with its trace, if it is none that a user can mend."""
    notes = tuple(getattr(error, "__notes__", ()))
    facts = {"name": type(error).__name__, "paths": (), "told": False, "notes": notes}
    if isinstance(error, BncliError):
        told = isinstance(error, LimitError) and error.told
        return {**facts, "lines": error.lines, "paths": error.paths, "told": told}
    trace = f"in a process of its own:\n{traceback.format_exc()}"
    return {**facts, "lines": (str(error),), "notes": (*notes, trace)}


def error_told(facts: Any) -> Exception | None:
    """The error that such facts tell of, which is one of bncli's or a bug; None if they do not."""
    if not isinstance(facts, dict) or {n: type(v) for n, v in facts.items()} != _FACTS:
        return None
    name, lines, paths, notes = (facts[n] for n in ("name", "lines", "paths", "notes"))
    if not all(type(text) is str for text in (*lines, *paths, *notes)):
        return None
    kind = error_kinds().get(name)
    if kind is not None:
        error: Exception = kind(*lines, paths=paths)
    elif name == _MEMORY:
        error = MemoryError(*lines)
    else:
        error = RuntimeError(": ".join((name, *lines)))
    if isinstance(error, LimitError):
        error.told = facts["told"]
    for note in notes:
        error.add_note(note)
    return error
