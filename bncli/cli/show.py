"""Tables, progress, and what is said on stderr."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bncli.cli.plain import print_document, print_note, print_result, print_warning

if TYPE_CHECKING:  # rich takes a tenth of a second to load, and --quiet and --json need none of it
    from rich.console import Console

    from bncli.images.image_set import Fault
    from bncli.pipeline.summary import RunSummary

_HEARTBEAT_SECONDS = 30.0
_WIDE = 100_000
_LISTED = 20
Follower = Callable[[str, int, int], None]


class _Paper(io.StringIO):
    """Text for a stream, in whose encoding rich chooses its lines."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return str(self._encoding)


class Display:
    """What the user sees of a run, as the stream options say.

    Args:
        as_json: a document instead of a table.
        quiet: no table, no progress.
        verbose: say what was decided.
        color: ``auto``, ``always`` or ``never``.
        progress: ``auto``, ``always`` or ``never``.
    """

    def __init__(
        self, *, as_json: bool, quiet: bool, verbose: bool, color: str, progress: str
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.color = color
        self.progress = progress

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """A function to be told of progress: a bar on a terminal, else a line now and then."""
        wanted = self.progress == "always" or (self.progress == "auto" and not self.quiet)
        if not wanted:
            yield _silence
        elif _is_terminal(sys.stderr) or self.progress == "always":
            with _bar(self._console(sys.stderr)) as follow:
                yield follow
        else:
            yield _heartbeat()

    def tell(self, line: str) -> None:
        """Say on stderr what was decided, where the user wants to know."""
        if self.verbose:
            print_note(line)

    def document(self, document: dict[str, Any]) -> None:
        """Print the document where the user wants one."""
        if self.as_json:
            print_document(document)

    @property
    def wants_tables(self) -> bool:
        """Whether the user wants tables and lines on stdout."""
        return not (self.as_json or self.quiet)

    def table(self, *parts: Any) -> None:
        """Print tables and lines on stdout, unless the user wants none."""
        if not self.wants_tables:
            return
        styled = self._styled(sys.stdout)
        # On paper first: rich's own capture still touches the stream, which may be full or closed.
        paper = _Paper(sys.stdout)
        console = self._console(sys.stdout, paper)
        for part in parts:
            console.print(part if styled else _unboxed(part))
        text = paper.getvalue()
        if not styled:
            text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        print_result(text)

    def normalize_summary(self, summary: RunSummary, out: str) -> None:
        """The results of a run of normalize."""
        warn_of_skipped(summary.faults)
        self.document(summary.document())
        if self.wants_tables:
            from bncli.cli.show_normalize import normalize_tables

            self.table(*normalize_tables(summary, out))

    def _styled(self, stream: Any) -> bool:
        if self.color == "auto":
            return _is_terminal(stream)
        return self.color == "always"

    def _console(self, stream: Any, paper: io.StringIO | None = None) -> Console:
        from rich.console import Console

        styled = self._styled(stream)
        plain = not styled or (
            self.color != "always" and (os.environ.get("NO_COLOR") or _is_dumb())
        )
        return Console(
            file=stream if paper is None else paper,
            force_terminal=styled,
            color_system=None if plain else "auto" if _is_terminal(stream) else "standard",
            width=None if styled else _WIDE,
            markup=False,
            highlight=False,
            emoji=False,
        )


def warn_of_skipped(faults: Sequence[Fault]) -> None:
    """Name the pictures that were skipped, on stderr."""
    for fault in faults[:_LISTED]:
        print_warning(f"skipped {fault}")
    if len(faults) > _LISTED:
        print_warning(f"skipped {len(faults) - _LISTED} more; --json names them")


def _unboxed(part: Any) -> Any:
    if hasattr(part, "box"):
        part.box = None
        part.pad_edge = False
    return part


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in {"dumb", "unknown"}


def _silence(_stage: str, _done: int, _total: int) -> None:
    """Follow nothing."""


@contextmanager
def _bar(console: Console) -> Iterator[Follower]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True) as bar:

        def follow(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield follow


def _heartbeat() -> Follower:
    began = last = time.monotonic()

    def follow(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _HEARTBEAT_SECONDS:
            return
        last = now
        sys.stderr.write(f"{stage} {done} of {total}, {now - began:.0f} s\n")
        sys.stderr.flush()

    return follow
