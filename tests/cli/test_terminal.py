"""Terminals of all kinds: colours, widths, and progress that leaves nothing behind."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
from oracle import bncli
from rich.console import Console

from bncli.cli import progress

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

SLOWLY = """
import sys, time
from bncli.storage.output import RunFolder
write = RunFolder.write
def slowly(self, *arguments):
    time.sleep(0.4)
    return write(self, *arguments)
RunFolder.write = slowly
from bncli.cli.entry import main
main(sys.argv[1:])
"""


def seen(arguments, columns=80, code=None, *, stderr_only=False, **variables):
    """Run on a pseudo-terminal of so many columns; exit code and the bytes that came."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    unset = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [sys.executable, *(["-c", code] if code else ["-m", "bncli"]), *map(str, arguments)],
        stdin=child,
        stdout=subprocess.DEVNULL if stderr_only else child,
        stderr=child,
        env={**env, "TERM": "xterm-256color", **variables},
    )
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    return process.wait(), shown.decode(errors="replace")


@pytest.mark.parametrize(
    ("arguments", "variables", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"CLICOLOR": "0"}, False),
        ([], {"TERM": "dumb"}, False),
        ([], {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_on_a_terminal(folder, tmp_path, arguments, variables, coloured):
    """--color goes before NO_COLOR, and that before all others; the text is always whole."""
    code, shown = seen(
        ["normalize", folder, "-o", tmp_path / "out", "--progress", "never", *arguments],
        **variables,
    )
    assert code == 0
    assert bool(COLOUR.search(shown)) == coloured
    assert (ESCAPE in shown) == coloured
    assert "dead pixels" in shown


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"CLICOLOR_FORCE": "1"}, True),
     ({"CLICOLOR_FORCE": "0"}, False), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)  # fmt: skip
def test_colours_in_a_pipe(folder, tmp_path, variables, coloured):
    """None, unless they are asked for."""
    env = {**os.environ, **variables}
    run = bncli("normalize", folder, "-o", tmp_path / "out", env=env)
    assert run.code == 0
    assert bool(COLOUR.search(run.out)) == coloured


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_numbers_are_never_cut(folder, tmp_path, monkeypatch, columns):
    """However narrow the terminal is, nothing of a number is left out."""
    monkeypatch.chdir(tmp_path)  # a long path would make the table wider than the terminal
    code, wide = seen(["normalize", folder, "-o", "a", "--color", "never"], 200)
    arguments = ["normalize", folder, "-o", "b", "--progress", "never"]
    code, shown = seen(arguments, columns, NO_COLOR="1")
    assert code == 0
    assert "…" not in shown
    numbers = re.findall(r"-?\d+\.\d{4,}", wide)
    assert numbers
    assert all(number in shown for number in numbers)
    if columns >= 80:
        assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("columns", [20, 80])
def test_the_bar_is_one_line_and_gone(folder, tmp_path, columns):
    """It is redrawn in place, never wider than the terminal, and erased at the end."""
    arguments = [
        "normalize",
        folder,
        "-o",
        tmp_path / "out",
        "-q",
        "--progress",
        "always",
        "--jobs",
        "1",
    ]
    code, shown = seen(arguments, columns, SLOWLY, stderr_only=True)

    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    drawn = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert any("write" in line for line in drawn)
    assert max(map(len, drawn)) <= columns
    if columns == 80:
        assert any(re.search(r"\d of 5, \d+\.\d/s, \d+ s left", line) for line in drawn)
    assert shown.endswith(("\x1b[2K", "\x1b[2K\r", "\x1b[?25h\r\x1b[1A\x1b[2K"))


@pytest.mark.parametrize("columns", [20, 37, 60, 80, 100])
def test_large_numbers_keep_to_their_line(monkeypatch, columns):
    """A million pictures, hours to go: still one line, and nothing of it cut."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, width=columns, color_system=None)
    with progress.progress_bar(console) as follow:
        for done in (1, 300_000):
            clock[0] += 2000
            follow("write", done, 1_000_000)

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", paper.getvalue())
    drawn = [line.rstrip() for line in re.split(r"[\r\n]+", plain) if "300000" in line]
    assert drawn
    assert max(map(len, drawn)) <= columns
    assert all(line.endswith((" left", "/1000000")) for line in drawn)


def test_a_terminal_that_moves_no_cursor(folder, tmp_path):
    """Lines instead of a bar."""
    arguments = ["normalize", folder, "-o", tmp_path / "out", "--progress", "always"]
    code, shown = seen(arguments, stderr_only=True, TERM="dumb")
    assert code == 0
    assert ESCAPE not in shown
    assert "write 5 of 5" in shown


def test_progress_in_a_log(folder, tmp_path):
    """--progress always: a line at the end of each stage; never, and auto of a short run: none."""
    for mode, lines in (("always", 2), ("auto", 0), ("never", 0)):
        out = tmp_path / mode
        run = bncli("normalize", folder, "-o", out, "-q", "--progress", mode)
        assert run.code == 0
        assert run.err.count("\n") == lines
        assert "\r" not in run.err


def test_rate_and_time_left(monkeypatch, capsys):
    """From the first picture on: how many a second, and how long the others will take."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    follow = progress.progress_lines(every_stage=False)
    for second in range(101):
        clock[0] = float(second)
        follow("read", 1 + 2 * second, 8001)
    expected = [f"read {1 + 2 * s} of 8001, 2.0/s, {(8000 - 2 * s) / 2:.0f}" for s in (30, 60, 90)]

    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/s")[0] for line in lines] == [e.split("/s")[0] for e in expected]
    assert lines[0].endswith("/s, 1 h 6 min left")
    assert np.all([line.startswith("read ") for line in lines])


@pytest.mark.parametrize("columns", [20, 120])
def test_progress_of_an_unknown_total(monkeypatch, capsys, columns):
    """How many are done and how fast; no "of 0", and no time left."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    follow = progress.progress_lines(every_stage=True)
    follow("check", 1, 0)
    clock[0] = 40.0
    follow("check", 81, 0)
    assert capsys.readouterr().err == "check 81, 2.0/s\n"

    paper = io.StringIO()
    console = Console(file=paper, force_terminal=True, width=columns)
    with progress.progress_bar(console) as follow:
        follow("check", 7, 0)
    drawn = COLOUR.sub("", paper.getvalue())
    assert re.search("check [━ ]*7", drawn)
    assert "of 0" not in drawn


def test_the_failure_of_a_gradient_fits_a_terminal():
    """80 columns: eight short lines, or two more; what is to be pasted is never broken."""
    target = "tests/checking/targets/channels.py:forward,backward"
    asked = ["--tolerance", "0.0001", "--timeout", "30.0"]
    code, shown = seen(["gradcheck", target, *asked, "--progress", "never"])
    lines = COLOUR.sub("", shown).splitlines()
    assert code == 1
    assert lines[0] == "FAIL: grad_input is wrong"
    assert len(lines) <= 10
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 80
    assert lines[-1] == f"again: bncli gradcheck {target} --seed 0 {' '.join(asked)}"
    assert len(lines[-1]) > 80


def test_the_doctor_takes_one_screen():
    """24 lines of 80 columns."""
    code, shown = seen(["doctor"])
    lines = COLOUR.sub("", shown).splitlines()
    assert code == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_verbose_says_how_it_will_be_done(folder, tmp_path):
    """Order, decodes, threads, memory, and who packs the PNG, before anything is written."""
    run = bncli("normalize", folder, "-o", tmp_path / "a", "-v", "--jobs", "1")
    for words in ("5 pictures in natural order, from p1.png to p11.png", "decoded once, and kept",
                  "1 thread", "MB of memory of", "PNG is packed by isal"):  # fmt: skip
        assert words in run.err
    assert "1 threads" not in run.err
    streamed = bncli("normalize", folder, "-o", tmp_path / "b", "-v", "--format", "npy")
    assert "PNG" not in streamed.err


@pytest.mark.parametrize("wish", ["--quiet", "--json"])
@pytest.mark.parametrize("command", ["normalize", "fit"])
def test_tables_are_loaded_where_they_are_shown(folder, tmp_path, command, wish):
    """A run that shows none spends no time on loading rich."""
    words = [command, str(folder), "-o", str(tmp_path / "out.npz"), wish]
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(str('rich' in sys.modules)))\n"
        f"from bncli.cli.entry import main\nmain({words})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "False"
