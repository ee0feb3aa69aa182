"""The user's code: every call into it."""

from __future__ import annotations

import random
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from bncli.errors import TargetError

_OURS = str(Path(__file__).resolve().parent.parent)
_FRAMES = 12
_SEED = 2015
Announce = Callable[[str], None]
"""Is told what the user's code is about to do, and ``""`` when it has come back."""


class TargetFailure(Exception):  # noqa: N818 - the target fails, not bncli
    """The user's code raised, exited, or gave back something that is no array of numbers.

    Args:
        message: one sentence.
        trace: the lines of its traceback, from the target's own file on.
        ended: whether it tried to end the process, or nothing else is worth trying.
    """

    def __init__(self, message: str, trace: tuple[str, ...] = (), *, ended: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace
        self.ended = ended


def announce_nothing(_stage: str) -> None:
    """Nobody is watching."""


class Caller:
    """Runs the user's code.

    Args:
        announce: is told before and after each call, so that a watchdog can time it.

    Attributes:
        counts: how often each stage was called.
    """

    def __init__(self, announce: Announce = announce_nothing) -> None:
        self._announce = announce
        self.counts: dict[str, int] = {}

    def __call__(self, stage: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What *function* returns.

        Raises:
            TargetFailure: it raised, or tried to end the process.
        """
        self.counts[stage] = self.counts.get(stage, 0) + 1
        self._announce(stage)
        seed_everything()
        try:
            # Overflow and invalid values are judged by what comes out, not by warnings.
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return function(*args, **named)
        except (KeyboardInterrupt, TargetError):
            raise
        except SystemExit as error:
            raise TargetFailure(
                f"{stage} called sys.exit({error.code!r})",
                own_trace(error.__traceback__),
                ended=True,
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            message = f"{stage} raised {describe(error)}"
            raise TargetFailure(message, own_trace(error.__traceback__)) from None
        finally:
            self._announce("")


def seed_everything() -> None:
    """Make what the user's code draws at random the same in every call."""
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002 - it is what layers draw from
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(_SEED)


def describe(error: BaseException) -> str:
    """Kind and message of an exception, on one line."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the message is code of the user's, too
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def own_trace(trace: TracebackType | None) -> tuple[str, ...]:
    """A traceback without the frames before the user's first."""
    frames = traceback.extract_tb(trace)
    foreign = [not _is_ours(frame.filename) for frame in frames]
    first = foreign.index(True) if True in foreign else len(frames)
    lines = []
    for frame in frames[first:][-_FRAMES:]:
        lines.append(f"  {frame.filename}, line {frame.lineno}, in {frame.name}")
        if frame.line:
            lines.append(f"    {frame.line}")
    return tuple(lines)


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen")) or "importlib" in filename


class Pair(NamedTuple):
    """Two functions, ``forward(x, gamma, beta, ...) -> (out, cache)`` and ``backward``."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
