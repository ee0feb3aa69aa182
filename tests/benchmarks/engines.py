"""What the engines cost beside threads; run it on a quiet machine."""

from __future__ import annotations

import argparse
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bncli.runs.emit import BatchLevels
from measure import print_table, side_by_side
from pictures import make_set

from bncli.batchnorm.moments import Moments

_SIZE = (640, 427)
_ENGINES = {
    "threads": ["--engine", "local"],
    "threads, decoding twice": ["--engine", "local", "--max-memory", "200M"],
    "processes": ["--engine", "processes"],
    "dask": ["--engine", "dask"],
}


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--place", type=Path, default=Path("/tmp/bncli-engines"))  # noqa: S108
    chosen = parser.parse_args()
    source = make_set(chosen.place / f"{chosen.pictures}", "jpeg", chosen.pictures, _SIZE)

    def command(options: list[str]) -> Callable[[Path], list[str]]:
        words = [sys.executable, "-m", "bncli", "normalize", str(source), *options]
        return lambda out: [*words, "--jobs", str(chosen.jobs), "-q", "-o", str(out / "out")]

    costs = side_by_side(
        {name: command(options) for name, options in _ENGINES.items()},
        chosen.place / "out",
        chosen.runs,
    )
    print_table(f"engines: {chosen.pictures} pictures, {chosen.jobs} jobs", costs, "threads")
    _print_sizes()


def _print_sizes() -> None:
    """What travels: sums to be joined, and planes to every worker."""
    pixels = math.prod(_SIZE) * 3
    moments = Moments.of(np.zeros((2, pixels), np.uint8))
    planes = BatchLevels(np.zeros(pixels), np.zeros(pixels), np.dtype(np.uint8))
    for name, thing in {"sums of a chunk": moments, "planes, once per worker": planes}.items():
        size = len(pickle.dumps(thing, 5))
        print(f"  {name}: {size / 1e6:.1f} MB, {size / pixels:.0f} bytes for each pixel")


if __name__ == "__main__":
    main()
