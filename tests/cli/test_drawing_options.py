"""--contact-sheet and --report by the real command: refusals come first, and leave nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from oracle import bncli, tree

OPTIONS = [("--contact-sheet", "s.png"), ("--report", "r.html")]
PAGES = importlib.util.find_spec("jinja2") is not None


@pytest.fixture(params=OPTIONS, ids=["sheet", "report"])
def option(request):
    if request.param[0] == "--report" and not PAGES:
        pytest.skip("jinja2 is not installed")
    return request.param


@pytest.mark.parametrize(
    ("place", "code"),
    [("pictures/{}", 2), ("none/{}", 6), ("there/{}", 6), ("{}.txt", 2), ("pictures/deep/{}", 2)],
)
def test_impossible_places(folder, tmp_path, option, place, code):
    """In the input, without a folder, over a file, of another kind: refused, nothing written."""
    name, file = option
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / file).write_bytes(b"mine")
    (folder / "deep").mkdir()
    before = tree(tmp_path)
    run = bncli("normalize", folder, "-o", "out", name, place.format(file), cwd=tmp_path)

    assert run.code == code
    assert len(run.err.splitlines()) == 1
    assert file in run.err
    assert tree(tmp_path) == before


def test_overwrite(folder, tmp_path, option):
    """A drawing outside OUT is replaced with --overwrite, by the same bytes."""
    for _ in range(2):
        run = bncli("normalize", folder, "-o", "out", *option, "--overwrite", cwd=tmp_path)
        assert run.code == 0, run.err
    first = (tmp_path / option[1]).read_bytes()
    again = bncli("normalize", folder, "-o", "other", *option, cwd=tmp_path)
    assert again.code == 6
    assert (tmp_path / option[1]).read_bytes() == first
    assert not (tmp_path / "other").exists()


def test_a_batch_that_cannot_be_used(folder, tmp_path, option):
    """A fault in the pictures leaves no drawing; a dry run draws nothing either."""
    dry = bncli("normalize", folder, "-o", "out", *option, "-n", cwd=tmp_path)
    (folder / "p2.png").write_bytes(b"no picture")
    run = bncli("normalize", folder, "-o", "out", *option, cwd=tmp_path)

    assert (dry.code, run.code) == (0, 5)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


WITHOUT = (
    "import importlib.util as u, sys\n"
    "find = u.find_spec\n"
    "u.find_spec = lambda name, *more: None if name == 'jinja2' else find(name, *more)\n"
    "from bncli.cli.entry import main\n"
    "main(sys.argv[1:])"
)


@pytest.mark.parametrize("command", [["normalize", "pictures", "-o", "out"], ["gradcheck"]])
def test_missing_extra(folder, tmp_path, command):
    """Without jinja2 --report is refused before anything is read, with the command that helps."""
    (folder / "p2.png").write_bytes(b"no picture")  # would be exit 5, were it looked at
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *command, "--report", "r.html"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "Error: --report needs jinja2: pip install 'bncli[report]'\n"
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_nothing_more_is_loaded(folder, tmp_path):
    """A run that draws nothing loads neither what draws nor what makes pages."""
    code = (
        "import sys\nfrom bncli.cli.entry import main\n"
        f"try: main(['normalize', {str(folder)!r}, '-o', {str(tmp_path / 'out')!r}, '-q'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "drawing = ('jinja2', 'markupsafe', 'PIL.ImageDraw', 'PIL.ImageFont', "
        "'bncli.drawing.gallery', 'bncli.drawing.run_page', 'bncli.drawing.sheet')\n"
        "print([name for name in drawing if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(not PAGES, reason="jinja2 is not installed")
def test_gradcheck_refuses_places_too(folder, tmp_path):
    """Over a file, in the pictures, of another kind: refused before anything is checked."""
    (tmp_path / "r.html").write_bytes(b"mine")
    before = tree(tmp_path)
    for place, code in (("r.html", 6), ("pictures/r.html", 2), ("r.txt", 2), ("none/r.html", 6)):
        run = bncli("gradcheck", "--images", folder, "--report", place, cwd=tmp_path)
        assert run.code == code, place
        assert len(run.err.splitlines()) == 1
    assert tree(tmp_path) == before
