"""A right layer, checked with many seeds: how often the checker cries wolf.

Run it by hand: ``python tests/benchmarks/thousand_seeds.py [SEEDS]``. Every probe has pixels of
variance 0, eps and 100 eps. Exits with 1 if a single check fails.
"""

from __future__ import annotations

import sys
import time

from bncli import BatchNorm, gradcheck
from bncli.checking.planting import PlantedLayer

LAYERS = (BatchNorm, PlantedLayer)
SHAPES = (None, (5, 7, 6, 3), (3, 2, 5, 1))


def false_failures(seeds: range) -> list[tuple[str, str, int]]:
    found = []
    for seed in seeds:
        for layer in LAYERS:
            for dtype in ("float64", "float32"):
                shape = SHAPES[seed % len(SHAPES)]
                if not gradcheck(layer, shape=shape, dtype=dtype, seed=seed).passed:
                    found.append((layer.__name__, dtype, seed))
    return found


if __name__ == "__main__":
    began = time.perf_counter()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    wrong = false_failures(range(count))
    layers = f"{count} seeds, {len(LAYERS)} layers, 2 precisions"
    sys.stdout.write(
        f"{layers}: {len(wrong)} false failures {wrong[:20]}, {time.perf_counter() - began:.1f} s\n"
    )
    sys.exit(bool(wrong))
