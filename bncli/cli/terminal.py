"""What a stream can show, and what its user wants to see there."""

from __future__ import annotations

import os
from typing import Any


def is_terminal(stream: Any) -> bool:
    """Whether somebody looks at it now; a stream that is closed is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def is_dumb() -> bool:
    """Whether the terminal moves no cursor."""
    return os.environ.get("TERM", "") in {"dumb", "unknown"}


def colours_unwanted() -> bool:
    """By NO_COLOR (https://no-color.org), CLICOLOR=0, or a terminal that has none."""
    if os.environ.get("NO_COLOR"):
        return True
    return not colours_forced() and (is_dumb() or os.environ.get("CLICOLOR") == "0")


def colours_forced() -> bool:
    """By FORCE_COLOR (https://force-color.org) or CLICOLOR_FORCE, unless NO_COLOR is set."""
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") != "0"
    return bool(forced) and not os.environ.get("NO_COLOR")
