from __future__ import annotations

import os

import pytest

from bncli.errors import ImageError, NoPicturesError
from bncli.images.folder import Selection, find_pictures


@pytest.fixture
def tree(tmp_path):
    """Make empty files and give the folder that holds them."""

    def make(*names):
        for name in names:
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "src"

    return make


def names(*sources, **options):
    return [name for _, name in find_pictures(Selection(tuple(map(str, sources)), **options)).files]


def test_a_folder_in_natural_order(tree):
    """The pictures of a folder come in natural order, of any listed suffix in any case."""
    src = tree("p10.png", "p2.JPG", "p1.tiff", "p3.WebP", "p4.pgm")

    assert names(src) == ["p1.tiff", "p2.JPG", "p3.WebP", "p4.pgm", "p10.png"]


def test_what_is_no_picture_is_counted(tree):
    """Hidden files and other suffixes are counted, not read, and not lost in silence."""
    src = tree("a.png", ".DS_Store", "._a.png", "Thumbs.db", "README", "x.jxl", ".hidden/b.png")

    found = find_pictures(Selection((str(src),), recursive=True))

    assert [name for _, name in found.files] == ["a.png"]
    assert found.ignored == 6
    assert found.roots == (src,)
    assert found.parents == ()


def test_recursion_is_asked_for(tree):
    """Folders inside are searched with -r alone; names are relative with forward slashes."""
    src = tree("a.png", "sub/b.png", "sub/deep/c.png")

    assert names(src) == ["a.png"]
    assert names(src, recursive=True) == ["a.png", "sub/b.png", "sub/deep/c.png"]


def test_include_and_exclude(tree):
    """Globs are held against the relative path and against the name; exclude wins."""
    src = tree("a.png", "b.png", "b.jpg", "sub/b.png")

    assert names(src, recursive=True, include=("b.*",)) == ["b.jpg", "b.png", "sub/b.png"]
    assert names(src, recursive=True, include=("sub/*",)) == ["sub/b.png"]
    assert names(src, recursive=True, include=("*.png",), exclude=("b*",)) == ["a.png"]
    found = find_pictures(Selection((str(src),), recursive=True, exclude=("*.jpg", "sub/*")))
    assert found.excluded == 2


def test_globs(tree):
    """A quoted glob is expanded; a file whose name looks like one is taken as it is."""
    src = tree("a1.png", "a2.png", "b1.png", "[a].png", "sub/a3.png")

    assert names(f"{src}/a*.png") == ["a1.png", "a2.png"]
    assert names(f"{src}/**/a*.png") == ["a1.png", "a2.png", "sub/a3.png"]
    assert names(f"{src}/[a].png") == ["[a].png"]


def test_files_named_one_by_one(tree):
    """They are called by their path below the folder they share, whatever their suffix."""
    src = tree("x/a.png", "y/a.png", "y/raw.dat")

    assert names(src / "x/a.png", src / "y/raw.dat", src / "y/a.png") == [
        "x/a.png", "y/a.png", "y/raw.dat",
    ]  # fmt: skip
    assert names(src / "y/a.png") == ["a.png"]
    found = find_pictures(Selection((str(src / "x/a.png"), str(src / "y/a.png"))))
    assert set(found.parents) == {src / "x", src / "y"}
    assert found.roots == ()


def test_files_named_through_dots(tree, monkeypatch):
    """`..` and `.` in a path do not show in the name."""
    src = tree("x/a.png", "y/b.png")
    monkeypatch.chdir(src / "x")

    assert names("a.png", "../y/b.png", "./../x/a.png") == ["x/a.png", "y/b.png"]


def test_links_to_files_are_followed(tree, tmp_path):
    """A folder of links is a data set like any other; dangling ones are found, to be refused."""
    src = tree("real.png")
    (tmp_path / "elsewhere.png").touch()
    (src / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (src / "dangling.png").symlink_to(tmp_path / "nowhere")
    (src / "loop.png").symlink_to(src / "loop.png")

    assert names(src) == ["dangling.png", "link.png", "loop.png", "real.png"]


@pytest.mark.parametrize("target", [".", "..", "../other"])
def test_a_folder_is_visited_once(tree, target):
    """Links between folders that lead round in circles end, and double no picture."""
    src = tree("a.png", "sub/b.png", "other/c.png")
    (src / "sub" / "again").symlink_to(target, target_is_directory=True)

    found = names(src, recursive=True)

    assert sorted(name.rpartition("/")[2] for name in found) == ["a.png", "b.png", "c.png"]


def test_the_same_folder_twice(tree):
    """A folder given twice, or once through a link, counts once."""
    src = tree("a.png")
    (src.parent / "link").symlink_to(src)

    assert names(src, src, src.parent / "link") == ["a.png"]


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.png", b"new\nline.png", b"\x1b[2J.png", b"[red]x[!].png", b"%s{0}$(x).png",
        b"-rf.png", b" .png", "e\u0301.png".encode(), "\u202ertl.png".encode(),
        b"x" * 251 + b".png",
    ],
    ids=ascii,
)  # fmt: skip
def test_odd_names(tree, name):
    """Any name a file system allows is found, and leads back to the file."""
    src = tree("a.png")
    with open(os.fsencode(src) + b"/" + name, "wb"):
        pass

    found = find_pictures(Selection((str(src),)))

    assert os.fsdecode(name) in [each for _, each in found.files]
    assert all(os.access(path, os.R_OK) for path, _ in found.files)


def test_upper_and_lower_case_are_two(tree):
    """On a disk that tells case apart, both are pictures."""
    src = tree("UP.PNG", "up.png")
    if len(list(src.iterdir())) < 2:
        pytest.skip("this disk does not tell case apart")

    assert names(src) == ["UP.PNG", "up.png"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "no such file or folder"),
        ("*.nothing", "matches no file"),
        ("x" * 5000, "no such file or folder"),
        ("nul\0", "no such file or folder"),
    ],
    ids=["missing", "glob", "long", "nul"],
)
def test_sources_that_lead_nowhere(tmp_path, source, words):
    """A source that does not exist is named; no name, however odd, is a bug."""
    with pytest.raises(NoPicturesError, match=words):
        names(f"{tmp_path}/{source}")


def test_nothing_found_says_what_was_there(tree):
    """An empty answer tells how many other files there are, and that -r looks deeper."""
    src = tree("notes.txt", "sub/a.png")

    with pytest.raises(NoPicturesError, match=r"no pictures found \(1 other file\); -r"):
        names(src)
    with pytest.raises(NoPicturesError, match="leave none of 1"):
        names(src, recursive=True, exclude=("*",))


def test_a_folder_that_cannot_be_read(tree, monkeypatch):
    """A folder without permission is a fault like a file without, named and not passed over."""
    src = tree("a.png", "sub/b.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    found = find_pictures(Selection((str(src),), recursive=True))

    reason = "the folder cannot be read: Permission denied"
    assert found.unreadable == ((str(src / "sub"), reason),)
    assert [name for _, name in found.files] == ["a.png"]
    with pytest.raises(ImageError, match=f"sub: {reason}"):
        find_pictures(Selection((str(src / "sub"),)))


def test_what_cannot_be_reached(tree, monkeypatch):
    """Whether a file is there, a folder that keeps it hidden does not say: that is no absence."""
    src = tree("a.png")

    def lstat(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", lstat)
    with pytest.raises(ImageError, match="cannot be reached: Permission denied"):
        find_pictures(Selection((str(src / "b.png"),)))
