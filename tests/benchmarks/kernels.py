"""Forward and backward in memory: bncli beside torch, plain NumPy and a parallel copy."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bncli import BatchNorm
from bncli.batchnorm.kernels import (
    BLOCK_PICTURES,
    TileMoments,
    backward_tile,
    forward_tile,
)
from bncli.batchnorm.tiling import run_tiles, tile_slices
from bncli.machine import allowed_cores

Task = Callable[[], object]


def main(quick: bool) -> None:
    """Print milliseconds, and how many parallel copies of the input each takes."""
    shape = (32, 24, 24, 3) if quick else (256, 224, 224, 3)
    rng = np.random.default_rng(0)
    x, delta = (rng.random(shape, dtype=np.float32) for _ in range(2))
    tasks = _own_tasks(x, delta)
    if importlib.util.find_spec("torch"):
        tasks |= _torch_tasks(x, delta)
    seconds = _in_turn(tasks, 1 if quick else 7)
    print(f"\nkernels: float32 {'x'.join(map(str, shape))}, medians")
    for name, value in seconds.items():
        print(f"  {name:16}{value * 1e3:9.1f} ms{value / seconds['parallel copy']:8.2f} copies")
    for name in ("forward", "backward"):
        if f"torch {name}" in seconds:
            print(f"  torch / bncli, {name}: {seconds[f'torch {name}'] / seconds[name]:.2f}")


def _own_tasks(x: np.ndarray, delta: np.ndarray) -> dict[str, Task]:
    rows, deltas = x.reshape(len(x), -1), delta.reshape(len(x), -1)
    out = np.empty_like(rows)
    ones = np.ones(rows.shape[1], np.float32)
    layer = BatchNorm()
    layer.forward(x)

    found = TileMoments(*np.empty((4, rows.shape[1]), np.float32))

    def forward_tile_into(tile: slice) -> None:
        part = forward_tile(rows[:, tile], ones[tile], ones[tile], 1e-8, out[:, tile])
        for whole, values in zip(found, part, strict=True):
            whole[tile] = values

    def backward_tile_into(tile: slice) -> None:
        part = TileMoments(*(whole[tile] for whole in found))
        backward_tile(deltas[:, tile], rows[:, tile], part, ones[tile], out[:, tile])

    def backward() -> None:
        layer.delta = delta
        layer.backward()

    def numpy_forward() -> np.ndarray:
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + np.float32(1e-8))

    tiles = tile_slices(rows.shape[1], len(x) * x.itemsize)
    wide = tile_slices(rows.shape[1], BLOCK_PICTURES * x.itemsize, allowed_cores())
    return {
        "parallel copy": _parallel_copy(rows, out),
        "forward, into": lambda: run_tiles(forward_tile_into, tiles),
        "backward, into": lambda: run_tiles(backward_tile_into, wide),
        "forward": lambda: layer.forward(x),
        "backward": backward,
        "numpy forward": numpy_forward,
    }


def _parallel_copy(rows: np.ndarray, out: np.ndarray) -> Task:
    pool = ThreadPoolExecutor(allowed_cores())
    pieces = np.array_split(np.arange(len(rows)), allowed_cores())

    def part(piece: np.ndarray) -> None:
        np.copyto(out[piece[0] : piece[-1] + 1], rows[piece[0] : piece[-1] + 1])

    return lambda: list(pool.map(part, pieces))


def _torch_tasks(x: np.ndarray, delta: np.ndarray) -> dict[str, Task]:
    import torch

    flat = torch.from_numpy(x.reshape(len(x), -1)).requires_grad_()
    upstream = torch.from_numpy(delta.reshape(len(x), -1))
    weight = torch.ones(flat.shape[1], requires_grad=True)
    bias = torch.zeros(flat.shape[1], requires_grad=True)

    def run() -> torch.Tensor:
        return torch.nn.functional.batch_norm(
            flat, None, None, weight, bias, training=True, eps=1e-8
        )

    graph = run()
    return {
        "torch forward": run,
        "torch backward": lambda: torch.autograd.grad(
            graph, [flat, weight, bias], upstream, retain_graph=True
        ),
    }


def _in_turn(tasks: dict[str, Task], runs: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(runs + 1):
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            found[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
