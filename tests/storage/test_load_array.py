"""A .npy file is believed only as far as it has been checked."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists, tuples
from oracle import least_peak
from storage.npy_files import MAGIC, described, npy

from bncli.errors import ArrayError, DataError, NonFiniteError, ShapeError
from bncli.storage.arrays import digest_of_file, header_bytes, load_array, write_array

SHAPE = (3, 2, 1)
NUMBERS = np.arange(6.0)
BODY = NUMBERS.astype("<f8").tobytes()


@pytest.fixture
def load(tmp_path):
    def loaded(content, expected=SHAPE):
        path = tmp_path / "gamma.npy"
        path.write_bytes(content)
        return load_array(path, expected, "(w, h, c)")

    return loaded


def assert_refused(load, content, words, kind=ArrayError, expected=SHAPE):
    with pytest.raises(kind, match=words) as caught:
        load(content, expected)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(caught.value.paths[0])
    assert "gamma.npy: " in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize(
    "descr", ["<f8", ">f8", "<f4", ">f4", "<f2", "<i4", ">i2", "|i1", "|u1", "<u8"]
)
def test_numbers_of_every_kind(load, descr, version):
    """Numbers of either byte order and any width are the same numbers."""
    array = load(npy(described(SHAPE, descr), NUMBERS.astype(descr).tobytes(), version=version))

    assert array.shape == SHAPE
    assert np.array_equal(array, NUMBERS.reshape(SHAPE))
    assert not array.flags.writeable


def test_fortran_order(load):
    """Column-major files are read by their indices."""
    numbers = NUMBERS.reshape(SHAPE)

    array = load(npy(described(SHAPE, "<f8", "True"), numbers.tobytes(order="F")))

    assert np.array_equal(array, numbers)


def test_long_double(load):
    """Whatever extended precision the machine has is a floating-point number."""
    numbers = NUMBERS.astype(np.longdouble)

    assert np.array_equal(
        load(npy(described(SHAPE, numbers.dtype.str), numbers.tobytes())), numbers.reshape(SHAPE)
    )


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("data became code",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no .npy file"),
        (b"hello, world\n" * 9, "no .npy file"),
        (MAGIC, "no .npy file"),
        (b"\x93NUMPX\1\0" + bytes(99), "no .npy file"),
        (npy(described(SHAPE), BODY, version=(3, 0)), "version"),
        (npy(described(SHAPE), BODY, version=(9, 9)), "version"),
        (pickle.dumps(Bomb()), "no .npy file"),
        (npy(described((1,), "|O"), pickle.dumps(Bomb())), "object"),
        (npy(described(SHAPE, "|b1"), bytes(6)), "holds bool"),
        (npy(described(SHAPE, "<c16"), bytes(96)), "holds complex128"),
        (npy(described(SHAPE, "<U3"), bytes(72)), "holds <U3"),
        (npy(described(SHAPE, "|S4"), bytes(24)), "holds .S4"),
        (npy(described(SHAPE, "<M8[D]"), bytes(48)), "holds datetime64"),
        (npy(described(SHAPE, "|V8"), bytes(48)), "holds .V8"),
        (npy(described(SHAPE, [("a", "<f8")]), BODY), r"holds \[\('a', '<f8'\)\]"),
        (npy(described((1 << 40, 1 << 40)), BODY), "declares"),
        (npy(described((1 << 62, 1 << 62, 1 << 62)), BODY), "declares"),
        (npy(described((3 << 28, 1)), BODY), "declares"),
        (npy(described((-3, -2, 1)), BODY), "shape"),
        (npy(described("(True, 2, 3)"), BODY), "damaged"),
        (npy(described("(2.0, 3)"), BODY), "damaged"),
        (npy(described("('a',)"), BODY), "damaged"),
        (npy(described("6"), BODY), "damaged"),
        (npy(described(SHAPE), BODY, version=(2, 0), claimed=0xFFFFFFFF), "claims 4,294,967,295"),
        (npy(described(SHAPE), BODY, claimed=60_000), "claims 60,000"),
        (npy(described(SHAPE), BODY, claimed=5), "damaged"),
        (npy("(" * 5000), "damaged"),
        (npy("{" + "'a':" * 900), "damaged"),
        (npy("{'descr': '<f8', 'fortran_order': False"), "damaged"),
        (npy("\0\0\0\0"), "damaged"),
        (npy("__import__('os').abort()"), "damaged"),
        (npy("{'descr': '<f8', 'shape': (3, 2, 1)}"), "damaged"),
        (npy(described(SHAPE, "nonsense"), BODY), "damaged"),
        (npy(described(SHAPE, order="3"), BODY), "damaged"),
        (npy(described(SHAPE), BODY[:-1]), "47; it is truncated"),
        (npy(described(SHAPE)), "truncated"),
        (npy(described(SHAPE), BODY + b"\0"), "49; it is truncated or damaged"),
        (npy(described((0, 2, 1))), "it must be"),
    ],
    ids=range(38),
)
def test_what_cannot_be_trusted(load, content, words):
    """Every damaged or hostile file is refused in one line that names it; nothing is unpickled."""
    assert_refused(load, content, words, ShapeError if words == "it must be" else ArrayError)


def test_no_header_makes_it_allocate(load):
    """A header may claim terabytes; hardly a byte is allocated for the claim."""

    def refuse():
        assert_refused(load, npy(described((1 << 40, 1 << 40)), BODY), "declares|claims")
        claim = npy(described(SHAPE), BODY, version=(2, 0), claimed=0xFFFFFFFF)
        assert_refused(load, claim, "declares|claims")

    assert least_peak(refuse) < 1_000_000


@pytest.mark.parametrize("shape", [(3, 2), (6,), (), (1, 3, 2, 1), (3, 1, 2), (2, 2, 1), (1, 1, 1)])
def test_other_shapes_are_never_broadcast(load, shape):
    """Both shapes are told; what numpy would stretch is refused like anything else."""
    numbers = np.ones(shape)
    content = npy(described(shape), numbers.tobytes())

    assert_refused(
        load, content, r"its shape is \(.*but it must be \(w, h, c\) = \(3, 2, 1\)", ShapeError
    )


def test_swapped_width_and_height_are_recognized(load):
    """Whoever saves (h, w, c) is told what is wrong, with or without a batch before it."""
    content = npy(described((2, 3, 1)), BODY)
    assert_refused(load, content, "width and height are swapped: transpose", ShapeError)
    content = npy(described((1, 2, 3, 1)), BODY)
    assert_refused(load, content, "are swapped", ShapeError, (1, 3, 2, 1))
    assert_refused(load, npy(described((6, 1, 1)), BODY), r"\(3, 2, 1\)$", ShapeError)


def test_any_length_where_none_is_expected(load):
    """None stands for any length but zero."""
    content = npy(described((1, 3, 2, 1)), BODY)

    assert load(content, (None, None, None, None)).shape == (1, 3, 2, 1)
    assert_refused(load, npy(described((0, 3, 2, 1))), "any", ShapeError, (None,) * 4)
    assert_refused(load, content, r"= \(any, any\)", ShapeError, (None, None))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted(load, bad, order):
    """NaN and infinity are refused with their number and the index of the first."""
    numbers = np.zeros((4, 3, 2))
    numbers[1, 2, 0] = numbers[2, 0, 1] = bad
    content = npy(described((4, 3, 2), "<f8", str(order == "F")), numbers.tobytes(order=order))

    words = r"in 2 places, the first at \(1, 2, 0\)"
    assert_refused(load, content, words, NonFiniteError, (4, 3, 2))


def test_not_finite_far_inside(load):
    """A large file is looked through to its end."""
    numbers = np.zeros((50, 4))
    numbers[[17, 49], [3, 0]] = np.nan

    content = npy(described((50, 4)), numbers.tobytes())

    assert_refused(load, content, r"in 2 places, the first at \(17, 3\)", NonFiniteError, (50, 4))


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_no_file_at_all(tmp_path, kind):
    """What is no regular file is refused by name, and never waited for."""
    path = tmp_path / "delta.npy"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)

    with pytest.raises(ArrayError, match=r"delta\.npy: it "):
        load_array(path, SHAPE, "(w, h, c)")


GOOD = npy(described(SHAPE), BODY)


@given(changes=lists(tuples(integers(0, len(GOOD) - 1), integers(0, 255)), max_size=6))
def test_mutated_files_load_or_are_refused(tmp_path_factory, changes):
    """Whatever bytes are changed, a file loads or is bad data: never another error."""
    content = bytearray(GOOD)
    for place, value in changes:
        content[place] = value
    assert_loaded_or_refused(tmp_path_factory, bytes(content))


@given(head=integers(0, len(GOOD)), middle=binary(max_size=9), tail=integers(0, len(GOOD)))
def test_spliced_files_load_or_are_refused(tmp_path_factory, head, middle, tail):
    """Likewise where bytes are lost or come in."""
    assert_loaded_or_refused(tmp_path_factory, GOOD[:head] + middle + GOOD[tail:])


def assert_loaded_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "mutated.npy"
    path.write_bytes(content)
    try:
        array = load_array(path, (None, None, None), "(w, h, c)")
    except DataError:
        return
    assert array.dtype.kind in "fiu"
    assert array.size * array.dtype.itemsize == len(content) - _start(content)
    assert np.isfinite(array.astype(np.float64)).all()


def _start(content):
    if content[6] == 1:
        return 10 + struct.unpack_from("<H", content, 8)[0]
    return 12 + struct.unpack_from("<I", content, 8)[0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_written_is_numpys(tmp_path, order):
    """numpy loads what is written, in C order whatever the array's own."""
    numbers = np.asarray(np.arange(24.0).reshape(4, 3, 2), order=order)
    file = io.BytesIO()
    write_array(file, numbers)
    (tmp_path / "a.npy").write_bytes(file.getvalue())

    assert np.array_equal(np.load(tmp_path / "a.npy"), numbers)
    assert file.getvalue() == header_bytes((4, 3, 2), np.float64) + numbers.tobytes()


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    """SHA-256, hexadecimal, as everybody computes it."""
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(range(256)) * 999)
    assert digest_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
