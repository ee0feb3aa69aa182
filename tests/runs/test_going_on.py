"""A run that goes on with one that was broken off makes what an undisturbed one makes."""

from __future__ import annotations

import pytest
from oracle import tree

from bncli import normalize_folder


def dies_after(count):
    """A progress that ends the run when so many pictures are written."""

    def progress(stage, done, _total):
        if stage == "write" and done == count:
            raise ZeroDivisionError

    return progress


@pytest.mark.parametrize("options", [{}, {"delta": "random"}, {"delta": "random", "update": True}])
def test_gradients_of_pictures_that_were_written_are_written_too(folder, tmp_path, options):
    """Their rows are of the new run, though their files are of the old."""
    run = {**options, "jobs": 1, "resume": True}
    normalize_folder(folder, tmp_path / "whole", **options, jobs=1)
    with pytest.raises(ZeroDivisionError):
        normalize_folder(folder, tmp_path / "out", **run, progress=dies_after(3))
    assert (tmp_path / "out" / ".bncli-run" / "journal").exists()
    normalize_folder(folder, tmp_path / "out", **run)
    made, whole = tree(tmp_path / "out"), tree(tmp_path / "whole")
    assert made.keys() == whole.keys()
    assert all(made[name] == whole[name] for name in made if name != "summary.json")
