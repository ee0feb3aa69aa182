"""The leak scan: whether one pixel's output depends on another pixel's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bncli.checking.probe import Array, Question

Forward = Callable[[Array], Array]
_SLACK = 16
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the scan found.

    Attributes:
        forwards: how many it took.
        victims: how many pixels depend on other pixels.
        pairs: some (source, victim), each (x, y, channel); the source is confirmed by a forward of
            its own.
    """

    forwards: int
    victims: int
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def scan(forward: Forward, question: Question, base: Array) -> Leaks:
    """Perturb half of the pixels at a time, by each bit of their index, and look at the other half.

    Any single ordered leak has source and victim apart in some bit, so one of the masks shows it:
    2 ceil(log2 P) forwards beside the one of *base*.

    Args:
        forward: a batch to its output, each time by a new layer.
        question: the batch.
        base: its output.
    """
    pixels = question.gamma.size
    bits = max(0, (pixels - 1).bit_length())
    index = np.arange(pixels)
    nudge = _nudge(question)
    # hits[bit] holds the pixels that moved while only pixels of the other value were perturbed.
    hits = np.zeros((bits, pixels), bool)
    precision = max(np.finfo(base.dtype).eps, np.finfo(question.x.dtype).eps)
    floor = _SLACK * precision * (np.abs(base).max(axis=0) + 1e-300).reshape(-1)
    for bit in range(bits):
        for value in (0, 1):
            chosen = (index >> bit & 1) == value
            moved = _moved(forward, question.x, nudge, chosen, base, floor)
            hits[bit] |= moved & ~chosen
    victims = np.flatnonzero(hits.any(axis=0))
    pairs = []
    forwards = 2 * bits
    for victim in victims[:_LISTED]:
        flips = sum(1 << bit for bit in range(bits) if hits[bit, victim])
        source = int(victim) ^ flips
        if source >= pixels or source == victim:
            continue
        forwards += 1
        if _moved(forward, question.x, nudge, index == source, base, floor)[victim]:
            pairs.append((_place(source, question), _place(int(victim), question)))
    return Leaks(forwards, len(victims), tuple(pairs))


def _nudge(question: Question) -> Array:
    """A change of every element, of the size of its pixel's spread, different in each picture."""
    spread = np.sqrt(question.variance + question.eps)
    signs = np.where(np.arange(len(question.x)) % 2 == 0, 1.0, -0.5)
    change: Array = (signs[:, None, None, None] * spread * 0.5).astype(question.x.dtype)
    return change


def _moved(
    forward: Forward, x: Array, nudge: Array, chosen: Array, base: Array, floor: Array
) -> Array:
    perturbed = np.where(chosen.reshape(x.shape[1:]), x + nudge, x)
    change = np.abs(forward(perturbed) - base).max(axis=0).reshape(-1)
    moved: Array = ~(change <= floor)
    return moved


def _place(pixel: int, question: Question) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(pixel, question.gamma.shape))
