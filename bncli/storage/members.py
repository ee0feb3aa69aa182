"""Archives of arrays (.npz): checked before they are trusted, and the same bytes at any time.

Nothing is unpacked to disk, and nothing is decompressed: what bncli writes is stored as it is, so
that no member can be larger than its archive.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from numpy.typing import NDArray

from bncli.errors import ArrayError, DataError
from bncli.files import open_regular
from bncli.storage.arrays import (
    HEADER_LIMIT,
    as_array,
    check_finite,
    check_shape,
    naming,
    read_header,
    write_array,
)

_UNIX = 3
_NAMED = 3

Lengths = tuple[int | None, ...]
"""A shape; None stands for any length."""


@dataclass(frozen=True, slots=True)
class Member:
    """What an array of an archive must be.

    Attributes:
        shape: of the array.
        sha256: of its .npy bytes, hexadecimal; None where that is not known.
    """

    shape: Lengths
    sha256: str | None = None


def load_members(path: Path, expected: Mapping[str, Lengths]) -> dict[str, Any]:
    """The arrays of an .npz file that must hold exactly the *expected* members.

    Args:
        path: the file.
        expected: name of each array and its shape.

    Raises:
        ArrayError: it is no sound .npz file, or holds other members.
        ShapeError, NonFiniteError: as for ``load_array``.
    """
    with _opened(path) as (archive, size):
        wanted = {name: Member(shape) for name, shape in expected.items()}
        return _read(archive, wanted, size)


def load_described(
    path: Path, name: str, describe: Callable[[NDArray[Any]], Mapping[str, Member]]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """The arrays of an .npz file of which one says what the others must be.

    Args:
        path: the file.
        name: of the member that is read first; it has one axis.
        describe: makes of it what the other members must be.

    Returns:
        The first member, and the others by name.

    Raises:
        ArrayError: it is no sound .npz file, or holds other members, or other bytes in them.
        ShapeError, NonFiniteError: as for ``load_array``.
    """
    with _opened(path) as (archive, size):
        if f"{name}.npy" not in archive.namelist():
            raise ArrayError(f"it holds no {name}; make it anew")
        first = _read_member(archive, archive.getinfo(f"{name}.npy"), name, Member((None,)), size)
        others = _read(archive, {name: Member((None,)), **describe(first)}, size)
        del others[name]
        return first, others


def write_members(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed .npz file; the same arrays give the same bytes at any time."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            write_member(archive, name, array)


def write_member(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> str:
    """Add one array to an archive that is open for writing.

    Returns:
        The SHA-256 of its .npy bytes, hexadecimal.
    """
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = _UNIX  # by itself it would name the system that it runs on
    info.file_size = array.nbytes + HEADER_LIMIT  # decides on 64-bit sizes
    with archive.open(info, "w") as member:
        digesting = _Digesting(member)
        write_array(digesting, array)  # type: ignore[arg-type]  # it only writes
    return digesting.sha256.hexdigest()


class _Digesting:
    """Takes the SHA-256 of what passes through to a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, content: Any) -> None:
        self.sha256.update(content)
        self._file.write(content)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    with naming(path), open_regular(path) as (file, state), zipfile.ZipFile(file) as archive:
        yield archive, state.size


def _read(archive: zipfile.ZipFile, wanted: Mapping[str, Member], size: int) -> dict[str, Any]:
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in wanted):
        raise ArrayError(_other_members(archive.namelist(), wanted))
    return {
        name: _read_member(archive, archive.getinfo(f"{name}.npy"), name, member, size)
        for name, member in wanted.items()
    }


def _other_members(found: Sequence[str], expected: Mapping[str, Any]) -> str:
    missing = [name for name in expected if f"{name}.npy" not in found]
    if missing:
        return f"it holds no {', '.join(missing[:_NAMED])}; make it anew"
    more = [repr(name) for name in found if name.removesuffix(".npy") not in expected]
    return f"it holds what it should not: {', '.join(more[:_NAMED]) or 'a member twice'}"


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, expected: Member, archive_size: int
) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > archive_size:
        raise ArrayError(f"its member {name} is compressed, which bncli never writes")
    content = archive.read(info)
    if expected.sha256 is not None and hashlib.sha256(content).hexdigest() != expected.sha256:
        raise ArrayError(f"its member {name} is not the one it was written with; make it anew")
    try:
        return _as_numbers(content, name, expected.shape)
    except DataError as error:
        raise type(error)(f"its member {name}: {error}") from error


def _as_numbers(content: bytes, name: str, expected: Lengths) -> NDArray[Any]:
    file = io.BytesIO(content)
    shape, fortran, dtype = read_header(file, len(content))
    check_shape(shape, expected, name)
    array = as_array(memoryview(content)[file.tell() :], shape, fortran, dtype)
    check_finite(array)
    return array
