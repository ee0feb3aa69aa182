"""The input is never written to: the output folder must lie apart from what is read."""

from __future__ import annotations

import pytest

from bncli.errors import OptionError
from bncli.storage.apart import check_apart, check_file_apart


@pytest.fixture
def src(tmp_path):
    path = tmp_path / "data" / "src"
    (path / "sub").mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("data/src", "is the input folder"),
        ("data/src/", "is the input folder"),
        ("data/src/../src", "is the input folder"),
        ("data/src/sub/..", "is the input folder"),
        ("data/link", "is the input folder"),
        ("data/src/out", "lies inside the input folder"),
        ("data/src/sub/deep/out", "lies inside the input folder"),
        ("data/link/out", "lies inside the input folder"),
        ("data", "holds the input folder"),
        (".", "holds the input folder"),
        ("data/other/..", "holds the input folder"),
    ],
)
def test_output_on_the_input(tmp_path, src, out, words):
    """Equal, inside and above are refused, also through links and `..`."""
    (src.parent / "link").symlink_to(src)
    (src.parent / "other").mkdir()

    with pytest.raises(OptionError, match=words):
        check_apart(tmp_path / out, [src], [])


def test_input_reached_through_a_link(tmp_path, src):
    """It is what the link leads to that counts, on the input's side too."""
    (tmp_path / "link").symlink_to(src)

    with pytest.raises(OptionError, match="is the input folder"):
        check_apart(src, [tmp_path / "link"], [])


@pytest.mark.parametrize("out", ["out", "data/out", "data/src2", "data/sr", "data/src/../out"])
def test_output_beside_the_input(tmp_path, src, out):
    """A neighbour is fine, also one whose name begins alike."""
    check_apart(tmp_path / out, [src], [src])


def test_every_input_counts(tmp_path, src):
    """One input folder of many is enough."""
    with pytest.raises(OptionError, match="is the input folder"):
        check_apart(src, [tmp_path / "elsewhere", src], [])


def test_folder_of_single_files(tmp_path, src):
    """The folder of files named one by one is refused itself, but its subfolders may be used."""
    with pytest.raises(OptionError, match="that of the input files"):
        check_apart(src, [], [src])
    check_apart(src / "out", [], [src])


def test_a_file_apart_from_the_input(tmp_path):
    """Inside a folder that is read, or being a file that is read, by links too: refused."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("in")
    picture = tmp_path / "one.png"
    picture.touch()
    (tmp_path / "alias.png").symlink_to("one.png")
    for bad in ("in/a.png", "in/deep/a.png", "link/a.png", "one.png", "alias.png"):
        with pytest.raises(OptionError):
            check_file_apart(tmp_path / bad, [tmp_path / "in"], [picture])
    check_file_apart(tmp_path / "a.png", [tmp_path / "in"], [picture])
