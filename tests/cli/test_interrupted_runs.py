"""A run that is ended by the system, by its user or by others: what it leaves, what comes next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from oracle import bncli, tree

from bncli import normalize_folder

OPTIONS = ("--delta", "random", "--gamma", "random", "--update", "--jobs", "1")

SLOW = """
import os, sys, time
from bncli.storage.output import RunFolder
write, count = RunFolder.write, 0
def slowly(self, *arguments):
    global count
    count += 1
    if count > 2:
        open(os.environ["READY"], "w").close()
        time.sleep(float(os.environ["NAP"]))
    return write(self, *arguments)
RunFolder.write = slowly
from bncli.cli.entry import main
main(sys.argv[1:])
"""
"""The command, which after two pictures says so and takes a nap before each."""


@pytest.fixture
def undisturbed(folder, tmp_path):
    normalize_folder(folder, tmp_path / "undisturbed", delta="random", gamma="random", update=True)
    return tree(tmp_path / "undisturbed")


class Slow:
    def __init__(self, folder, out, *options, nap=20):
        ready = out.parent / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-c", SLOW, "normalize", folder, "-o", out, *OPTIONS, *options]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "READY": str(ready), "NAP": str(nap)},
        )
        deadline = time.monotonic() + 300
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def signal(self, *numbers):
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(0.1)
        return self

    def end(self):
        _, err = self.process.communicate(timeout=300)
        assert b"Traceback" not in err
        return self.process.returncode, err.decode()


def test_resume_after_a_kill(folder, tmp_path, undisturbed):
    """After SIGKILL the same command with --resume writes the rest only, under a free lock."""
    out = tmp_path / "out"
    assert Slow(folder, out).signal(signal.SIGKILL).end()[0] == -signal.SIGKILL
    kept = {name: content for name, content in tree(out).items() if name.endswith(".png")}
    assert len(kept) == 2

    planned = bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", "-n", "--json")
    assert planned.document["plan"]["whole_files"] >= 2
    run = bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", "--progress", "never")

    assert run.code == 0, run.err
    assert "2 of these files were whole already" in run.out
    assert tree(out) == undisturbed


def test_without_resume_a_killed_run_is_begun_anew(folder, tmp_path, undisturbed):
    """The same command without --resume sweeps what was staged, and is whole."""
    out = tmp_path / "out"
    Slow(folder, out).signal(signal.SIGKILL).end()

    assert bncli("normalize", folder, "-o", out, *OPTIONS, "-q").code == 0
    assert tree(out) == undisturbed


def test_resume_refuses_another_run(folder, tmp_path, undisturbed):
    """Options or inputs that would give other bytes: exit 6, what differs, nothing touched."""
    killed, ended = tmp_path / "killed", tmp_path / "undisturbed"
    Slow(folder, killed).signal(signal.SIGKILL).end()

    for out, change, words in (
        (killed, ["--eps", "1e-6"], "eps was 1e-08 and is 1e-06"),
        (killed, ["--exclude", "p11.png"], "input gone: p11.png"),
        (ended, ["--depth", "16"], "depth was auto and is 16"),
        (ended, ["--exclude", "p11.png"], "input gone: p11.png"),
    ):
        before = tree(out)
        run = bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", *change)
        assert run.code == 6
        assert words in run.err
        assert len(run.err.splitlines()) == 1
        assert tree(out) == before


def test_resume_of_a_whole_run(folder, tmp_path, undisturbed):
    """A run that is whole is verified: exit 0, the same document, not a byte written."""
    out = tmp_path / "out"
    first = bncli("normalize", folder, "-o", out, *OPTIONS, "--json")
    os.utime(out, (1, 1))

    again = bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", "--json", "--jobs", "2")

    assert again.code == 0, again.err
    assert again.document == first.document
    assert out.stat().st_mtime == 1
    (out / "p3.png").write_bytes(b"damaged")
    (out / "grad_input.npy").unlink()
    assert bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", "-q").code == 0
    assert tree(out) == undisturbed


@pytest.mark.parametrize(
    ("number", "code", "resume"),
    [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, True), (signal.SIGHUP, 129, False)],
)
def test_signals(folder, tmp_path, undisturbed, number, code, resume):
    """Ended by a signal: swept, or with --resume kept for the next run."""
    out = tmp_path / "out"
    flags = ["--resume"] * resume

    ended, err = Slow(folder, out, *flags, nap=2).signal(number).end()

    assert ended == code, err
    assert out.exists() == resume
    run = bncli("normalize", folder, "-o", out, *OPTIONS, *flags, "--progress", "never")
    assert run.code == 0, run.err
    assert ("were whole already" in run.out) == resume
    assert tree(out) == undisturbed


def test_a_second_interrupt_ends_at_once(folder, tmp_path, undisturbed):
    """Who interrupts twice does not wait for the cleaning; the next run does it."""
    out = tmp_path / "out"
    slow = Slow(folder, out, nap=200)
    began = time.monotonic()

    ended, _ = slow.signal(signal.SIGINT, signal.SIGINT).end()

    assert ended == 130
    assert time.monotonic() - began < 100  # the nap is 200 s
    assert not (out / "summary.json").exists()
    assert bncli("normalize", folder, "-o", out, *OPTIONS, "-q").code == 0
    assert tree(out) == undisturbed


def test_stopped_and_continued(folder, tmp_path, undisturbed):
    """A run that was stopped for a while gives the same bytes; a second one waits for nothing."""
    out = tmp_path / "out"
    slow = Slow(folder, out, nap=0.6).signal(signal.SIGSTOP)

    second = bncli("normalize", folder, "-o", out, *OPTIONS)
    assert second.code == 6
    assert "another bncli is writing here" in second.err
    assert slow.signal(signal.SIGCONT).end()[0] == 0
    assert tree(out) == undisturbed


@pytest.mark.parametrize("instead", ["nothing", "folder", "link"])
def test_the_output_folder_is_taken_away(folder, tmp_path, instead):
    """OUT removed or replaced while the run works: an output error, and nothing goes elsewhere."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    slow = Slow(folder, out, nap=0.6)
    out.rename(tmp_path / "moved")
    if instead == "folder":
        out.mkdir()
    elif instead == "link":
        out.symlink_to(elsewhere)

    code, err = slow.end()

    assert code == 6
    assert len(err.splitlines()) == 1
    assert tree(elsewhere) == {}
    assert not out.exists() or tree(out) == {}


def test_a_limit_on_the_size_of_files(folder, tmp_path, undisturbed):
    """A disk that takes no more: exit 6; --resume goes on when there is room."""
    out = tmp_path / "out"
    limited = 'ulimit -f 1; exec "$@"'  # blocks of 512 or 1024 bytes: stats.npz is larger

    command = [sys.executable, "-m", "bncli", "normalize", folder, "-o", out, *OPTIONS, "--resume"]
    done = subprocess.run(
        ["/bin/bash", "-c", limited, "-", *map(str, command)], capture_output=True, check=False
    )

    assert done.returncode == 6, done.stderr
    assert b"file-size limit" in done.stderr
    assert bncli("normalize", folder, "-o", out, *OPTIONS, "--resume", "-q").code == 0
    assert tree(out) == undisturbed


def test_temporary_files_lie_beside_their_targets(folder, tmp_path):
    """TMPDIR plays no part: it may be on another disk, or not be there."""
    env = {**os.environ, "TMPDIR": str(tmp_path / "nowhere")}

    assert bncli("normalize", folder, "-o", tmp_path / "out", "-q", env=env).code == 0
