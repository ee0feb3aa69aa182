"""The real command: exit codes, streams, files."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from oracle import bncli, bncli_onto_full, python, textbook, tree
from PIL import Image

ESCAPE = "\x1b"


def test_twice_the_same_bytes(folder, batch, tmp_path):
    """The same command twice gives the same bytes, and equals the textbook on the same arrays."""
    delta = np.random.default_rng(1).standard_normal(batch.shape)
    np.save(tmp_path / "d.npy", delta)
    arguments = ["--delta", tmp_path / "d.npy", "--gamma", "random", "--beta", "random"]
    arguments += ["--seed", 7, "--update", "--lr", 0.1, "--format", "npy"]
    runs = [bncli("normalize", folder, "-o", tmp_path / out, *arguments) for out in "ab"]

    assert [run.code for run in runs] == [0, 0], runs[0].err
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    from bncli import uniform

    gamma, beta = (uniform(name, (7, 5, 3), 7) for name in ("gamma", "beta"))
    book = textbook(batch, gamma, beta, delta=delta)
    out = tmp_path / "a"
    assert np.allclose(np.load(out / "normalized.npy"), book.output, rtol=0, atol=1e-12)
    assert np.allclose(np.load(out / "gamma.npy"), gamma - 0.1 * book.grad_gamma, atol=1e-12)
    assert np.allclose(np.load(out / "beta.npy"), beta - 0.1 * book.grad_beta, atol=1e-12)


def test_table_in_a_pipe(folder, tmp_path):
    """Plain text, nothing elided, no escape byte; nothing on stderr."""
    out = tmp_path / ("long" * 40)
    run = bncli("normalize", folder, "-o", out, "--delta", "ones")

    assert (run.code, run.err) == (0, "")
    assert ESCAPE not in run.out
    assert "…" not in run.out
    assert str(out) in run.out
    for word in ("5 pictures, 7x5, 3 x uint8", "input mean", "dead pixels  0 of 105", "grad_gamma",
                 "pictures per second"):  # fmt: skip
        assert word in run.out


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--eps", "0"], "OptionError"),
        (["--scale", "wide"], "OptionError"),
        (["--resize", "7"], "UsageError"),
        (["--update"], "OptionError"),
        (["--gamma", "missing.npy"], "OptionError"),
    ],
)
def test_impossible_options(folder, tmp_path, arguments, kind):
    """Exit code 2, one line on stderr, one document on stdout, nothing written."""
    before = tree(tmp_path)
    run = bncli("normalize", folder, "-o", tmp_path / "out", "--json", *arguments)

    assert run.code == run.document["exit_code"] == 2
    assert len(run.err.splitlines()) == 1
    assert run.document["error"]["kind"] == kind
    assert tree(tmp_path) == before


NAMES = [b"a[\\].png", b"cat[old].png", b"esc\x1b[2J.png", b"new\nline.png", b"\xff\xfe.png",
         b"%s{0}$(touch PWNED).png", b"-dash.png",
         "rtl\u202egpj.png".encode(), b"\xc2\x9bc1.png"]  # fmt: skip


def test_hostile_names(tmp_path):
    """Any name works, comes out escaped and whole, and moves no cursor; locale or none."""
    source = tmp_path / "pictures"
    (source / "[").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*NAMES, b"[/a].png"]:
        picture = Image.fromarray(rng.integers(0, 256, (3, 4), dtype=np.uint8))
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            picture.save(file, "png")
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict", "COLUMNS": "20"}
    for number, env in enumerate([None, ascii_only, {"PATH": os.environ["PATH"]}]):
        out = tmp_path / f"out{number}"
        run = bncli("normalize", source, "-r", "-o", out, env=env)
        assert run.code == 0, run.err
        assert ESCAPE not in run.out + run.err
        written = {os.fsencode(path.relative_to(out)) for path in out.rglob("*.png")}
        assert written == {*NAMES, b"[/a].png"}
    for name in NAMES[:5]:
        with open(os.fsencode(source) + b"/" + name, "wb") as file:
            file.write(b"spoiled")
    run = bncli("normalize", source, "-o", tmp_path / "no", "--color", "always")
    assert run.code == 5
    assert ESCAPE not in run.err
    assert "esc\\x1b[2J.png: " in run.err
    assert "new\\nline.png: " in run.err
    assert "cat[old].png: " in run.err
    assert "\\xff\\xfe.png: " in run.err
    assert not list(Path().glob("**/PWNED"))


def on_a_terminal(arguments, env=None):
    """Run with stdout and stderr on a pseudo-terminal; returns exit code and all that it showed."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bncli", *map(str, arguments)],
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})},
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


def test_terminal(folder, tmp_path):
    """On a terminal: boxes and colours; NO_COLOR and TERM=dumb take the colours away."""
    code, shown = on_a_terminal(["normalize", folder, "-o", tmp_path / "a"])
    assert code == 0
    assert "┃" in shown
    assert "\x1b[1" in shown
    code, shown = on_a_terminal(
        ["normalize", folder, "-o", tmp_path / "b", "--progress", "never"], {"NO_COLOR": "1"}
    )
    assert code == 0
    assert "input mean" in shown
    assert ESCAPE not in shown


def test_files_from(folder, tmp_path):
    """--files-from takes lines or NUL-ended names, from a file or stdin, in natural order."""
    names = [str(folder / f"p{n}.png") for n in (10, 2, 1)]
    (tmp_path / "list").write_text("\n".join(names) + "\n")
    by_file = bncli("normalize", "--files-from", tmp_path / "list", "-o", tmp_path / "a", "--json")
    by_stdin = bncli(
        "normalize", "--files-from", "-", "-o", tmp_path / "b", "--json",
        stdin=b"\0".join(map(os.fsencode, names)),
    )  # fmt: skip

    assert by_file.code == 0, by_file.err
    assert [o["source"] for o in by_file.document["outputs"]] == ["p1.png", "p2.png", "p10.png"]
    assert by_file.document == by_stdin.document
    assert bncli("normalize", "-o", tmp_path / "c").code == 2
    assert bncli("normalize", "--files-from", "missing", "-o", tmp_path / "c").code == 2


def test_named_twice(folder, tmp_path):
    """A file that is named twice, or found by a glob through a loop of links, is taken once."""
    (folder / "loop").symlink_to(folder)
    for number, sources in enumerate(
        [[folder, folder / "p1.png"], [*folder.glob("p*.png"), folder / "p2.png"],
         [f"{folder}/**/*.png"]]
    ):  # fmt: skip
        run = bncli("normalize", *sources, "-o", tmp_path / f"out{number}", "--json")
        assert run.code == 0, run.err
        assert run.document["images"]["count"] == 5


def test_options_without_effect_are_refused(folder, tmp_path):
    """An option that another one leaves without effect is a mistake, and said to be one."""
    for arguments in (
        ["--lr", "0.1"], ["--delta", "ones", "--momentum", "0.9"], ["--state", "s.npz"],
        ["--format", "npy", "--depth", "16"], ["--format", "tiff", "--scale", "image"],
        ["--max-memory", "0.5"], ["--max-memory", "200%"],
    ):  # fmt: skip
        run = bncli("normalize", folder, "-o", tmp_path / "out", *arguments)
        assert run.code == 2, arguments
        assert len(run.err.splitlines()) == 1
    assert bncli("normalize", folder, "-o", "").code == 2
    assert bncli("normalize", "", "-o", tmp_path / "out").code == 2


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_streams_that_are_full(folder, tmp_path, stream, json_option):
    """Whatever cannot be said, the exit code stays that of the contract, without a traceback."""
    for source, out, codes in ((folder, "a", {0, 6}), ("missing", "b", {4})):
        run = bncli_onto_full(stream, "normalize", source, "-o", tmp_path / out, *json_option)
        assert run.code in codes
        assert "Traceback" not in run.err
    assert (tmp_path / "a" / "summary.json").exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("json_option", ["", "--json"])
def test_streams_that_are_closed(folder, tmp_path, closed, json_option):
    """Whatever stream is gone, the exit code stays that of the contract, without a traceback."""
    command = f'"{sys.executable}" -m bncli normalize'
    err = tmp_path / "err"
    for source, out, codes in ((folder, "a", {0, 6}), ("missing", "b", {4})):
        words = f'{command} "{source}" -o "{tmp_path}/{out}" {json_option}'
        redirected = closed if "2>" in closed else f'{closed} 2>"{err}"'
        done = subprocess.run(["/bin/bash", "-c", f"{words} {redirected}"], check=False)
        assert done.returncode in codes
        if err.exists():
            assert "Traceback" not in err.read_text()
    assert (tmp_path / "a" / "summary.json").exists()


def test_help_pages_keep_their_lines():
    """Examples stand one a line; without a command the help page comes as a usage error."""
    page = bncli("normalize", "--help").out
    assert "\n    bncli normalize sample_images -o normalized\n" in page
    assert "\\b" not in page
    bare = bncli()
    assert bare.code == 2
    assert "\n  normalize" in bare.err


def test_verbose_and_dry_run(folder, tmp_path):
    """-v says what is decided before it is done; a dry run writes nothing."""
    run = bncli("normalize", folder, "-o", tmp_path / "out", "-n", "-v")

    assert run.code == 0
    assert "from p1.png to p11.png" in run.err
    assert "MB of memory" in run.err
    assert "nothing was written" in run.out
    assert not (tmp_path / "out").exists()


def many(folder, count=400):
    content = (folder / "p1.png").read_bytes()
    for number in range(count):
        (folder / f"q{number}.png").write_bytes(content)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 131)]
)
def test_signals(folder, tmp_path, number, code):
    """Interrupted or terminated: its exit code, no traceback, nothing left behind."""
    many(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "normalize", str(folder), "-o", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "out" / ".bncli-run").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)

    assert process.returncode == code, err
    assert b"Traceback" not in err
    assert err.count(b"\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 131)]
)
def test_signal_where_python_drops_it(folder, tmp_path, number, code):
    """A signal that arrives in a destructor, where Python drops what is raised, still ends it."""
    many(folder, 100)
    script = DROPPED.format(number=int(number)) + SLOW
    run = python("-c", script, "normalize", folder, "-o", tmp_path / "out")

    assert run.code == code, run.err
    assert run.err.count("\n") == 1
    assert "ignored" not in run.err
    assert not (tmp_path / "out").exists()


DROPPED = """
import signal
from bncli.storage.output import RunFolder
begin = RunFolder.begin
class Dying:
    def __del__(self):
        signal.raise_signal({number})
        for _ in range(1000):  # handlers run between two steps of Python
            pass
def begin_struck(self, *arguments, **found):
    Dying()
    return begin(self, *arguments, **found)
RunFolder.begin = begin_struck
"""

SLOW = """
import sys, time
from bncli.storage.output import RunFolder
write = RunFolder.write
def slowly(self, *arguments):
    time.sleep(0.05)
    return write(self, *arguments)
RunFolder.write = slowly
from bncli.cli.entry import main
main(sys.argv[1:])
"""


def test_reader_goes_away(folder, tmp_path):
    """A closed pipe: exit 141, no traceback, and the results are whole."""
    process = subprocess.Popen(
        ["bash", "-c", 'set -o pipefail; "$@" | true', "-", sys.executable, "-c", LATE, "normalize",
         str(folder), "-o", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    _, err = process.communicate(timeout=300)

    assert process.returncode == 141, err
    assert err == b""
    assert (tmp_path / "out" / "summary.json").exists()


LATE = """
import sys, time
time.sleep(0.3)
from bncli.cli.entry import main
main(sys.argv[1:])
"""


def test_bugs_have_their_own_exit_code(folder, tmp_path):
    """An error that is nobody's fault but ours: exit 70, one line, the trace in a file."""
    code = "import bncli.runs.normalize as n; n.normalize_folder = lambda *a, **k: 1 / 0\n"
    code += "import sys; from bncli.cli.entry import main; main(sys.argv[1:])"
    arguments = ["-c", code, "normalize", folder, "-o", tmp_path / "out"]
    run = python(*arguments, env={**os.environ, "TMPDIR": str(tmp_path)})
    traced = python(*arguments, "--debug")

    assert run.code == traced.code == 70
    assert len(run.err.splitlines()) == 1
    assert "ZeroDivisionError" in run.err
    [trace] = tmp_path.glob("bncli-trace-*.txt")
    assert str(trace) in run.err
    assert "Traceback" in trace.read_text()
    assert "Traceback" in traced.err


def test_stdout_that_cannot_be_written(folder, tmp_path):
    """A full stdout is an error with one line; the results are whole all the same."""
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "bncli", "normalize", folder, "-o", tmp_path / "out"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 6
    assert process.stderr.count(b"\n") == 1
    assert (tmp_path / "out" / "summary.json").exists()


def test_progress_lines_in_a_log(folder, tmp_path):
    """When stderr is no terminal, a line now and then instead of a bar, without escape bytes."""
    code = "import bncli.cli.progress as s; s._HEARTBEAT_SECONDS = 0\n"
    code += "import sys; from bncli.cli.entry import main; main(sys.argv[1:])"
    run = python("-c", code, "normalize", folder, "-o", tmp_path / "out")
    assert run.code == 0
    assert "read 5 of 5" in run.err
    assert "write 5 of 5" in run.err
    assert ESCAPE not in run.err
    assert "\r" not in run.err
