"""Arrays larger than memory: .npy files read and written a row (one picture) at a time.

They are not mapped into memory: mapped pages would count as memory of the process, and a disk that
fills up would be a crash instead of an error.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bncli.errors import ArrayError
from bncli.files import FileState, open_regular
from bncli.storage.arrays import (
    FiniteCheck,
    check_shape,
    header_bytes,
    naming,
    narrowed,
    read_header,
)
from bncli.storage.disk import reserve


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
