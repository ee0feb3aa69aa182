"""What is kept of very many things is what was put in, and takes little memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis.strategies import binary, characters, integers, lists, text, tuples

from bncli.images.catalog import Catalog
from bncli.images.deep import PixelKind
from bncli.images.folder import Files
from bncli.images.header import Header
from bncli.images.pages import Page
from bncli.packed import Joined, Lazily, Numbered, Picked, Records, Table, Texts, order_of
from bncli.storage.journal import Entries, Entry

NAMES = text(characters(codec=None), max_size=6)  # halves of surrogate pairs too
DIGESTS = binary(min_size=4, max_size=4)
EDGES = integers(-7, 7)


@given(names=lists(NAMES, max_size=9), start=EDGES, stop=EDGES, step=integers(1, 3))
def test_texts_are_a_list(names, start, stop, step):
    """Texts come back whatever is in them, one by one, in slices and all together."""
    texts = Texts(names)

    assert list(texts) == names
    assert len(texts) == len(names)
    assert list(texts[start:stop:step]) == names[start:stop:step]
    assert [texts[place] for place in range(-len(names), len(names))] == names + names
    with pytest.raises(IndexError):
        texts[len(names)]


@given(records=lists(DIGESTS, max_size=9), place=integers(0, 8), other=DIGESTS)
def test_records_are_a_list(records, place, other):
    """Records of one width come back, and one can be replaced."""
    packed = Records(4, records)
    assert list(packed) == records
    if place < len(records):
        packed[place] = other
        records[place] = other
    assert list(packed) == records
    for wrong in (b"abc", b"abcde"):
        with pytest.raises(ValueError, match="where 4 belong"):
            packed.append(wrong)
    assert list(packed) == records


@given(first=lists(NAMES), second=lists(NAMES), third=lists(NAMES, max_size=2), data=lists(EDGES))
def test_views_are_lists(first, second, third, data):
    """Joined, picked and lazy sequences hold what lists of the same would."""
    joined = Joined(Joined(first, second), Texts(third))
    whole = first + second + third
    places = [place % len(whole) for place in data if whole]

    assert list(joined) == [joined[place] for place in range(len(joined))] == whole
    assert list(Picked(joined, places)) == [whole[place] for place in places]
    assert list(Picked(joined, places)[1:]) == [whole[place] for place in places][1:]
    assert list(Lazily(whole.__getitem__, len(whole))) == whole


@given(pairs=lists(tuples(NAMES, DIGESTS), max_size=40))
def test_a_table_is_a_dict(pairs):
    """The last of a name counts, its place is that of the first, and others are not there."""
    table, wanted = Table(4), {}
    for name, digest in pairs:
        table[name] = wanted[name] = digest

    assert list(table.items()) == list(wanted.items())
    assert {name: table.get(name) for name in wanted} == wanted
    assert "no such name" not in table
    assert table.get("no such name") is None
    with pytest.raises(KeyError, match="no such"):
        table["no such name"]


@given(names=lists(NAMES, max_size=60))
def test_numbers_are_those_of_the_first(names):
    """A text has the number of its first coming, however many there are, and is there once."""
    numbered, different = Numbered(), list(dict.fromkeys(names))

    assert [numbered.add(name) for name in names] == [different.index(name) for name in names]
    assert list(numbered) == different
    assert [numbered.number_of(name) for name in different] == list(range(len(different)))
    assert numbered.number_of("no such name") is None


def test_texts_of_one_hash_are_told_apart():
    """Where texts fall on one place, each is found all the same."""
    mask = 63
    same = [f"{n}" for n in range(20_000) if hash(f"{n}") & mask == 5][:40]
    numbered = Numbered(same)
    assert [numbered.number_of(name) for name in same] == list(range(40))


def test_what_was_half_added_is_written_over():
    """A table that a signal has cut short holds whole entries, and takes more."""

    class CutError(Exception):
        """Stands for a signal."""

    table = Table(4)
    table["a"] = b"aaaa"

    def cut(_name):
        raise CutError

    add, table._names.add = table._names.add, cut
    with pytest.raises(CutError):
        table["b"] = b"bbbb"
    table._names.add = add
    assert dict(table) == {"a": b"aaaa"}
    table["c"] = b"cccc"
    assert dict(table) == {"a": b"aaaa", "c": b"cccc"}


@given(keys=lists(binary(max_size=3)))
def test_the_order_is_that_of_sorted(keys):
    """Places in ascending order of their keys; equal ones stay in theirs."""
    assert list(order_of(keys)) == sorted(range(len(keys)), key=lambda place: (keys[place], place))


@given(pairs=lists(tuples(NAMES, NAMES, integers(0, 2)), max_size=9))
def test_paths_are_what_they_were(pairs):
    """A path comes back, whether or not it ends in the name of its picture."""
    given_pairs = [
        ((f"{before}/{name}", before, f"{before}{name}")[kind], name)
        for before, name, kind in pairs
    ]
    assert list(Files(given_pairs)) == given_pairs
    assert list(Files(given_pairs).paths()) == [path for path, _ in given_pairs]


def header(number):
    """A header, now of a page, now of an animation, now of a plain file."""
    kind = PixelKind("RGB" if number % 2 else "L", alpha=number % 3 == 0, dtype=None)
    page = Page(number, -1 if number % 4 else 9, 1 << 40) if number % 5 == 0 else None
    return Header(
        f"/in/{number // 2}.tif", f"{number // 2}.tif" if number % 2 else f"{number}.tif#1", number,
        (number % 7, 3), kind, number % 2 == 0, number.to_bytes(24, "little"), page,
        "ab" * 32 if number % 5 == 0 else None, number % 3, number % 4, ("EXIF",) * (number % 2),
    )  # fmt: skip


def test_headers_are_what_they_were():
    """Whatever a header holds comes back, and what many share is counted."""
    headers = [header(number) for number in range(100)]
    catalog = Catalog(headers)

    assert list(catalog) == headers
    assert catalog.largest == max(each.bytes_read for each in headers)
    assert sum(count for _, count in catalog.looks()) == len(headers)
    shared = {"left_out": 0, "missing": 0}
    for look, count in catalog.looks():
        for name in shared:
            shared[name] += count * getattr(look, name)
    assert shared == {name: sum(getattr(each, name) for each in headers) for name in shared}


def test_entries_hold_facts():
    """The last entry of a name counts, with its facts; a digest of another length is refused."""
    entries = Entries()
    entries.put("a", Entry(b"1" * 32, None))
    entries.put("b", Entry(b"2" * 32, {"source": "é\udc80", "counts": [1, 2.5]}))
    entries.put("a", Entry(b"3" * 32, {"x": 1}))

    assert dict(entries) == {"a": b"3" * 32, "b": b"2" * 32}
    assert entries.entry("a") == Entry(b"3" * 32, {"x": 1})
    assert entries.entry("b") == Entry(b"2" * 32, {"source": "é\udc80", "counts": [1, 2.5]})
    assert entries.entry("c") is None
    with pytest.raises(ValueError, match="belong"):
        entries.put("d", Entry(b"short", None))
    assert "d" not in entries


def test_a_picture_takes_little_memory():
    """A header and a digest by name take less than 200 bytes; objects would take a thousand."""
    count = 20_000
    tracemalloc.start()
    try:
        catalog, table = Catalog(), Table(32)
        for number in range(count):
            name, state = f"img_{number:07}.png", number.to_bytes(24, "little")
            kind = PixelKind("L", alpha=False, dtype=None)
            catalog.append(Header(f"/in/{name}", name, 0, (4, 4), kind, deep=False, state=state))
            table[name] = number.to_bytes(32, "little")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(catalog) == len(table) == count
    assert held < 200 * count
