"""Every command in every surrounding: nothing raw reaches the terminal, and nothing crashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import click
import numpy as np
import pytest
from oracle import bncli, bncli_onto_full, tree
from PIL import Image

from bncli.cli.entry import bncli as group

COMMANDS = group.list_commands(click.Context(group))
HOSTILE = os.fsdecode(
    "esc\x1b[2J\x1b]0;t\x07 c1\x9b2J nl\n cr\r tab\t rtl\u202e [/a] [red] %s{0}$(x) \u00e9".encode()
    + b" \xff"
)
NAME = HOSTILE.replace("/", "")
BARE = {"PATH": os.environ["PATH"]}
SURROUNDINGS = {
    "usual": dict(os.environ),
    "ascii": {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "strict ascii": {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict"},
    "strict utf-8": {**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    "narrow": {**os.environ, "COLUMNS": "20", "LINES": "3"},
    "nonsense": {
        **BARE,
        "COLUMNS": "wide",
        "TERM": "\x1b[2J",
        "LANG": "no_SUCH.charset",
        "HOME": "",
    },
    "bare": BARE,
}


def asked(command):
    """The least that can be asked of a command, with a hostile name for every file."""
    words = []
    for parameter in group.get_command(click.Context(group), command).params:
        if isinstance(parameter, click.Argument):
            words += [HOSTILE] * (1 + (parameter.nargs == -1))
        elif parameter.required:
            words += [parameter.opts[0], NAME + ".npz"]
    return [command, *words]


def takes_files(command):
    """Whether an argument of the command is the name of a file, or of a target in one."""
    parameters = group.get_command(click.Context(group), command).params
    arguments = [one for one in parameters if isinstance(one, click.Argument)]
    return any(not isinstance(one.type, click.Choice) for one in arguments)


def assert_tame(text):
    """No character but printable ones and line ends."""
    raw = {c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"}}
    assert raw == set()


@pytest.mark.parametrize("surrounding", ["usual", "ascii", "strict ascii", "nonsense"])
@pytest.mark.parametrize("command", [name for name in COMMANDS if takes_files(name)])
def test_names_that_lead_nowhere(command, surrounding, tmp_path):
    """Whatever a name holds, it comes out escaped, on one line, with an exit code."""
    run = bncli(*asked(command), env=SURROUNDINGS[surrounding], cwd=tmp_path)

    assert run.code in {2, 4, 5}, run.err
    assert_tame(run.out + run.err)
    # Where ASCII is all there is, what stands above it are bytes.
    c1, rtl = (r"\xc2\x9b", r"\xe2\x80\xae") if surrounding == "ascii" else (r"\x9b", r"\u202e")
    shown = rf"esc\x1b[2J\x1b]0;t\x07 c1{c1}2J nl\n cr\r tab\t rtl{rtl} [/a] [red] %s{{0}}$(x) "
    assert shown in run.err
    assert run.err.endswith("\n")
    assert "\\xff" in run.err
    if "ascii" in surrounding:
        assert run.err.isascii()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("surrounding", ["ascii", "narrow", "nonsense"])
def test_help_pages(command, surrounding):
    """Help is to be had everywhere, in the characters of the terminal."""
    run = bncli(command, "--help", env=SURROUNDINGS[surrounding])

    assert run.code == 0, run.err
    assert run.out.startswith("Usage: bncli ")
    assert_tame(run.out + run.err)


def test_paths_are_judged_by_bncli():
    """Whether a file can be read is a matter of the input, exit 5, not of usage, exit 2."""
    judged = [
        f"{command} {parameter.name}"
        for command in COMMANDS
        for parameter in group.get_command(click.Context(group), command).params
        if isinstance(parameter.type, click.Path) and parameter.type.readable
    ]
    assert judged == []


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory):
    """A folder and pictures of hostile names, one in a folder whose name is half a markup."""
    folder = tmp_path_factory.mktemp("hostile") / NAME
    (folder / "[").mkdir(parents=True)
    rng = np.random.default_rng(8)
    for name in (f"{NAME}1.png", "-rf.png", f"{'n' * 248}2.png", "[/a].png"):
        Image.fromarray(rng.integers(0, 256, (3, 4), np.uint8)).save(folder / name)
    return folder


def working(command, folder, out):
    """A job that succeeds, for each command that has one for pictures alone."""
    return {
        "normalize": ["normalize", folder, "-r", "-o", out / NAME, "-v"],
        "gradcheck": ["gradcheck", "--images", folder, "--heatmap", out / NAME, "-v"],
        "fit": ["fit", folder, "-r", "-o", out / f"{NAME}.npz", "-v"],
    }.get(command)


WORKING = [command for command in COMMANDS if working(command, Path(), Path())]


@pytest.mark.parametrize(
    ("surrounding", "color"),
    [*((name, "auto") for name in SURROUNDINGS), ("ascii", "always"), ("narrow", "always")],
)
@pytest.mark.parametrize("command", WORKING)
def test_names_that_work(command, surrounding, color, hostile_folder, tmp_path):
    """Pictures of any name are read and written, and shown escaped, in boxes or without."""
    words = working(command, hostile_folder, tmp_path)
    run = bncli(*words, "--color", color, env=SURROUNDINGS[surrounding])

    assert run.code == 0, run.err
    assert len(tree(tmp_path)) >= 1
    assert "\x1b[2J" not in run.out + run.err
    assert "\x9b" not in run.out + run.err
    if color == "auto":
        assert_tame(run.out + run.err)
    assert "MarkupError" not in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("command", [name for name in WORKING if name != "normalize"])
def test_streams_that_are_full(command, stream, folder, tmp_path):
    """Whatever cannot be said, the exit code is one of the contract, without a traceback."""
    for json in ([], ["--json"]):
        shutil.rmtree(tmp_path / NAME, ignore_errors=True)
        run = bncli_onto_full(stream, *working(command, folder, tmp_path), *json)
        assert run.code in {0, 6}
        assert "Traceback" not in run.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("command", [name for name in WORKING if name != "normalize"])
def test_streams_that_are_closed(command, closed, folder, tmp_path):
    """Whatever stream is gone, the exit code is one of the contract, without a traceback."""
    words = [f"'{word}'" for word in working(command, folder, tmp_path)]
    err = tmp_path / "err"
    redirected = closed if "2>" in closed else f"{closed} 2>'{err}'"
    for json in ("", "--json"):
        shutil.rmtree(tmp_path / NAME, ignore_errors=True)
        line = f"'{sys.executable}' -m bncli {' '.join(words)} {json} {redirected}"
        done = subprocess.run([b"/bin/bash", b"-c", os.fsencode(line)], check=False)
        assert done.returncode in {0, 6}
        if err.exists():
            assert "Traceback" not in err.read_text()


def test_lists_of_files_from_windows(folder, tmp_path):
    """Lines that end as on Windows, after a mark, or in UTF-16, are names like others."""
    names = [str(folder / f"p{number}.png") for number in (1, 2, 3)]
    lines = "\r\n".join(names) + "\r\n"
    odd = folder / "p1.png\r"
    shutil.copy(folder / "p1.png", odd)
    mixed = "\n".join([*map(str, names[1:]), str(odd)])
    for number, content in enumerate(
        [lines.encode(), b"\xef\xbb\xbf" + lines.encode(), lines.encode("utf-16"),
         lines.encode().rstrip(), mixed.encode()]
    ):  # fmt: skip
        listed = tmp_path / f"list{number}"
        listed.write_bytes(content)
        run = bncli("normalize", "--files-from", listed, "-o", tmp_path / f"o{number}", "--json")
        assert run.code == 0, run.err
        assert run.document["images"]["count"] == 3


def test_alpha_is_told(tmp_path):
    """Where some pictures have alpha, the table and the document say how many, and what became."""
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(4)
    for number, channels in enumerate((3, 4, 3)):
        pixels = rng.integers(0, 256, (5, 7, channels), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    for rule, words in (("keep", "copied through"), ("drop", "dropped")):
        out = tmp_path / rule
        shown = bncli("normalize", source, "-o", out, "--alpha", rule)
        assert f"{words}; 1 of 3 pictures have it" in shown.out
        document = bncli(
            "normalize", source, "-o", tmp_path / "no", "--alpha", rule, "--json", "-n"
        ).document
        assert document["images"]["with_alpha"] == 1
        assert document["images"]["alpha"] == rule
    shutil.rmtree(source)
