"""Arrays read and written a row at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bncli.errors import ArrayError, NonFiniteError, ShapeError
from bncli.storage.arrays import RowWriter, open_rows

ANY = (None, None, None)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "|u1", ">i2"])
def test_rows_are_those_of_numpy(tmp_path, rng, order, dtype):
    """Every row is what numpy.load reads, in either order, width and byte order."""
    array = np.asarray(rng.integers(0, 100, (5, 3, 4)), dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    rows = open_rows(tmp_path / "a.npy", ANY, "(batch, w, h)")

    assert len(rows) == 5
    assert rows.shape == (5, 3, 4)
    assert all(np.array_equal(rows.row(index), array[index]) for index in (4, 0, 2))


def test_faults_are_found_before_the_first_row(tmp_path, rng):
    """Wrong shape, damage, and NaN, with count and first index in the whole array."""
    array = rng.random((5, 3, 4))
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ShapeError, match=r"\(5, 3, 4\)"):
        open_rows(tmp_path / "a.npy", (4, 3, 4), "(batch, w, h)")
    array[3, 1, 2] = array[4, 0, 0] = np.inf
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(NonFiniteError, match=r"2 places, the first at \(3, 1, 2\)"):
        open_rows(tmp_path / "a.npy", ANY, "(batch, w, h)")
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArrayError, match="truncated or damaged"):
        open_rows(tmp_path / "a.npy", ANY, "(batch, w, h)")


def test_a_file_that_changes(tmp_path, rng):
    """A row of a file that was changed after it was checked is refused."""
    np.save(tmp_path / "a.npy", rng.random((5, 3, 4)))
    rows = open_rows(tmp_path / "a.npy", ANY, "(batch, w, h)")
    np.save(tmp_path / "a.npy", rng.random((6, 3, 4)))
    with pytest.raises(ArrayError, match=r"a\.npy: it was changed"):
        rows.row(0)


def test_written_from_many_threads(tmp_path, rng):
    """Rows written in any order, from threads, of any layout, make the file numpy.save makes."""
    array = rng.random((40, 30, 20)).swapaxes(1, 2)
    with (tmp_path / "a.npy").open("xb") as file, ThreadPoolExecutor(4) as pool:
        writer = RowWriter(file, array.shape, "f4")
        list(pool.map(lambda index: writer.write(index, array[index]), reversed(range(40))))
    np.save(tmp_path / "b.npy", np.ascontiguousarray(array, "f4"))

    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
