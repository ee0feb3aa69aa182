"""What processes answer: data, which comes through to the last bit, of the classes declared."""

from __future__ import annotations

import io
import struct
import typing
from contextlib import suppress

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from oracle import tree
from PIL import Image

from bncli import apply_folder, invert_folder, normalize_folder
from bncli.batchnorm.float_moments import FloatBlock, FloatBlocks
from bncli.batchnorm.inverse import Restored
from bncli.batchnorm.moments import Moments
from bncli.batchnorm.wide_moments import WideMoments
from bncli.drawing.gallery import Gallery, Glimpse
from bncli.drawing.histogram import Histogram
from bncli.engines.answers import BEGUN, DONE, RAISED, AnswerError, read_answer, write_answer
from bncli.engines.kinds import fields_of, fits, returned
from bncli.engines.raised import error_told, told_error
from bncli.errors import BncliError, LimitError, error_kinds
from bncli.images.batch import Fault, _look, fault_of
from bncli.images.deep import PixelKind
from bncli.images.header import Header
from bncli.images.pages import Page
from bncli.runs.changes import Applying, Clipped, Restoring
from bncli.runs.reading import Collecting, Sums
from bncli.runs.writing import Write, Written
from bncli.travels import TRAVELLING, travels


def frame_of(value):
    out = io.BytesIO()
    write_answer(out, DONE, value)
    return out.getvalue()


def there_and_back(value):
    stream = io.BytesIO(frame_of(value))
    kind, found = read_answer(stream)
    assert kind == DONE
    assert stream.read() == b""
    return found


def state(value):  # noqa: PLR0911 - a return for each kind
    """A value as something that is equal only where types and bits are."""
    if isinstance(value, np.ndarray):
        return np.ndarray, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return type(value), value.dtype.str, value.tobytes()
    if isinstance(value, float):
        return float, struct.pack("<d", value)
    if type(value) in {list, tuple}:
        return type(value), [state(one) for one in value]
    if isinstance(value, dict):
        return dict, [(name, state(one)) for name, one in value.items()]
    if type(value) in TRAVELLING.values():
        return type(value), [state(getattr(value, one.name)) for one in fields_of(type(value))]
    return type(value), value


def is_data(value):
    """Whether a value is of the kinds that travel, all through, and of no other."""
    if type(value) in {list, tuple}:
        return all(map(is_data, value))
    if type(value) is dict:
        return all(type(name) is str and is_data(one) for name, one in value.items())
    if type(value) in TRAVELLING.values():
        return all(is_data(getattr(value, one.name)) for one in fields_of(type(value)))
    if type(value) is np.ndarray or isinstance(value, np.generic | np.dtype):
        return (value if isinstance(value, np.dtype) else value.dtype).kind in "biuf"
    return type(value) in {type(None), bool, int, float, str, bytes}


@pytest.mark.parametrize("value", [{1}, print, object(), [np.array([None])], {"a": (len,)}])
def test_what_is_no_data_is_seen(value):
    """The tests below would notice anything that is more than data."""
    assert not is_data(value)


TEXT = st.text(st.characters(exclude_categories=()), max_size=40)  # half surrogate pairs too
DTYPES = st.one_of(
    arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(),
)  # fmt: skip
NUMBERS = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(1 << 200), 1 << 200), TEXT,
    st.floats(), st.integers(0, (1 << 64) - 1).map(lambda n: struct.unpack("<d", n.to_bytes(8))[0]),
    st.binary(max_size=40), DTYPES, NUMBERS, NUMBERS.map(lambda a: a.T),
    NUMBERS.filter(lambda a: a.size).map(lambda a: a.reshape(-1)[0]),
    st.builds(Fault, TEXT, TEXT, st.booleans()),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXT, inner, max_size=4),
        inner.map(lambda one: [one, (one, one)]),
        inner.map(lambda one: Written("a" * 64, one, None, False, 0.5, (one, one))),  # noqa: FBT003
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_there_and_back(value):
    """Every kind of value comes through with its type and to the last bit."""
    assert state(there_and_back(value)) == state(value)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.data())
def test_spoilt(value, data):
    """A frame that is spoilt anywhere is read as data or refused; nothing else happens."""
    content = bytearray(frame_of(value))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = content[: data.draw(st.integers(0, len(content)))]
    for spoilt in (content, kept):
        with suppress(AnswerError, EOFError):
            kind, made = read_answer(io.BytesIO(spoilt))
            assert kind in {BEGUN, DONE, RAISED}
            assert is_data(made)


@settings(max_examples=200, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from(["<f8", "|u1", "|O"]),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(
        st.sampled_from(["list", "tuple", "same", "float", "dtype", "bytes", "scalar", "array",
                         *TRAVELLING]),
        st.lists(inner, max_size=7),
    ).map(lambda pair: [pair[0], *pair[1]]) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=20,
), st.binary(max_size=30))  # fmt: skip
def test_any_words(told, blocks):
    """Whatever a frame tells of is made of data, or refused."""
    from bncli.engines.answers import _HEAD, _JSON, _MAGIC

    text = _JSON.encode(told).encode("utf-8", "surrogatepass")
    frame = _HEAD.pack(_MAGIC, DONE, len(text), len(blocks)) + text + blocks
    with suppress(AnswerError, EOFError):
        assert is_data(read_answer(io.BytesIO(frame))[1])


def test_what_is_told_twice_is_there_once():
    """As in the process that told it: the digest and the path of a thousand frames are one each."""
    kind, path = PixelKind("L", alpha=False, dtype=np.dtype(np.uint8)), "/a/path/that/is/long"
    size, digest = (3, 4), "0" * 64
    headers = [
        Header(path, f"{path}#{n}", n, size, kind, False, b"state", None, digest)  # noqa: FBT003
        for n in range(1000)
    ]
    found = there_and_back(headers)
    assert found == headers
    for name in ("path", "size", "kind", "state", "digest"):
        assert len({id(getattr(header, name)) for header in found}) == 1


def test_arrays_can_be_written():
    """Sums go on where they have come to."""
    found = there_and_back([np.zeros(3), np.zeros((2, 0))])
    found[0] += 1
    assert found[0].tolist() == [1, 1, 1]


class Unknown:
    pass


class Array(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [Unknown(), {1: 2}, {3}, object, len, 1j, np.array([None]), np.array(["a"]), np.str_("a"),
     np.zeros(2, "i4,i4"), np.array(1j), np.datetime64(1, "s"), np.dtype(object), bytearray(b"a"),
     np.zeros(3).view(Array), np.ma.zeros(3), io.BytesIO()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_does_not_travel(value):
    """It is refused where it is told, before a byte is written."""
    out = io.BytesIO()
    with pytest.raises(TypeError, match="does not travel"):
        write_answer(out, DONE, ["a", value])
    assert out.getvalue() == b""


RASTER = np.arange(6, dtype=np.uint8)
FLOATS = np.linspace(-1, 1, 6)
KIND = PixelKind("RGB", alpha=True, dtype=np.dtype(np.uint16))
EXAMPLES = [
    Fault("a\udcff", "b", limit=True),
    KIND,
    Page(1, -1, 1 << 40),
    Header("/a", "a#1", 1, (3, 4), KIND, True, b"\0\xff", Page(1, 2, 3), "f" * 64, 1, 2, ("EXIF",)),  # noqa: FBT003
    Clipped((0, 1 << 40, 3)),
    Restored(0.1, 1, 2, 3),
    Written("0" * 64, Clipped((1,)), None, True, float("inf"), None),  # noqa: FBT003
    Glimpse(3, Histogram(0.0, 1.0, 3), Histogram(np.float64(-1), 2, 9, 4), RASTER.reshape(1, 2, 3),
            None, FLOATS),
    Histogram(0.0, 1.0, 3, 7),
    Moments.of(RASTER.reshape(2, 3)),
    WideMoments.of(RASTER.reshape(2, 3).astype(np.int32)),
    FloatBlock.of(FLOATS.reshape(2, 3)),
    FloatBlocks([FloatBlock.of(FLOATS.reshape(2, 3)), FloatBlock.of(FLOATS.reshape(3, 2))]),
]  # fmt: skip


def test_every_class_has_an_example():
    """A class that is declared and has none below fails here."""
    assert {type(example).__name__ for example in EXAMPLES} == set(TRAVELLING)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: type(one).__name__)
def test_every_class_there_and_back(example, monkeypatch):
    """An instance comes through; without its declaration it is told nor heard."""
    assert state(there_and_back(example)) == state(example)
    content = frame_of(example)
    monkeypatch.delitem(TRAVELLING, type(example).__name__)
    with pytest.raises(TypeError, match="does not travel"):
        frame_of(example)
    with pytest.raises(AnswerError, match="does not travel"):
        read_answer(io.BytesIO(content))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: type(one).__name__)
def test_every_field_is_looked_at(example):
    """An instance with a field of another type is none; what may be anything is known below."""
    for one in fields_of(type(example)):
        anything = (type(example), one.name) in {(Written, "note"), (Written, "seen")}
        assert one.fits(object()) == anything
        assert one.fits(getattr(example, one.name))


def classes(hint):
    """The classes of bncli that an annotation speaks of, and those that these speak of."""
    for one in (hint, typing.get_origin(hint)):
        if isinstance(one, type) and one.__module__.startswith("bncli."):
            yield one
            for inner in typing.get_type_hints(one).values():
                yield from classes(inner)
    for inner in typing.get_args(hint):
        yield from classes(inner)


def test_what_travels_is_declared():
    """Whatever an engine is asked for in a run says of which classes its results are made."""
    asked = [
        returned(_look), returned(fault_of), returned(Write.__call__), returned(Sums.take),
        returned(Collecting.begin) is Sums and FloatBlocks, Moments, WideMoments,
        returned(Applying.noted), returned(Restoring.noted), returned(Gallery.look),
    ]  # fmt: skip
    found = {one for hint in asked for one in classes(hint)}
    assert found == set(TRAVELLING.values())


def test_one_name_is_of_one_class():
    """Two classes of one name would be told apart by nothing."""
    fault = type("Fault", (), {})
    with pytest.raises(TypeError, match="Fault is the name of two classes"):
        travels(fault)
    assert TRAVELLING["Fault"] is Fault


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [1, np.int8(1)], [True, 1.0, "1", None]),
        (float, [1, 1.0, np.float32(1)], [True, 1j, np.complex64(1), "1"]),
        (bool, [True], [1, 0.0, None]),
        (str | None, ["a", None], [b"a", 1]),
        (tuple[int, str], [(1, "a")], [(1,), (1, "a", 2), ["a", 1], ("a", 1), 3]),
        (tuple[int, ...], [(), (1, 2)], [[1], (1, "a"), 1]),
        (list[list[int] | None], [[], [None, [1]]], [[1], [[None]], ([],), "a"]),
        (typing.Any, [1, None], []),
        (np.dtype, [np.dtype(int)], [int, "i4"]),
    ],
)
def test_annotations(hint, good, bad):
    """What fits an annotation, and what does not."""
    assert all(map(fits(hint), good))
    assert not any(map(fits(hint), bad))


@pytest.mark.parametrize("kind", error_kinds().values())
def test_errors_of_bncli(kind):
    """They are raised again as they were, with lines, files and notes."""
    error = kind("a\nb", "c", paths=("d\udcff",))
    error.add_note("e")
    if kind is LimitError:
        error.told = True
    found = error_told(there_and_back(told_error(error)))
    assert type(found) is kind
    for name in ("lines", "paths", "told", "args", "__notes__"):
        assert getattr(found, name, None) == getattr(error, name, None)


def test_other_errors():
    """Memory that is missing stays that; all others are bugs, told with their trace."""
    for raised, kind, text in [
        (MemoryError("a"), MemoryError, "a"),
        (KeyError("a"), RuntimeError, "KeyError: 'a'"),
        (SyntaxError(), RuntimeError, "SyntaxError: None"),
    ]:
        try:
            raise raised  # noqa: TRY301 - as a process does
        except Exception as error:  # noqa: BLE001 - likewise
            found = error_told(there_and_back(told_error(error)))
        assert type(found) is kind
        assert str(found) == text
        assert "in test_other_errors" in found.__notes__[0]


@pytest.mark.parametrize(
    "spoilt",
    [{"name": 1}, {"lines": "ab"}, {"lines": (1,)}, {"paths": ("a", None)}, {"notes": [1]},
     {"told": 1}, {"more": 1}, {"notes": (b"a",)}],
)  # fmt: skip
def test_no_errors(spoilt):
    """Facts of another form are those of no error."""
    assert error_told({**told_error(BncliError("a")), **spoilt}) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_whole_runs(dtype, tmp_path, monkeypatch):
    """All that a run asks of processes travels: headers, sums, notes, and what is drawn."""
    rng = np.random.default_rng(3)
    (tmp_path / "in").mkdir()
    for name in "abc":
        pages = [Image.fromarray(page) for page in rng.integers(0, 99, (3, 5, 7)).astype(dtype)]
        pages[0].save(tmp_path / f"in/{name}.tif", save_all=True, append_images=pages[1:])
    for engine in ("local", "processes"):
        (tmp_path / engine).mkdir()
        monkeypatch.chdir(tmp_path / engine)
        more = {"engine": engine, "jobs": 2, "frames": "all"}
        drawn = {"contact_sheet": "sheet.png", "report": "page.html"}
        normalize_folder("../in", "out", **more, **drawn)
        apply_folder("out/stats.npz", "../in", "applied", **more)
        invert_folder("out/stats.npz", "out", "back", engine=engine, jobs=2)
    assert tree(tmp_path / "local") == tree(tmp_path / "processes")
