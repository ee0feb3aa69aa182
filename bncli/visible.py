"""Text that anybody may have written, made visible: nothing in it moves a cursor."""

from __future__ import annotations

_ESCAPED_BYTE = range(0xDC80, 0xDD00)  # how Python holds the bytes of a name that is no UTF-8


def printable(text: str, keep: str = "") -> str:
    """*text* with everything but printable characters, and those of *keep*, escaped."""
    return "".join(c if c.isprintable() or c in keep else escaped(c) for c in text)


def escaped(character: str) -> str:
    """One character as a string literal would have it, or as the byte that it stands for."""
    code = ord(character)
    if code in _ESCAPED_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
