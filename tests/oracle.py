"""Independent answers: the textbook in float64, nothing shared with the code under test."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np
from contract.interpreter import Interpreter


class Textbook(NamedTuple):
    output: np.ndarray
    x_norm: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    grad_input: np.ndarray | None = None
    grad_gamma: np.ndarray | None = None
    grad_beta: np.ndarray | None = None


def textbook(x, gamma=1.0, beta=0.0, eps=1e-8, delta=None) -> Textbook:
    """Ioffe & Szegedy 2015, algorithm 1 and the chain rule after it, step by step as printed."""
    x = np.asarray(x, np.float64)
    batch = len(x)
    mean = x.sum(axis=0) / batch
    variance = ((x - mean) ** 2).sum(axis=0) / batch
    x_norm = (x - mean) / np.sqrt(variance + eps)
    output = gamma * x_norm + beta
    if delta is None:
        return Textbook(output, x_norm, mean, variance)
    d_norm = delta * gamma
    d_variance = (d_norm * (x - mean) * -0.5 * (variance + eps) ** -1.5).sum(axis=0)
    d_mean = (d_norm * -1 / np.sqrt(variance + eps)).sum(axis=0)
    d_mean = d_mean + d_variance * (-2 * (x - mean)).sum(axis=0) / batch
    grad_input = d_norm / np.sqrt(variance + eps) + d_variance * 2 * (x - mean) / batch
    grad_input = grad_input + d_mean / batch
    return Textbook(
        output,
        x_norm,
        mean,
        variance,
        grad_input,
        (delta * x_norm).sum(axis=0),
        delta.sum(axis=0),
    )


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OPENBLAS_", "OMP_")
"""Beginnings of the variables that count when a process starts, so that it cannot be warm."""

_warm: dict[frozenset, Interpreter] = {}


def bncli(*arguments, cwd=None, env=None, stdin=None) -> Ran:
    """Run the real command in a process of its own, which had loaded the libraries before."""
    return python("-m", "bncli", *arguments, cwd=cwd, env=env, stdin=stdin)


def python(*words, cwd=None, env=None, stdin=None) -> Ran:
    """Likewise any ``-m MODULE`` or ``-c CODE`` that does not ask how the libraries are loaded."""
    env = dict(os.environ if env is None else env)
    at_start = {name: value for name, value in env.items() if name.startswith(_AT_START)}
    key = frozenset(at_start.items())
    if key not in _warm:
        _warm[key] = Interpreter(sys.executable, at_start, Path(sys.prefix))
    code, out, err = _warm[key].run([*map(str, words)], cwd or Path.cwd(), env, stdin)
    return Ran(code, out.decode(errors="surrogateescape"), err.decode(errors="surrogateescape"))


_FULL = """
import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), int(sys.argv.pop(1)))
from bncli.__main__ import main
main()
"""


def bncli_onto_full(stream, *arguments, cwd=None) -> Ran:
    """Run the command with this one of its streams on a disk that is full."""
    return python("-c", _FULL, stream, *arguments, cwd=cwd)


def let_go():
    """End what `bncli` keeps warm."""
    while _warm:
        _warm.popitem()[1].end()


def least_peak(task) -> int:
    """Bytes of memory that a task takes at its peak: the least of three, since threads that other
    tests have left behind may be at something large."""
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            task()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
