"""Arrays in .npy files: checked before they are trusted.

Format: NEP 1, "A Simple File Format for NumPy Arrays". Nothing is unpickled, nothing broadcast; the
size that a header declares is held against the size of the file before anything is allocated.

Arrays larger than memory are read and written a row (one picture) at a time. They are not mapped
into memory: mapped pages would count as memory of the process, and a disk that fills up would be a
crash instead of an error.
"""

from __future__ import annotations

import hashlib
import io
import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from bncli.errors import (
    ArrayError,
    BncliError,
    DataError,
    LimitError,
    NonFiniteError,
    ShapeError,
    reason_of,
)  # fmt: skip
from bncli.files import FileState, open_regular
from bncli.storage.disk import reserve

HEADER_LIMIT = 10_000
_KINDS = "fiu"
_PIECE_BYTES = 1 << 20
_VERSIONS = {(1, 0): (2, npy_format.read_array_header_1_0),
             (2, 0): (4, npy_format.read_array_header_2_0)}  # fmt: skip


def load_array(path: Path, expected: tuple[int | None, ...], meaning: str) -> NDArray[Any]:
    """Read a .npy file of finite numbers whole; the array is read-only.

    Args:
        path: the file.
        expected: its shape; None stands for any length.
        meaning: what the axes are, for messages: ``(w, h, c)``.

    Raises:
        ArrayError: it is no sound .npy file of integers or floating-point numbers.
        ShapeError: its shape is another.
        NonFiniteError: it holds NaN or infinity.
    """
    with naming(path), open_regular(path) as (file, state):
        shape, fortran, dtype = read_header(file, state.size)
        check_shape(shape, expected, meaning)
        array = as_array(file.read(), shape, fortran, dtype)
        check_finite(array)
    return array


def write_array(file: IO[bytes], array: NDArray[Any], dtype: DTypeLike | None = None) -> None:
    """Write a .npy file in C order, converted to *dtype*, without a copy of the whole."""
    target = np.dtype(array.dtype if dtype is None else dtype)
    file.write(header_bytes(array.shape, target))
    if array.ndim == 0:
        file.write(narrowed(array, target).tobytes())
        return
    rows = max(1, _PIECE_BYTES // max(1, target.itemsize * math.prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        file.write(narrowed(array[start : start + rows], target).data)


def narrowed(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same numbers in C order and of *dtype*.

    Raises:
        NonFiniteError: one of them is too large for it.
    """
    try:
        with np.errstate(over="raise"):
            return np.asarray(array, dtype, order="C")
    except FloatingPointError as error:
        raise NonFiniteError(
            f"a result is too large for {dtype}; choose --dtype float64, or rescale what you gave"
        ) from error


def header_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> bytes:
    """The header of a .npy file in C order, to be followed by the numbers."""
    buffer = io.BytesIO()
    described = {
        "descr": npy_format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    npy_format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is found wrong with it."""
    try:
        yield
    except DataError as error:
        kind = ArrayError if type(error) is DataError else type(error)
        raise kind(f"{path}: {error}", paths=(str(path),)) from error
    except BncliError:
        raise
    except MemoryError as error:
        raise LimitError(
            f"{path}: there is not enough memory for it", paths=(str(path),)
        ) from error
    except Exception as error:  # zipfile raises nearly every kind there is on damaged files
        message = (
            f"{path}: it cannot be read ({reason_of(error)}); it is damaged, or of another kind"
        )
        raise ArrayError(message, paths=(str(path),)) from error


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file that is read, hexadecimal.

    Raises:
        ArrayError: it cannot be read.
    """
    with naming(path), open_regular(path) as (file, _):
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def read_header(file: BinaryIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and dtype that a .npy file of *size* bytes declares, found sound.

    Raises:
        ArrayError: it is damaged or hostile, or holds no numbers; the message does not name it.
    """
    try:
        version = npy_format.read_magic(file)
    except ValueError as error:
        raise ArrayError("it is no .npy file; save it with numpy.save") from error
    if version not in _VERSIONS:
        raise ArrayError(f"it is of .npy version {version}; save it with numpy.save")
    length_bytes, read = _VERSIONS[version]
    declared = int.from_bytes(file.read(length_bytes), "little")
    if declared > HEADER_LIMIT:
        # numpy would allocate what the header claims before it compares it with its own limit.
        raise ArrayError(
            f"its header claims {declared:,} bytes; it is damaged or hostile; save it anew"
        )
    file.seek(-length_bytes, io.SEEK_CUR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(file, max_header_size=HEADER_LIMIT)
    except Exception as error:  # tokenizer, type and memory errors besides ValueError
        raise ArrayError("its header is damaged; save it with numpy.save") from error
    if dtype.kind not in _KINDS:
        raise ArrayError(f"it holds {dtype}; it must hold integers or floating-point numbers")
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise ArrayError(f"its header declares the shape {shape}; it is damaged, save it anew")
    expected = math.prod(shape) * dtype.itemsize
    present = size - file.tell()
    if expected != present:
        raise ArrayError(
            f"its header declares {expected:,} bytes of numbers, but it has {present:,}; "
            "it is truncated or damaged; fetch or save it anew"
        )
    return shape, fortran, dtype


def check_shape(
    shape: tuple[int, ...], expected: tuple[int | None, ...], meaning: str
) -> None:  # fmt: skip
    """Raise ShapeError with both shapes unless they fit; swapped width and height are named."""
    fits = len(shape) == len(expected) and all(
        length == given or (length is None and given > 0)
        for given, length in zip(shape, expected, strict=True)
    )
    if fits:
        return
    wanted = ", ".join("any" if length is None else str(length) for length in expected)
    message = f"its shape is {shape}, but it must be {meaning} = ({wanted})"
    swapped = (*expected[:-3], *expected[-3:-1][::-1], *expected[-1:])
    if len(expected) >= 3 and shape == swapped != expected:  # noqa: PLR2004 - (w, h, c)
        message += "; width and height are swapped: transpose it, the width comes first"
    raise ShapeError(message)


class FiniteCheck:
    """Counts NaN and infinity over the pieces of an array, and keeps the first place."""

    def __init__(self) -> None:
        self._bad = 0
        self._first: tuple[int, ...] = ()

    def add(self, piece: NDArray[Any], place: tuple[int, ...] = ()) -> None:
        """Look at a piece whose indices in the whole array begin with *place*."""
        wrong = ~np.isfinite(piece)
        if not wrong.any():
            return
        if not self._bad:
            self._first = (*place, *map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))
        self._bad += int(np.count_nonzero(wrong))

    def done(self) -> None:
        """Raise NonFiniteError if there were any."""
        if self._bad:
            places = f"{self._bad} places, the first at {self._first}"
            raise NonFiniteError(f"it holds NaN or infinity in {places}; replace them")


def check_finite(array: NDArray[Any]) -> None:
    """Raise NonFiniteError, with count and first place, if there is NaN or infinity."""
    if array.dtype.kind == "f":
        check = FiniteCheck()
        check.add(array)
        check.done()


def as_array(
    content: bytes | memoryview, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The numbers of a .npy file after its header, without a copy; read-only."""
    numbers: NDArray[Any] = np.frombuffer(content, dtype)
    return numbers.reshape(shape, order="F" if fortran else "C")


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """A .npy file of finite numbers whose rows are read when they are asked for.

    Attributes:
        path: the file.
        shape: of the whole array.
        dtype: of its numbers, in the byte order of the file.
        fortran: whether the first axis runs fastest.
        offset: of the first number.
        state: of the file when it was checked.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    state: FileState

    def __len__(self) -> int:
        return self.shape[0]

    def row(self, index: int) -> NDArray[Any]:
        """The *index*-th row.

        Raises:
            ArrayError: the file is no longer what was checked.
        """
        with naming(self.path), open_regular(self.path) as (file, state):
            if state != self.state:
                raise ArrayError("it was changed while bncli was running; run again")
            return self._read(file, index)

    def _read(self, file: BinaryIO, index: int) -> NDArray[Any]:
        if self.fortran:
            whole: NDArray[Any] = np.memmap(file, self.dtype, "r", self.offset, self.shape, "F")
            return np.array(whole[index])
        count = math.prod(self.shape[1:])
        file.seek(self.offset + index * count * self.dtype.itemsize)
        content = file.read(count * self.dtype.itemsize)
        return np.frombuffer(content, self.dtype, count).reshape(self.shape[1:])


def open_rows(path: Path, expected: tuple[int | None, ...], meaning: str) -> ArrayRows:
    """Check a .npy file whole, and hand out its rows later.

    Args:
        path: the file.
        expected: its shape; None stands for any length.
        meaning: what the axes are, for messages: ``(batch, w, h, c)``.

    Raises:
        ArrayError: it is no sound .npy file of integers or floating-point numbers.
        ShapeError: its shape is another.
        NonFiniteError: it holds NaN or infinity.
    """
    with naming(path), open_regular(path) as (file, state):
        shape, fortran, dtype = read_header(file, state.size)
        check_shape(shape, expected, meaning)
        rows = ArrayRows(path, shape, dtype, fortran, file.tell(), state)
        if dtype.kind == "f":
            check = FiniteCheck()
            for index in range(len(rows)):
                check.add(rows._read(file, index), (index,))  # noqa: SLF001 - its maker
            check.done()
    return rows


class RowWriter:
    """A .npy file in C order that is filled a row at a time, from any thread.

    Args:
        file: open for writing, empty; it stays the caller's to close.
        shape, dtype: of the whole array; its space is claimed at once.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        header = header_bytes(shape, dtype)
        file.write(header)
        file.flush()
        self._file = file
        self._start = len(header)
        self._dtype = np.dtype(dtype)
        self._row_bytes = math.prod(shape[1:]) * self._dtype.itemsize
        self._lock = threading.Lock()
        reserve(file.fileno(), self._start, shape[0] * self._row_bytes)

    def write(self, index: int, row: NDArray[Any]) -> None:
        """Write the *index*-th row, of any layout, rounded to the file's dtype."""
        content = narrowed(row, self._dtype)
        with self._lock:
            self._file.seek(self._start + index * self._row_bytes)
            self._file.write(content.data)
            self._file.flush()  # so that a full disk is met here
