"""Whole processes, measured by the operating system; peers in turn, medians, ratios."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall, seconds of all cores, peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def cost_of(command: Sequence[str | Path]) -> Cost:
    """Run a command and see what it took; a command that fails ends the benchmark."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} failed: {err.decode(errors='replace')}")
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def side_by_side(
    commands: dict[str, Callable[[Path], list[str]]], out: Path, runs: int
) -> dict[str, Cost]:
    """Medians of every command, run in turn: A B C A B C, after one round that is not counted."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for round_number in range(runs + 1):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            cost = cost_of(command(out))
            if round_number or runs == 1:
                costs[name].append(cost)
    return {
        name: Cost(
            statistics.median(cost.wall for cost in found),
            statistics.median(cost.cpu for cost in found),
            statistics.median(cost.peak for cost in found),
        )
        for name, found in costs.items()
    }


def print_table(title: str, costs: dict[str, Cost], base: str) -> None:
    """A row for each command, with its ratio to the base."""
    print(f"\n{title}")
    print(f"  {'':16}{'seconds':>9}{'cpu':>8}{'MB':>8}{'times ' + base:>14}")
    for name, cost in costs.items():
        ratio = cost.wall / costs[base].wall
        print(f"  {name:16}{cost.wall:9.2f}{cost.cpu:8.2f}{cost.peak:8.0f}{ratio:14.2f}")
