"""Data never becomes code, and nothing is taken from where it should not be."""

from __future__ import annotations

import ast
import ctypes
import pickle
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from oracle import bncli
from PIL import Image

import bncli as package

SOURCES = sorted(Path(package.__file__).parent.rglob("*.py"))
ROOT = Path(__file__).parents[2]

DANGEROUS_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "code", "pty"}
DANGEROUS_CALLS = {"eval", "exec", "__import__", "from_npy_stack", "unsafe_load"}
DANGEROUS_METHODS = {("os", "system"), ("os", "popen")}
DANGEROUS_FLAGS = {"shell", "allow_pickle"}


def dangers(text):
    """What in a source could turn data into code."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                named = {(node.module or "").split(".")[0]}
            yield from named & DANGEROUS_MODULES
        elif isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "id", None) or getattr(function, "attr", "")
            owner = getattr(getattr(function, "value", None), "id", "")
            if name in DANGEROUS_CALLS or (owner, name) in DANGEROUS_METHODS:
                yield name
            for flag in node.keywords:
                off = isinstance(flag.value, ast.Constant) and flag.value.value is False
                if flag.arg in DANGEROUS_FLAGS and not off:
                    yield flag.arg


def test_the_source_holds_no_such_thing():
    """No eval, exec, pickle, or shell anywhere, but between bncli's own processes."""
    found = {
        f"{path.parent.name}/{path.name}: {what}"
        for path in SOURCES
        for what in dangers(path.read_text())
    }

    # Over a pipe to a child that it has started itself, and never from it.
    assert found == {"engines/child.py: pickle", "engines/processes.py: pickle"}
    assert "pickle.load" not in (Path(package.__file__).parent / "engines/processes.py").read_text()


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from yaml import load", "eval('1')", "np.load(f, allow_pickle=True)",
     "subprocess.run(x, shell=True)", "os.system('x')", "import os, shelve"],
)  # fmt: skip
def test_the_search_finds(text):
    """The search above is no blind one."""
    assert list(dangers(text))


def test_dependencies_exclude_known_faults():
    """Every dependency has a lower bound; Pillow's is past its known memory faults."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    named = [*project["dependencies"], *(one for extra in extras for one in extra)]
    unbounded = [one for one in named if ">=" not in one and not one.startswith("bncli[")]

    assert unbounded == []
    assert "pillow>=13" in named


@pytest.mark.parametrize("command", ["normalize", "gradcheck"])
def test_modules_lying_about_are_not_imported(command, tmp_path, folder):
    """Neither from the current folder nor from among the pictures, by the console script."""
    home = tmp_path / "home"
    home.mkdir()
    for place in (home, folder):
        for name in ("numpy", "PIL", "json", "click", "rich", "isal", "tifffile", "bncli", "site"):
            (place / f"{name}.py").write_text(
                f"open({str(tmp_path / 'HIT')!r}, 'w')\nraise SystemExit(9)"
            )
    script = Path(sys.executable).with_name("bncli")
    words = {"normalize": ["normalize", folder, "-o", tmp_path / "out"],
             "gradcheck": ["gradcheck", "--images", folder]}[command]  # fmt: skip
    done = subprocess.run([script, *words], cwd=home, check=False, capture_output=True)

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "HIT").exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("option", ["--delta", "--gamma", "--state", "SRC"])
@pytest.mark.parametrize("kind", ["pickle", "object array"])
def test_pickles_are_not_opened(option, kind, folder, tmp_path):
    """Wherever a file of arrays is taken, one that holds a pickle is refused and runs nothing."""
    mark = tmp_path / "PWNED"
    path = tmp_path / "x.npy"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    else:
        np.save(path, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    words = {"--delta": [folder, "--delta", path], "--gamma": [folder, "--gamma", path],
             "--state": [folder, "--delta", "ones", "--update", "--state", path],
             "SRC": [path]}[option]  # fmt: skip
    run = bncli("normalize", *words, "-o", tmp_path / "out")

    assert run.code == 5, run.err
    assert run.err.count("\n") == 1
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_what_a_link_leads_to_is_not_told(folder, tmp_path):
    """A link from among the pictures to a file of secrets is refused without a word of it."""
    for number, start in enumerate((b"", b"P5 ", b"P6\n", b"BM", b"GIF89a", b"II*\0", b"\xff\xd8")):
        (tmp_path / f"secret{number}").write_bytes(start + b"root:hunter2:0:0:" * 9)
        (folder / f"link{number}.png").symlink_to(tmp_path / f"secret{number}")
    run = bncli("normalize", folder, "-o", tmp_path / "out", "--json")

    assert run.code == 5
    assert run.err.count("link") == 7
    assert "hunter2" not in run.err + run.out


def _without_override():
    """Root may read everything; what is started next may not."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="root is bound to permissions on Linux alone")
@pytest.mark.parametrize("kind", ["file", "folder", "folder inside", "above"])
def test_what_may_not_be_read(kind, folder, tmp_path):
    """Files and folders without permission are named, exit 5, whoever they belong to."""
    words = ["normalize", folder, "-r", "-o", tmp_path / "out"]
    (folder / "sub").mkdir()
    shutil.copy(folder / "p1.png", folder / "sub" / "q.png")
    closed = {"file": folder / "p2.png", "folder": folder, "folder inside": folder / "sub",
              "above": folder}[kind]  # fmt: skip
    if kind == "above":
        words[1] = folder / "p3.png"
    closed.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bncli", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=_without_override,
        )
    finally:
        closed.chmod(0o755)

    assert done.returncode == 5, done.stderr
    assert done.stderr.count("\n") == 1
    assert str(closed.name) in done.stderr
    assert "Permission denied" in done.stderr


def test_skipping_an_unreadable_folder(folder, tmp_path, monkeypatch):
    """--on-error skip goes on without it and says so: exit 3, named in the summary."""
    from bncli import normalize_folder
    from bncli.images.folder import _Search

    (folder / "sub").mkdir()
    entries = _Search._entries

    def refuse(self, path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return entries(self, path)

    monkeypatch.setattr(_Search, "_entries", refuse)
    summary = normalize_folder(folder, tmp_path / "out", recursive=True, on_error="skip")

    assert summary.exit_code == 3
    assert [fault.name for fault in summary.faults] == [str(folder / "sub")]


def test_metadata_stays_behind(tmp_path, rng):
    """Where a photograph was taken and by whom is not copied to the results."""
    source = tmp_path / "source"
    source.mkdir()
    for name in "ab":
        image = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
        exif = image.getexif()
        exif[0x010E], exif[0x8825] = "hunter2", {1: "N", 2: (1.0, 2.0, 3.0)}
        image.save(source / f"{name}.jpg", exif=exif, comment=b"hunter2")
    for picture_format in ("png", "tiff"):
        out = tmp_path / picture_format
        assert bncli("normalize", source, "-o", out, "--format", picture_format).code == 0
        for path in out.iterdir():
            assert b"hunter2" not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [("lossless", {"lossless": True}), ("12-bit", {"bitspersample": 12})],
)
def test_unusual_jpeg(tmp_path, name, options, rng):
    """Lossless and 12-bit JPEG: refused, or the pixels as they were."""
    pixels = rng.integers(0, 256, (16, 24), dtype=np.uint8)
    values = pixels.astype(np.uint16) * 16 if "bitspersample" in options else pixels
    content = imagecodecs.jpeg8_encode(values, **options)
    source = tmp_path / "source"
    source.mkdir()
    for copy in "ab":
        (source / f"{copy}.jpg").write_bytes(content)
    run = bncli("normalize", source, "-o", tmp_path / "out", "--json")

    if run.code == 0:
        assert name == "lossless"
        with Image.open(source / "a.jpg") as image:
            assert np.array_equal(np.asarray(image), pixels)
    else:
        assert run.code == 5, run.err
        assert not (tmp_path / "out").exists()


def test_names_that_bncli_itself_uses(folder, tmp_path):
    """Pictures called like bncli's own files, in folders too, come out one for one."""
    (folder / "sub").mkdir()
    for name in ("summary.png", "grad_input.png", "stats.png", "sub/p1.png", "UP.PNG", "up.bmp"):
        with Image.open(folder / "p2.png") as image:
            image.save(folder / name)
    run = bncli("normalize", folder, "-r", "-o", tmp_path / "out", "--delta", "ones", "--json")

    assert run.code == 0, run.err
    paths = [output["path"] for output in run.document["outputs"]]
    assert len(set(paths)) == len(paths) == 11
    assert all((tmp_path / "out" / path).is_file() for path in paths)
