"""A summary of a million pictures is read like one of two, a picture at a time."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis.strategies import (
    booleans,
    composite,
    dictionaries,
    floats,
    integers,
    lists,
    none,
    recursive,
    sampled_from,
    text,
)
from oracle import least_peak

from bncli.storage import summary_file
from bncli.storage.summary_file import find_summary
from bncli.text import json_pieces

VALUES = recursive(
    none() | booleans() | integers() | floats(allow_nan=False, allow_infinity=False) | text(),
    lambda inner: lists(inner, max_size=3) | dictionaries(text(), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = dictionaries(text(), VALUES, max_size=4)


@composite
def written(draw):
    """A document, its outputs, and a text of both as somebody may have written it."""
    document, outputs = draw(DOCUMENTS), draw(lists(VALUES, max_size=5))
    document = {**document, "outputs": outputs, "last": draw(VALUES)}
    document.pop("skipped", None)
    indent, separators = draw(sampled_from([None, 2, "\t"])), draw(sampled_from([(",", ":"), None]))
    words = json.dumps(
        document, indent=indent, separators=separators, ensure_ascii=draw(booleans())
    )
    return document, outputs, draw(sampled_from(["", " \n", "\r\n\t"])) + words


def found(path, content):
    """The document that is found, and its outputs."""
    path.write_bytes(content)
    outputs = []
    return find_summary(path, outputs.append), outputs


@given(case=written(), piece=integers(1, 9))
def test_what_was_written_is_read(tmp_path_factory, case, piece):
    """Wherever the pieces end in which it is read, and however it is laid out."""
    document, outputs, words = case
    path = tmp_path_factory.getbasetemp() / "summary.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary_file, "_PIECE", piece)
        told, taken = found(path, words.encode("utf-8", "surrogatepass"))
    if any("\ud800" <= character <= "\udfff" for character in words):
        return
    assert taken == outputs
    assert told == {**document, "outputs": []}


@given(case=written(), cut=integers(0, 400), sign=sampled_from(["", "}", "]", ",", ":", "x", '"']))
def test_the_torn_and_the_spoilt_are_none(tmp_path_factory, case, cut, sign):
    """What the standard library refuses is refused; what it reads is the same document."""
    _, _, words = case
    content = (words[:cut] + sign + words[cut + 1 :]).encode("utf-8", "replace")
    path = tmp_path_factory.getbasetemp() / "summary.json"
    told, _ = found(path, content)
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        assert told is None
    elif isinstance(document.get("outputs"), list) and '"outputs"' in words[: cut + 1]:
        assert told is not None
        assert told["outputs"] == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1} {}', b'{"a": 1,}', b"{1: 2}x", b"\xff"])
def test_what_is_no_object_is_none(tmp_path, content):
    """Nor is what goes on behind its end."""
    assert found(tmp_path / "summary.json", content)[0] is None


def test_a_long_list_takes_no_memory(tmp_path):
    """Of outputs and of what was skipped; anything else that long is none of ours."""
    path, count = tmp_path / "summary.json", 4_000
    rows = ({"source": f"{number}.png", "reason": "x" * 300} for number in range(count))
    skipped = ({"source": f"{number}.png"} for number in range(count))
    with path.open("wb") as file:
        file.writelines(json_pieces({"skipped": skipped, "outputs": rows, "run": {"eps": 1}}))
    taken = Counter()

    def read():
        told = find_summary(path, lambda row: taken.update(tuple(row)))
        assert told == {"skipped": [], "outputs": [], "run": {"eps": 1}}

    assert least_peak(read) < 1_000_000 < path.stat().st_size
    assert taken == {"source": 3 * count, "reason": 3 * count}


def test_what_is_too_long_is_not_read_whole(tmp_path, monkeypatch):
    """A planted file of one endless value is given up."""
    monkeypatch.setattr(summary_file, "_LARGEST_PART", 1 << 18)
    path = tmp_path / "summary.json"
    path.write_bytes(b'{"a": "' + b"x" * (1 << 20) + b'"}')
    assert find_summary(path, pytest.fail) is None
    path.write_bytes(b" " * (1 << 20) + b'{"a": 1}')
    assert find_summary(path, pytest.fail) == {"a": 1}
