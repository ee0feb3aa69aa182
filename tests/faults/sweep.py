"""A small run killed, or refused by the system, at every call that writes; then run again.

Run it by hand, it takes minutes: ``python tests/faults/sweep.py [kill|error|twice]``. It needs
strace. A calibrating run tells which calls of which thread touch the output folder; each of them is
then the one at which the process dies (``kill``), at which it gets ENOSPC, EIO or EDQUOT, once or
from then on (``error``), or at which the run dies that mends a half-placed set (``twice``). After
each of them OUT holds no torn set, and the same command, with and without --resume, ends with the
bytes of an undisturbed run. Exits with 1 if a single one does not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CALLS = (
    "write", "pwrite64", "writev", "openat", "fsync", "fdatasync", "fallocate", "ftruncate",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "unlink", "unlinkat",
    "mkdir", "mkdirat", "rmdir", "close",
)  # fmt: skip
BUG = 70
ERRORS = ("ENOSPC", "EIO", "EDQUOT")
OPTIONS = ("--delta", "random", "--gamma", "random", "--update", "--quiet")
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


class Setting(NamedTuple):
    """One way to run: number of threads, over an old set or not, with --resume or not."""

    jobs: int
    overwrite: bool
    resume: bool = False

    def command(self, pictures: Path, out: Path, *more: str) -> list[str]:
        flags = ["--overwrite"] * self.overwrite + ["--resume"] * self.resume
        return [
            sys.executable, "-m", "bncli", "normalize", str(pictures), "-o", str(out),
            "--jobs", str(self.jobs), *OPTIONS, *flags, *more,
        ]  # fmt: skip


class Place:
    """A folder to work in: the pictures, an old set, and what an undisturbed run leaves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pictures, self.old, self.reference = root / "pictures", root / "old", root / "new"
        rng = np.random.default_rng(1)
        (self.pictures / "sub").mkdir(parents=True)
        for name in ("a.png", "b.png", "c.png", "sub/d.png"):
            pixels = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(self.pictures / name)
        run(Setting(1, overwrite=False).command(self.pictures, self.old, "-r", "--eps", "0.1"))
        run(Setting(1, overwrite=False).command(self.pictures, self.reference, "-r"))
        for folder in (self.old, self.reference):
            (folder / "note.txt").write_text("somebody's")

    def fresh(self, name: str, setting: Setting) -> Path:
        """An output folder as it is before the run."""
        out = self.root / name / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        if setting.overwrite:
            shutil.copytree(self.old, out, symlinks=True)
        else:
            out.mkdir(parents=True)
            (out / "note.txt").write_text("somebody's")
        return out


def run(command: list[str]) -> int:
    done = subprocess.run(command, capture_output=True, check=False)
    if b"Traceback" in done.stderr or done.returncode == BUG:
        sys.stderr.write(f"{' '.join(command)}\n{done.stderr.decode()}\n")
        return BUG
    return done.returncode


def injected(command: list[str], call: str, what: str) -> int:
    """Run under strace, with something done to a system call."""
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    return run([*trace, "-e", f"inject={call}:{what}", *command])


def points(command: list[str], out: Path, *, first: bool = False) -> list[tuple[str, int]]:
    """(call, its number within its thread) of all that write below *out*, each pair once.

    Only those are wanted of which the *first* thread to come to that number writes there, where
    others would be hit while Python itself is loaded.
    """
    log = out.parent / "log"
    subprocess.run(
        ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(CALLS)}",
         *command], check=True, capture_output=True,
    )  # fmt: skip
    counts: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, int], bool] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        thread, call, arguments = match.groups()
        counts[thread, call] += 1
        reads = call == "openat" and "O_CREAT" not in arguments
        point, hit = (call, counts[thread, call]), str(out) in arguments and not reads
        found[point] = found.get(point, hit) if first else found.get(point, False) or hit
    log.unlink()
    return sorted(point for point, hit in found.items() if hit)


def tree(folder: Path) -> dict[str, str]:
    """Every file, and every folder, but what is kept for a run that goes on."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        name = str(path.relative_to(folder))
        if not name.startswith(".bncli-run"):
            is_file = path.is_file()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else "folder"
    return found


def torn(out: Path) -> str | None:
    """What is wrong with a set whose summary says that it is whole; None without a summary."""
    if not (out / "summary.json").exists():
        return None
    document = json.loads((out / "summary.json").read_text())
    for listed in [*document["outputs"], *document["arrays"]]:
        path = out / listed["path"]
        if not path.exists():
            return f"{listed['path']} is missing"
        if hashlib.sha256(path.read_bytes()).hexdigest() != listed["sha256"]:
            return f"{listed['path']} is another"
    return None


def half(out: Path, place: Place) -> list[str]:
    """Names in OUT whose bytes are neither those of before nor those of after."""
    allowed = [tree(place.old), tree(place.reference)]
    return [
        name
        for name, digest in tree(out).items()
        if digest not in {a.get(name) for a in allowed} and digest != "folder"
    ]


def rerun(out: Path, place: Place, setting: Setting) -> list[str]:
    """What is wrong after the same command, without and with --resume, on what a run left."""
    faults = []
    for resume in (False, True):
        copy = out.parent / f"again-{resume}"
        shutil.copytree(out, copy, symlinks=True)
        again = setting._replace(resume=resume)
        code = run(again.command(place.pictures, copy, "-r"))
        # Who is killed after all was placed leaves a whole set, which is not replaced unasked.
        was_whole = tree(out) == tree(place.reference) and not setting.overwrite and not resume
        if code != (6 if was_whole else 0):
            faults.append(f"rerun, resume={resume}: exit {code}")
        if tree(copy) != tree(place.reference):
            faults.append(f"rerun, resume={resume}: other bytes")
        if (copy / ".bncli-run").exists() and not was_whole:
            faults.append(f"rerun, resume={resume}: staging left")
        shutil.rmtree(copy)
    return faults


def killed(place: Place, setting: Setting, call: str, number: int) -> tuple[bool, list[str]]:
    """Kill at one call; whether it came to that, and what is wrong."""
    out = place.fresh(f"kill-{setting.jobs}-{call}-{number}", setting)
    code = injected(setting.command(place.pictures, out, "-r"), call, f"signal=KILL:when={number}")
    faults = [fault for fault in [torn(out)] if fault]
    faults += [f"{name} is half" for name in half(out, place)]
    faults += rerun(out, place, setting)
    shutil.rmtree(out.parent)
    return code != 0, faults


def refused(
    place: Place, setting: Setting, call: str, number: str, error: str
) -> tuple[bool, list[str]]:
    """Refuse one call, *number* may end in + for all after it too."""
    out = place.fresh(f"error-{setting.jobs}-{call}-{number}-{error}", setting)
    before = tree(out)
    code = injected(
        setting.command(place.pictures, out, "-r"), call, f"error={error}:when={number}"
    )
    faults = [fault for fault in [torn(out)] if fault]
    if code == 0 and tree(out) != tree(place.reference):
        faults.append("exit 0, other bytes")
    if code not in {0, 6}:
        faults.append(f"exit {code}")
    once = not number.endswith("+")
    if code == 6 and once and tree(out) != before:
        faults.append("not as it was before")
    if code == 6 and once and not setting.resume and (out / ".bncli-run").exists():
        faults.append("staging left")
    faults += rerun(out, place, setting)
    shutil.rmtree(out.parent)
    return code != 0, faults


def killed_twice(
    place: Place, setting: Setting, first: tuple[str, int], second: tuple[str, int]
) -> tuple[bool, list[str]]:
    """Kill the run, and then the run that mends what it left."""
    out = place.fresh(f"twice-{first[0]}-{first[1]}-{second[0]}-{second[1]}", setting)
    command = setting.command(place.pictures, out, "-r")
    injected(command, first[0], f"signal=KILL:when={first[1]}")
    code = injected(command, second[0], f"signal=KILL:when={second[1]}")
    faults = [fault for fault in [torn(out)] if fault]
    faults += [f"{name} is half" for name in half(out, place)]
    faults += rerun(out, place, setting)
    shutil.rmtree(out.parent)
    return code != 0, faults


def report(title: str, results: list[tuple[str, bool, list[str]]]) -> int:
    bad = [(name, faults) for name, _, faults in results if faults]
    struck = sum(struck for _, struck, _ in results)
    sys.stdout.write(f"{title}: {len(results)} runs, {struck} struck, {len(bad)} faults\n")
    for name, faults in bad:
        sys.stdout.write(f"  {name}: {'; '.join(faults)}\n")
    sys.stdout.flush()
    return len(bad)


def kill_sweep(place: Place, pool: ThreadPoolExecutor, setting: Setting) -> int:
    out = place.fresh("calibrate", setting)
    at = points(setting.command(place.pictures, out, "-r"), out)
    done = pool.map(lambda p: killed(place, setting, *p), at)
    named = [(f"{call} {n}", *r) for (call, n), r in zip(at, done, strict=True)]
    return report(f"kill {setting}", named)


def error_sweep(place: Place, pool: ThreadPoolExecutor, setting: Setting, error: str) -> int:
    out = place.fresh("calibrate", setting)
    at = points(setting.command(place.pictures, out, "-r"), out, first=True)
    tasks = [(call, f"{n}{more}") for call, n in at for more in ("", "+")]
    done = pool.map(lambda t: refused(place, setting, *t, error), tasks)
    named = [(f"{call} {n}", *r) for (call, n), r in zip(tasks, done, strict=True)]
    return report(f"{error} {setting}", named)


def twice_sweep(place: Place, pool: ThreadPoolExecutor, setting: Setting) -> int:
    out = place.fresh("calibrate", setting)
    command = setting.command(place.pictures, out, "-r")
    renames = [p for p in points(command, out) if p[0].startswith("rename")]
    # The last renames of the main thread are those that bring the files to their places.
    bad = 0
    for first in renames[-8::3]:
        out = place.fresh("calibrate", setting)
        injected(command, first[0], f"signal=KILL:when={first[1]}")
        tasks = [(first, second) for second in points(command, out)]
        done = pool.map(lambda t: killed_twice(place, setting, *t), tasks)
        named = [(f"{b[0]} {b[1]}", *r) for (_, b), r in zip(tasks, done, strict=True)]
        bad += report(f"twice {setting}, first {first[0]} {first[1]}", named)
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", default=["kill", "error", "twice"])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--errors", nargs="*", default=ERRORS)
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        sys.stdout.write("skipped: there is no strace\n")
        return 0
    bad = 0
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(arguments.workers) as pool:
        place = Place(Path(root))
        for jobs in arguments.jobs:
            for overwrite in (False, True):
                setting = Setting(jobs, overwrite)
                if "kill" in arguments.which:
                    bad += kill_sweep(place, pool, setting)
                if "twice" in arguments.which:
                    bad += twice_sweep(place, pool, setting)
                for error in arguments.errors if "error" in arguments.which else ():
                    bad += error_sweep(place, pool, setting, error)
                    bad += error_sweep(place, pool, setting._replace(resume=True), error)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
