"""How far a run is: a bar that redraws itself on a terminal, lines now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_HEARTBEAT_SECONDS = 30.0
_ROOM_FOR_WORDS = 56  # columns: "write 123456 of 123456, 1,234/s, 12 min 34 s left", and spaces
_ROOM_FOR_BAR = 24
_LONGEST_BAR = 40
_MANY = 100
_MINUTE, _HOUR = 60, 3600

Follower = Callable[[str, int, int], None]
"""Is told a stage, and how many of how many are through it; of 0 where that is not known."""


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Follow nothing."""


@contextmanager
def progress_bar(console: Console) -> Iterator[Follower]:
    """A line that redraws itself, with rate and time left, and is gone at the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns: list[Any] = [TextColumn("{task.description}"), TextColumn("{task.fields[words]}")]
    room = console.width - _ROOM_FOR_WORDS
    if room >= _ROOM_FOR_BAR:
        columns.insert(1, BarColumn(bar_width=min(_LONGEST_BAR, room)))
    pace = _Pace()
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as bar:

        def follow(stage: str, done: int, total: int) -> None:
            words = pace.words(stage, done, total)
            if len(stage) + len(words) + 1 >= console.width:
                words = f"{done}/{total}" if total else str(done)
            if stage not in tasks:
                for earlier in tasks.values():
                    bar.remove_task(earlier)  # one line is all it ever takes
                tasks.clear()
                tasks[stage] = bar.add_task(stage, total=total or None, words=words)
            bar.update(tasks[stage], completed=done, words=words)

        yield follow


def progress_lines(*, every_stage: bool) -> Follower:
    """A line on stderr every half minute; with *every_stage* also at the end of each stage."""
    last = time.monotonic()
    pace = _Pace()

    def follow(stage: str, done: int, total: int) -> None:
        nonlocal last
        words = pace.words(stage, done, total)
        now = time.monotonic()
        if now - last < _HEARTBEAT_SECONDS and not (every_stage and done == total):
            return
        last = now
        with suppress(OSError, ValueError, AttributeError):  # a log that is gone ends no run
            sys.stderr.write(f"{stage} {words}\n")
            sys.stderr.flush()

    return follow


class _Pace:
    """How fast each stage goes."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, int]] = {}

    def words(self, stage: str, done: int, total: int) -> str:
        """``120 of 400, 60.3/s, 5 s left``: as much of it as is known."""
        now = time.monotonic()
        began, first = self._began.setdefault(stage, (now, done))
        words = f"{done} of {total}" if total else str(done)
        if now - began < 1 or done <= first:
            return words
        rate = (done - first) / (now - began)
        left = f", {_duration((total - done) / rate)} left" if done < total else ""
        speed = f"{rate:,.0f}" if rate >= _MANY else f"{rate:.1f}"
        return f"{words}, {speed}/s{left}"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
