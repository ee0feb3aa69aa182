"""Make single mistakes in the package, and tell which of them its tests do not notice.

    python tests/house/mutants.py --count 400

Each is made in a copy, with a Python of its own, and tests of the room it is made in are run there:
those that go through the changed lines, also in processes that they start, the quickest first. What
was found is kept in --state, line by line, so a run that was stopped goes on. What survives is a
hole in the tests, needless code, or no mistake: somebody has to look. When tests have been written
for it, this tries it alone:

    python tests/house/mutants.py --only moments.py:77 --tests tests/batchnorm/test_moments.py
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

from coverage import CoverageData

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house.changes import Change, changes_of, sample

ROOMS = ("batchnorm", "images", "storage", "checking", "runs")
KILLED, SURVIVED, LATE = "killed", "survived", "timeout"

_CHEAP = 30
"""Seconds that the tests of a room may take to be all run where those chosen notice nothing."""
_PATIENCE, _FACTOR = 20, 5
"""A run is late after so many seconds and so many times what its tests take unchanged."""
_TOOK = re.compile(r"([\d.]+)s (?:setup|call|teardown) +(\S.*)")

_CHILD = """
import os
from coverage import Coverage
test = os.environ.get("PYTEST_CURRENT_TEST")
if test:  # a process that a test has started
    context = test.rpartition(" ")[0] + "|run"
    rules = os.environ["MUTANTS_RULES"]
    Coverage(config_file=rules, data_suffix=True, context=context, auto_data=True).start()
"""
_RULES = """
[run]
source = {source}
data_file = {data}
parallel = True
concurrency = thread,multiprocessing
patch = _exit
sigterm = True
disable_warnings = no-data-collected
"""


class Ran(NamedTuple):
    """What the tests said: *passed* is None where they did not come to an end."""

    passed: bool | None
    out: str


class Copy:
    """A tree with the package and its tests, and a Python that takes the package from there."""

    def __init__(self, root: Path, place: Path, package: str):
        self.root = place / "tree"
        self.package = self.root / package
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(root, self.root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        # By its content, not its time, Python shall know that a file has changed.
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
        subprocess.run([*command, self.package], check=True)
        venv.create(place / "venv", clear=True, symlinks=True)
        self.python = place / "venv" / "bin" / "python"
        (packages,) = place.glob("venv/lib/python*/site-packages")
        (packages / "mutants_child.py").write_text(_CHILD)
        follow = "import os; 'MUTANTS_RULES' in os.environ and __import__('mutants_child')"
        # What an editable install links to is not followed from here: the package is the copy.
        lines = [str(self.root), *site.getsitepackages(), follow]
        (packages / "copy.pth").write_text("\n".join(lines) + "\n")

    def pytest(self, *arguments: str | Path, seconds: float, rules: Path | None = None) -> Ran:
        """Run it, for so many seconds at most; its processes end with it."""
        basic = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV"))}
        more = {"MUTANTS_RULES": str(rules)} if rules else {"PYTHONDONTWRITEBYTECODE": "1"}
        scratch = self.root.with_name("scratch")
        process = subprocess.Popen(
            [self.python, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={scratch}",
             *arguments],
            cwd=self.root, env=basic | more, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Ran(None, "")
        finally:
            _end(process)
        return Ran(process.returncode == 0, out)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Room:
    """The tests of a room, how long each takes, and which lines it goes through."""

    def __init__(self, copy: Copy, name: str):
        self.copy = copy
        self.tests = copy.root / "tests" / name
        self.cache = copy.root.parent / name
        self.files = sorted((copy.package / name).rglob("*.py"))

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Of each test; they are run, with a look at each line, if they have changed since."""
        known = self.cache.with_suffix(".json")
        digest = hashlib.sha256()
        for path in chain(*map(_sources, (self.copy.package, self.tests))):
            digest.update(path.read_bytes())
        if known.exists():
            kept = json.loads(known.read_text())
            if kept["digest"] == digest.hexdigest():
                return dict(kept["seconds"])
        seconds = self._watched()
        known.write_text(json.dumps({"digest": digest.hexdigest(), "seconds": seconds}))
        return seconds

    def _watched(self) -> dict[str, float]:
        rules, data = self.cache.with_suffix(".ini"), self.cache.with_suffix(".data")
        for old in self.cache.parent.glob(f"{data.name}*"):
            old.unlink()
        rules.write_text(_RULES.format(source=self.copy.package, data=data))
        ran = self.copy.pytest(
            "-vv", "--durations=0", f"--cov-config={rules}", "--cov", "--cov-context=test",
            "--cov-report=", self.tests, seconds=3600, rules=rules,
        )  # fmt: skip
        if not ran.passed:
            sys.exit(f"{self.tests} must pass before anything is changed:\n{ran.out[-3000:]}")
        seconds: Counter[str] = Counter()
        for took, test in _TOOK.findall(ran.out):
            seconds[test] += float(took)
        return seconds

    @cached_property
    def _through(self) -> CoverageData:
        found = CoverageData(str(self.cache.with_suffix(".data")))
        found.read()
        return found

    def choose(self, change: Change) -> list[str]:
        """The tests that go through a change, by files, the quickest first.

        What runs while a file is loaded may matter to whoever goes through any line of it.
        """
        taken = self.seconds  # first: this is what has the lines looked at
        lines = self._through.contexts_by_lineno(str(self.copy.root / change.file))
        told = {one for at in range(change.first, change.last + 1) for one in lines.get(at, ())}
        told = told - {""} or set(chain(*lines.values()))
        chosen = {context.rpartition("|")[0] for context in told}
        # A fixture of several tests is made in the first of them.
        made = {name.partition("::")[0] for name in told if name.endswith("|setup")}
        chosen |= {test for test in taken if test.partition("::")[0] in made}
        files: Counter[str] = Counter()
        for test in chosen & taken.keys():
            files[test.partition("::")[0]] += taken[test]
        known = sorted(chosen & taken.keys(), key=taken.__getitem__)
        return sorted(known, key=lambda test: files[test.partition("::")[0]])

    def judge(self, change: Change, tests: Sequence[str] = ()) -> str:
        """Make the change, run these tests or else those that may notice it, take it back."""
        path = self.copy.root / change.file
        source = path.read_bytes()
        rounds = [(tests, _CHEAP)] if tests else self._rounds(self.choose(change))
        path.write_bytes(change.made_in(source))
        try:
            verdicts = (self._run(*one) for one in rounds)
            return next((one for one in verdicts if one != SURVIVED), SURVIVED)
        finally:
            path.write_bytes(source)

    def _rounds(self, chosen: Sequence[str]) -> list[tuple[Sequence[str], float]]:
        everything = sum(self.seconds.values())
        rounds: list[tuple[Sequence[str], float]] = []
        if chosen:
            rounds.append((chosen, sum(self.seconds[test] for test in chosen)))
        if everything < _CHEAP and len(chosen) < len(self.seconds):
            rounds.append(([str(self.tests)], everything))
        return rounds

    def _run(self, tests: Sequence[str], usual: float) -> str:
        listed = self.copy.root.with_name("chosen")
        listed.write_text("\n".join(tests))
        ran = self.copy.pytest("-xq", f"@{listed}", seconds=_PATIENCE + _FACTOR * usual)
        return LATE if ran.passed is None else SURVIVED if ran.passed else KILLED


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def chosen_changes(rooms: Iterable[Room], asked: argparse.Namespace) -> list[tuple[Room, Change]]:
    """Those to be made, the rooms in turn: what is stopped halfway has seen all of them."""
    rooms = list(rooms)
    columns = []
    for room in rooms:
        found: list[Change] = []
        for path in room.files:
            name = path.relative_to(room.copy.root).as_posix()
            if name.endswith(asked.only.partition(":")[0]):
                found += changes_of(name, path.read_text(encoding="utf-8"))
        line = asked.only.partition(":")[2]
        found = [one for one in found if str(one.line) == (line or str(one.line))]
        share = asked.count if asked.only else -(-asked.count // len(rooms))
        columns.append([(room, change) for change in sample(found, share, asked.seed)])
    return [one for row in zip_longest(*columns) for one in row if one][: asked.count]


def run(asked: argparse.Namespace, package: str) -> dict[str, Counter[str]]:
    """Make changes until all are judged; per room, how many were noticed and how many not."""
    results = asked.state / "results.jsonl"
    asked.state.mkdir(parents=True, exist_ok=True)
    copy = Copy(asked.root, asked.state.resolve(), package)
    before = [json.loads(line) for line in _lines(results)]
    known = {one["key"]: one["verdict"] for one in before}
    counts: dict[str, Counter[str]] = {}
    for room, change in chosen_changes([Room(copy, name) for name in asked.room], asked):
        verdict = known.get(change.key, "")
        if asked.list:
            print(change.key)
        elif not verdict or (asked.again and verdict == SURVIVED):
            start = time.monotonic()
            verdict = room.judge(change, asked.tests)
            line = {"key": change.key, "verdict": verdict, **change._asdict()}
            line["seconds"] = round(time.monotonic() - start, 1)
            with results.open("a", encoding="utf-8") as file:
                print(json.dumps(line), file=file)
        counts.setdefault(room.tests.name, Counter())[verdict] += 1
        if verdict == SURVIVED:
            print(f"survived: {change.key}", flush=True)
    return counts


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main() -> None:
    """Ask, run, and print a table in Markdown."""
    own = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="how many (400), over the rooms")
    parser.add_argument("--seed", type=int, default=0, help="which (0)")
    parser.add_argument("--room", action="append", choices=ROOMS, help="only in this room")
    parser.add_argument("--only", metavar="FILE[:LINE]", default="", help="only there")
    parser.add_argument(
        "--tests", nargs="+", default=(), metavar="PATH", help="run these, new ones too"
    )
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    parser.add_argument("--list", action="store_true", help="name them, and make none")
    parser.add_argument(
        "--state", type=Path, default=own / ".mutants", help="folder of the results"
    )
    asked = parser.parse_args()
    asked.root, asked.room = own, asked.room or ROOMS
    (package,) = (path.parent.name for path in own.glob("*/__main__.py"))
    counts = run(asked, package)
    print(f"\n| room | {KILLED} | {SURVIVED} | {LATE} |\n|---|---|---|---|")
    for room, found in counts.items() if not asked.list else ():
        print(f"| {room} | {found[KILLED]} | {found[SURVIVED]} | {found[LATE]} |")


if __name__ == "__main__":
    main()
