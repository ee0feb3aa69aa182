from __future__ import annotations

import functools
import re

from hypothesis import given
from hypothesis.strategies import integers, lists, text

from bncli.images.folder import natural_key

NAMES = text(alphabet="ab0129./-\udcffé٣", max_size=12)


def by_hand(first, second):
    """The rule in other words: pieces of digits by value, then whole names by text."""
    for left, right in zip(first.split("/"), second.split("/"), strict=False):
        lefts, rights = (re.findall(r"[0-9]+|[^0-9]+", part) for part in (left, right))
        for one, other in zip(lefts, rights, strict=False):
            numbers = [piece.isascii() and piece.isdigit() for piece in (one, other)]
            if all(numbers):
                if int(one) != int(other):
                    return -1 if int(one) < int(other) else 1
            elif any(numbers):
                return -1 if numbers[0] else 1
            elif one != other:
                return -1 if one < other else 1
        if len(lefts) != len(rights):
            return -1 if len(lefts) < len(rights) else 1
    if first.count("/") != second.count("/"):
        return -1 if first.count("/") < second.count("/") else 1
    return (first > second) - (first < second)


@given(names=lists(NAMES, max_size=8))
def test_the_order_is_the_rule(names):
    """Digits sort by their value, folders before what is in them goes on, ties by text."""
    assert sorted(names, key=natural_key) == sorted(names, key=functools.cmp_to_key(by_hand))


@given(first=NAMES, second=NAMES)
def test_the_order_is_total(first, second):
    """Two different names never count as equal, so the order on disk cannot show."""
    assert (natural_key(first) == natural_key(second)) == (first == second)


@given(numbers=lists(integers(0, 10**30), unique=True))
def test_numbers_count_by_value(numbers):
    """img2 comes before img10, whatever the length."""
    names = [f"img{number}.png" for number in numbers]

    assert sorted(names, key=natural_key) == [f"img{number}.png" for number in sorted(numbers)]


def test_zeros_decide_last():
    """Leading zeros do not count until nothing else differs."""
    names = ["a1.png", "a01.png", "a01b.png", "a2.png", "b/a.png", "a/z.png"]

    assert sorted(names, key=natural_key) == [
        "a/z.png", "a01.png", "a1.png", "a01b.png", "a2.png", "b/a.png",
    ]  # fmt: skip
