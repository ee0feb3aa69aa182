"""Thousands of spoilt files, each read as a run reads it: what may come of one is 0, 5 or 7.

    python tests/fuzz/fuzz.py                      2,000 of each kind: a minute
    python tests/fuzz/fuzz.py --count 100000 TIFF  a night of one kind
    python tests/fuzz/fuzz.py --from 4711 --count 1 TIFF --keep .   one file again, kept

Every file is read in a child process of limited memory and time. One that ends otherwise than with
an exit code of the contract is kept, named by its kind, seed and outcome.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from mutate import mutant
from PIL import Image

from bncli import apply_folder, inspect_statistics, merge_statistics, normalize_folder
from bncli.errors import BncliError

KINDS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PNM", "NPY", "NPZ", "STATS")
ALLOWED = {"0", "5", "7"}
SECONDS = 5.0
_MEMORY = 1 << 30
_NAMES = {"NPY": "file.npy", "NPZ": "file.npz", "STATS": "file.npz"}
_TOLD = 600
"""A longer message would hide what it says."""

Reader = Callable[[Path, int], None]


def read_pictures(path: Path, seed: int) -> None:
    """Two links to the file are a batch; every other one is read with all its frames."""
    twin = path.with_name("twin")
    if not twin.exists():
        twin.symlink_to(path)
    frames, alpha = ("all", "first")[seed % 2], ("keep", "normalize")[seed % 3 > 1]
    _dry([path, twin], path, frames=frames, alpha=alpha)


def read_array(path: Path, seed: int) -> None:
    """As the batch itself, as delta, and as gamma."""
    whole = path.with_name("whole.npy")
    if not whole.exists():
        np.save(whole, np.arange(24.0).reshape(4, 3, 2, 1))
    if seed % 3 == 0:
        _dry([path], path)
    else:
        _dry([whole], path, **{("delta", "gamma")[seed % 3 - 1]: str(path)})


def read_members(path: Path, _: int) -> None:
    """As the state of a descent."""
    whole = path.with_name("whole.npy")
    if not whole.exists():
        np.save(whole, np.arange(24.0).reshape(4, 3, 2, 1))
    _dry([whole], path, delta="ones", update=True, state=path)


def read_statistics(path: Path, seed: int) -> None:
    """As what pictures are normalized with, or added to, or looked at."""
    whole = path.with_name("whole.npy")
    if not whole.exists():
        np.save(whole, np.arange(6, dtype=np.uint8).reshape(1, 3, 2, 1))
    if seed % 3 == 0:
        inspect_statistics(path)
    elif seed % 3 == 1:
        apply_folder(path, whole, path.with_name("out"), dry_run=True, max_memory=_MEMORY)
    else:
        made = path.with_name("made.npz")
        merge_statistics([path, path], made, overwrite=True)


def _dry(sources: list[Path], path: Path, **options: Any) -> None:
    normalize_folder(
        sources, path.with_name("out"), dry_run=True, jobs=1, max_memory=_MEMORY, **options
    )


READERS: dict[str, Reader] = dict.fromkeys(KINDS, read_pictures) | {
    "NPY": read_array,
    "NPZ": read_members,
    "STATS": read_statistics,
}


def outcome_of(reader: Reader, path: Path, seed: int) -> tuple[str, str]:
    """The exit code that the command line would end with, and what it would say."""
    try:
        reader(path, seed)
    except BncliError as error:
        return str(error.exit_code), str(error)
    except Exception:  # noqa: BLE001 - a finding
        return "70", traceback.format_exc()
    return "0", ""


def work(orders: Connection, kind: str, folder: str, memory: int) -> None:
    """What a child does: make each file, read it, and say what came of it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    noise = Path(folder, "stderr")
    os.dup2(os.open(noise, os.O_CREAT | os.O_RDWR | os.O_APPEND), 2)
    path = Path(folder, _NAMES.get(kind, "file"))
    heard = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while (seed := orders.recv()) is not None:
            path.write_bytes(mutant(kind, seed))
            outcome, told = outcome_of(READERS[kind], path, seed)
            said = noise.stat().st_size
            orders.send((outcome, told, said - heard))
            heard = said


class Child:
    """A process that reads files one by one, and is started anew when one of them kills it."""

    def __init__(self, kind: str, folder: str, memory: int) -> None:
        self._start = (kind, folder, memory)
        self._process: Any = None

    def judge(self, seed: int) -> tuple[str, str, int]:
        """Outcome, what was said, and bytes on stderr that are none of bncli's."""
        if self._process is None:
            context = multiprocessing.get_context("fork")
            self._orders, theirs = context.Pipe()
            self._process = context.Process(target=work, args=(theirs, *self._start))
            self._process.start()
            theirs.close()
        self._orders.send(seed)
        try:
            if self._orders.poll(SECONDS):
                answer: tuple[str, str, int] = self._orders.recv()
                return answer
            outcome = "hang"
        except EOFError:
            self._process.join()
            outcome = f"crash {self._process.exitcode}"
        self.end()
        return outcome, "", 0

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def verdict(outcome: str, told: str) -> str:
    """Why an outcome is a finding; nothing where it is none."""
    if outcome not in ALLOWED:
        return outcome
    if not told.replace("\n", "").isprintable():
        return "raw message"
    if len(told) > _TOLD:
        return "long message"
    return ""


def fuzz(kind: str, seeds: range, keep: Path, memory: int) -> tuple[Counter[str], list[str]]:
    """Judge the mutants of one kind; counts by outcome, and the findings."""
    counts: Counter[str] = Counter()
    findings = []
    with tempfile.TemporaryDirectory(prefix="bncli-fuzz-") as folder:
        child = Child(kind, folder, memory)
        slowest = (0.0, 0)
        for seed in seeds:
            began = time.perf_counter()
            outcome, told, noise = child.judge(seed)
            slowest = max(slowest, (time.perf_counter() - began, seed))
            counts[outcome] += 1
            counts["noisy"] += noise > 0
            found = verdict(outcome, told)
            if found or len(seeds) == 1:
                keep.mkdir(parents=True, exist_ok=True)
                name = f"{kind}-{seed}-{found or outcome}".replace(" ", "-")
                (keep / name).write_bytes(mutant(kind, seed))
            if found:
                findings.append(f"{kind} {seed}: {found} {told.strip().rpartition(chr(10))[2]}")
        child.end()
        noise_file = Path(folder, "stderr")
        if noise_file.exists() and noise_file.stat().st_size:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{kind}-stderr").write_bytes(noise_file.read_bytes())
    counts["slowest ms"] = round(1000 * slowest[0])
    counts["slowest seed"] = slowest[1]
    return counts, findings


def main() -> int:
    """Fuzz what is asked for; 1 where there were findings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help="of files; all")
    parser.add_argument("--count", type=int, default=2000, help="files of each kind")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--memory", type=int, default=2 << 30, help="bytes of address space")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for them")
    chosen = parser.parse_args()
    Image.init()
    bad = 0
    for kind in chosen.kinds:
        seeds = range(chosen.first, chosen.first + chosen.count)
        counts, findings = fuzz(kind, seeds, chosen.keep, chosen.memory)
        told = "  ".join(f"{name}: {counts[name]}" for name in sorted(counts))
        print(f"{kind:6}{told}", flush=True)
        for finding in findings:
            print("  FOUND", finding.encode("ascii", "backslashreplace").decode(), flush=True)
        bad += len(findings)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
