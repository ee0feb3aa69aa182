"""Pairs of places of a package that are alike: six or more lines of code of the same shape.

A shape is a line whose names, numbers and strings are left open. Imports and docstrings do not
count, nor do runs that are hardly more than punctuation or, where only the shape is the same, lists
of names; nor those that stand in so many places that they are a manner of speaking.
"""

from __future__ import annotations

import ast
import keyword
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from house.structure import Module, Package

LINES = 6
_COMMON, _EVERYWHERE = 8, 60
"""Six lines in more places than these make no pair of their own, or do not even prolong one."""
_WORDS = 12
"""How many names, numbers and strings six lines have at the least."""
_FULL, _VARIED = 3, 3
"""Six lines alike in shape alone have so many different ones of so many words."""


class Line(NamedTuple):
    """One line of code."""

    file: str
    number: int
    shape: str
    text: str
    words: int


def windows(run: list[Line]) -> list[list[Line]]:
    return [run[start : start + LINES] for start in range(len(run) - LINES + 1)]


class Pair(NamedTuple):
    """Two runs of lines of the same shape."""

    first: list[Line]
    second: list[Line]

    def windows(self) -> Iterator[tuple[list[Line], list[Line]]]:
        return zip(windows(self.first), windows(self.second), strict=True)

    @property
    def same(self) -> bool:
        """Whether six lines of them are the same to the letter."""
        return any(_same(window, other) for window, other in self.windows())

    def __str__(self) -> str:
        places = (f"{run[0].file}:{run[0].number}-{run[-1].number}" for run in self)
        return " ~ ".join(places) + ("" if self.same else "  (shape)")


def pairs(package: Package) -> list[Pair]:
    """All pairs, each as long as it can be, the longest first."""
    files = [_lines(module) for module in package.modules.values()]
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, lines in enumerate(files):
        for start, window in enumerate(windows(lines)):
            places[_shape(window)].append((number, start))
    begun = {
        (one, other)
        for alike in places.values()
        if len(alike) <= _EVERYWHERE
        for i, one in enumerate(alike)
        for other in alike[i + 1 :]
        if one[0] != other[0] or other[1] - one[1] >= LINES
    }
    found = []
    for one, other in begun:
        if (_moved(one, -1), _moved(other, -1)) not in begun:
            more = 0
            while (_moved(one, more + 1), _moved(other, more + 1)) in begun:
                more += 1
            pair = Pair(_run(files, one, more), _run(files, other, more))
            if any(
                len(places[_shape(window)]) <= _COMMON and _telling(window, as_second)
                for window, as_second in pair.windows()
            ):
                found.append(pair)
    return sorted(found, key=lambda pair: (-len(pair.first), str(pair)))


def _run(files: list[list[Line]], place: tuple[int, int], more: int) -> list[Line]:
    number, start = place
    return files[number][start : start + LINES + more]


def _shape(window: list[Line]) -> tuple[str, ...]:
    return tuple(line.shape for line in window)


def _telling(window: list[Line], other: list[Line]) -> bool:
    full = {line.shape for line in window if line.words >= _FULL}
    varied = len(full) >= _VARIED or _same(window, other)
    return varied and sum(line.words for line in window) >= _WORDS


def _same(window: list[Line], other: list[Line]) -> bool:
    return [line.text for line in window] == [line.text for line in other]


def _moved(place: tuple[int, int], by: int) -> tuple[int, int]:
    return place[0], place[1] + by


def _lines(module: Module) -> list[Line]:
    imported = {
        line
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    written = module.text.splitlines()
    return [
        _line(module.path, number, tokens, written[number - 1].strip())
        for number, tokens in sorted(module.tokens.items())
        if number not in imported
    ]


def _line(file: str, number: int, tokens: list[tokenize.TokenInfo], text: str) -> Line:
    shape, words = [], 0
    for token in tokens:
        if token.type == tokenize.OP or keyword.iskeyword(token.string):
            shape.append(token.string)
        else:
            shape.append(tokenize.tok_name[token.type])
            words += 1
    return Line(file, number, " ".join(shape), text, words)
