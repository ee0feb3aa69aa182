"""File names in JSON: valid for the strictest reader, whatever bytes they are of.

A file name may hold bytes that are no UTF-8. Python keeps such a byte as half of a surrogate pair,
which is no character, and which many readers of JSON refuse. In a document it is the character
U+0000 followed by the character of the byte's number: no name holds U+0000, so the way back is
plain.
"""

from __future__ import annotations

import re

_LONE = re.compile(
    r"\\\\"  # an escaped backslash, whatever follows it
    r"|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"  # a whole pair: a character
    r"|\\udc([89a-f][0-9a-f])"
)
_MARKED = re.compile("\0([\x80-\xff])")
_SURROGATES = 0xDC00


def with_whole_names(text: str) -> str:
    """JSON in ASCII, as the standard library writes it, without halves of surrogate pairs."""
    return _LONE.sub(_marked, text) if "\\udc" in text else text


def name_in(text: str) -> str:
    """The file name that a string of a document stands for, as Python's functions take it."""
    return _MARKED.sub(lambda match: chr(_SURROGATES + ord(match[1])), text)


def _marked(match: re.Match[str]) -> str:
    return match[0] if match[1] is None else rf"\u0000\u00{match[1]}"
