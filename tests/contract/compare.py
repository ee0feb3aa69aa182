"""Two installations of bncli, told apart: ``python tests/contract/compare.py OLD NEW``.

OLD and NEW are interpreters that have bncli; this one needs numpy, Pillow and tifffile. Each case
is run with OLD and then with NEW in a folder of the same name, from the same inputs. Exit codes,
both streams (but for times, sizes of this machine and names of temporary files) and every byte of
every file left are compared; of pages and sheets, whose looks are free, only the structure is.
``--only`` takes a piece of a name, ``--list`` names the cases. Exit 1 if anything differs. Run it
on itself first, OLD against a copy of OLD: what differs then is not the code.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from queue import Queue

from cases import Case, Step, cases
from inputs import make, make_results
from interpreter import Interpreter
from PIL import Image

Idle = Queue[tuple[Interpreter, ...]]

FREE = [
    (r"\d[\d.,]* s, [\d.,]+ pictures per second", "<time>"),
    (r"\b\d[\d.,]*(e-\d+)? ?(s|ms|seconds)\b(?! are)", "<time>"),
    (r"(?<=of )[\d,]+ MB (of memory|allowed|free)", "<machine>"),
    (r"(?<=--max-memory )[\d,]+ MB", "<machine>"),
    (r'(?<="disk_free_bytes": )\d+', "<machine>"),
    (r"bncli-trace-\w+\.txt", "<trace>"),
]
"""What may differ between two runs of one installation."""

SHOWN = 8
"""Lines of a difference that are printed."""


@dataclass(frozen=True)
class Outcome:
    """What a case did: exit code and streams of each step, and what it left."""

    steps: tuple[tuple[int, str, str], ...]
    files: dict[str, bytes]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.tags.append(tag)


def content(path: Path, name: str) -> bytes:
    """The bytes that are compared."""
    if path.is_symlink():
        return os.fsencode(f"-> {path.readlink()}")
    if path.is_dir():
        return b"a folder"
    if path.suffix == ".html":
        tags = _Tags()
        tags.feed(path.read_text())
        return " ".join(tags.tags).encode()
    if name in {"sheet.png", "more.png"} or (name.startswith("maps/") and name.endswith(".png")):
        with Image.open(path) as image:
            return f"{image.mode} {image.size}".encode()
    return path.read_bytes()


def run_case(python: Interpreter, done: Sequence[Step], inputs: Path, place: Path) -> Outcome:
    """Run the steps in a new copy of the inputs, and take it away again."""
    shutil.copytree(inputs, place, symlinks=True)
    ran = []
    for step in done:
        if step.how == "command":
            code, out, err = python.command(step.words, place)
        else:
            code, out, err = python.other(step.words, place, step.how)
        ran.append((code, settled(out), settled(err)))
    names = {os.fsencode(path.relative_to(place)): path for path in place.rglob("*")}
    files = {
        name.decode(errors="replace"): content(path, os.fsdecode(name))
        for name, path in names.items()
    }
    shutil.rmtree(place)
    return Outcome(tuple(ran), files)


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def settled(stream: bytes) -> str:
    """Text, without what may differ."""
    text = stream.decode(errors="backslashreplace")
    for pattern, word in FREE:
        text = re.sub(pattern, word, text)
    return text


def differences(old: Outcome, new: Outcome) -> Iterator[str]:
    """What is not the same, in words."""
    for number, (before, after) in enumerate(zip(old.steps, new.steps, strict=True), 1):
        if before[0] != after[0]:
            yield f"step {number}: exit code {before[0]} became {after[0]}"
        for name, one, other in zip(("stdout", "stderr"), before[1:], after[1:], strict=True):
            if one != other:
                yield f"step {number}: {name}"
                yield from _lines(one, other)
    for name in sorted(old.files.keys() | new.files.keys()):
        one, other = old.files.get(name), new.files.get(name)
        if one == other:
            continue
        if one is None or other is None:
            yield f"{name!a}: {'is new' if one is None else 'is missing'}"
            continue
        yield f"{name!a}: {len(one):,} bytes became {len(other):,} others"
        if name.endswith(".json"):
            yield from _lines(one.decode(), other.decode())


def _lines(one: str, other: str) -> Iterator[str]:
    found = list(difflib.unified_diff(one.splitlines(), other.splitlines(), n=0, lineterm=""))[2:]
    changed = [line for line in found if not line.startswith("@@")]
    yield from (f"    {ascii(line)[1:-1]}"[:240] for line in changed[:SHOWN])
    if len(changed) > SHOWN:
        yield f"    and {len(changed) - SHOWN} lines more"


def compared(case: Case, idle: Idle, inputs: Path, root: Path) -> list[str]:
    """The differences of a case, found by a pair of interpreters that has nothing to do."""
    name, done = case
    place = root / re.sub(r"[^\w.-]+", "_", name)[:120]
    pair = idle.get()
    try:
        old, new = (run_case(python, done, inputs, place) for python in pair)
    finally:
        idle.put(pair)
    return list(differences(old, new))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="OLD and NEW")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if len(options.pythons) != 2 * (not options.list):
        parser.error("give two interpreters, or --list")
    return options


def compare(chosen: Sequence[Case], pythons: Sequence[str], jobs: int) -> int:
    """Compare, print what differs, and count it."""
    different = 0
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        root, inputs = Path(made), Path(made) / "inputs"
        inputs.mkdir()
        make(inputs)
        idle: Idle = Queue()
        for _ in range(jobs):
            pair = tuple(Interpreter(python, environment(root), root) for python in pythons)
            for python in pair:
                stack.callback(python.end)
            idle.put(pair)
        print(*(python.package for python in pair), sep="\n", flush=True)
        if len({python.package for python in pair}) == 1:
            sys.exit("both are the same installation")
        make_results(pair[0], inputs)
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(lambda case: compared(case, idle, inputs, root), chosen)
            for number, ((name, _), lines) in enumerate(zip(chosen, found, strict=True), 1):
                if sys.stderr.isatty():
                    print(f"{number} of {len(chosen)}", end="\r", file=sys.stderr, flush=True)
                if lines:
                    different += 1
                    print(name, *lines, sep="\n  ", flush=True)
    return different


def main() -> int:
    """Compare, and tell by the exit code."""
    options = parsed()
    chosen = [case for case in cases() if options.only in case[0]]
    if options.list:
        print(*(name for name, _ in chosen), sep="\n")
        return 0
    began = time.monotonic()
    # A link such as .venv/bin/python must stay one: it is by its place that it finds its packages.
    pythons = [os.path.abspath(python) for python in options.pythons]  # noqa: PTH100
    different = compare(chosen, pythons, options.jobs)
    steps, took = sum(len(done) for _, done in chosen), time.monotonic() - began
    print(f"{different} of {len(chosen)} cases differ; {steps} commands, {took:.0f} s")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
