"""Numbers as people write them."""

from __future__ import annotations


def parse_number(text: str) -> float | None:
    """The number that *text* is, or None; Python's own ``1_0`` and foreign digits are none."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None
