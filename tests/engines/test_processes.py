"""`--engine processes`: files that crash or stall their decoder cost only themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from oracle import bncli, tree

from bncli import normalize_folder
from bncli.errors import OptionError

CRASHED = "it ends the process that reads it (SIGSEGV); remove it"
STALLED = "it takes longer than 2 s; remove it, or raise --timeout"


def run_on(folder, out, environment, *options):
    return bncli(
        "normalize", folder, "-o", out, "--engine", "processes", *options, env=environment
    )  # fmt: skip


@pytest.fixture
def mixed(pictures, tmp_path):
    """A copy of the pictures."""
    return shutil.copytree(pictures, tmp_path / "mixed")


def test_same_bytes(pictures, alone, tmp_path):
    """With any number of processes."""
    for jobs in (1, 3):
        run = run_on(pictures, tmp_path / str(jobs), None, "--jobs", jobs, "-q")
        assert (run.code, run.out, run.err) == (0, "", "")
        assert tree(tmp_path / str(jobs)) == alone


def test_a_crash_is_named(mixed, tmp_path, planted_environment):
    """Two files that crash their decoder: exit code 5, a line each, nothing is written."""
    for number in (3, 40):
        (mixed / f"p{number}.png").rename(mixed / f"p{number}-crash.png")
    run = run_on(mixed, tmp_path / "out", planted_environment)
    assert run.code == 5
    assert run.err == f"Error: p3-crash.png: {CRASHED}\nError: p40-crash.png: {CRASHED}\n"
    assert not (tmp_path / "out").exists()


def test_a_stall_is_named(mixed, tmp_path, planted_environment):
    """A file that takes longer than --timeout is a limit that was hit: exit code 7."""
    (mixed / "p5.png").rename(mixed / "p5-stall.png")
    run = run_on(mixed, tmp_path / "out", planted_environment, "--timeout", "2")
    assert run.code == 7
    assert run.err.startswith(f"Error: p5-stall.png: {STALLED} (limits: ")
    assert not (tmp_path / "out").exists()


def test_skipping(mixed, tmp_path, planted_environment):
    """With --on-error skip the others are written as if those had never been there."""
    (mixed / "p5.png").rename(mixed / "p5-stall.png")
    (mixed / "p6.png").rename(mixed / "p6-crash.png")
    run = run_on(
        mixed, tmp_path / "out", planted_environment,
        "--timeout", "2", "--on-error", "skip", "--json",
    )  # fmt: skip
    assert run.code == 3
    assert run.document["skipped"] == [
        {"source": "p5-stall.png", "reason": STALLED},
        {"source": "p6-crash.png", "reason": CRASHED},
    ]
    for path in (mixed / "p5-stall.png", mixed / "p6-crash.png"):
        path.unlink()
    assert bncli("normalize", mixed, "-o", tmp_path / "alone").code == 0
    skipped, whole = tree(tmp_path / "out"), tree(tmp_path / "alone")
    del skipped["summary.json"], whole["summary.json"]
    assert skipped == whole


KILLING = """
import os, signal, subprocess, sys
from bncli import normalize_folder

def children():
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True)
    return [int(pid) for pid in listed.stdout.split()]

killed = set()

def progress(stage, done, total):
    if stage not in killed:
        killed.add(stage)
        for pid in children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

normalize_folder(*sys.argv[1:], engine="processes", jobs=2, progress=progress)
assert killed == {"read", "write"}
"""


def test_killed_processes_change_nothing(pictures, alone, tmp_path):
    """All processes are killed (-9) once in each pass; others take their place."""
    done = subprocess.run(
        [sys.executable, "-c", KILLING, pictures, tmp_path / "out"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert tree(tmp_path / "out") == alone


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"timeout": 0.0}, "--timeout is 0.0; it must be a number above 0"),
        ({"timeout": float("nan")}, "--timeout is nan; it must be a number above 0"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "--scheduler is for --engine dask"),
        ({"delta": "random"}, "--delta does not go with --engine processes"),
    ],
)
def test_refused_options(pictures, tmp_path, options, line):
    """What cannot be asked of processes is refused in one line."""
    with pytest.raises(OptionError) as refusal:
        normalize_folder(pictures, tmp_path / "out", engine="processes", **options)
    assert str(refusal.value).startswith(line)


def test_a_bug_keeps_its_trace(pictures, tmp_path):
    """What fails in a process is shown with the place where it failed."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif any('engines.' in word for word in sys.orig_argv):\n"
        "    import bncli.images.batch as module\n"
        "    def broken(header, policy):\n        raise KeyError('planted')\n"
        "    module.decode = broken\n"
    )
    run = run_on(pictures, tmp_path / "out", environment, "--debug")
    assert run.code == 70
    assert "in broken" in run.err


def test_without_the_extra(pictures, tmp_path):
    """The pip command is named, and nothing is written."""
    code = (
        "import sys\nsys.modules['distributed'] = None\n"
        "from bncli.cli.entry import main\nmain(sys.argv[1:])"
    )
    words = ["normalize", pictures, "-o", tmp_path / "out", "--engine", "dask"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'bncli[dask]'" in done.stderr
    assert done.stderr.count("\n") == 1
