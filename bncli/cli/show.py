"""Tables, progress, and what is said on stderr."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bncli.cli.plain import print_document, print_note, print_result, print_warning, printable

if TYPE_CHECKING:
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

    def table(self, *parts: Any) -> None:
        """Print tables and lines on stdout, unless the user wants none."""
        if self.as_json or self.quiet:
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
        for fault in summary.faults[:_LISTED]:
            print_warning(f"skipped {fault}")
        if len(summary.faults) > _LISTED:
            print_warning(f"skipped {len(summary.faults) - _LISTED} more; summary.json names them")
        self.document(summary.document())
        self.table(*normalize_tables(summary, out))

    def _styled(self, stream: Any) -> bool:
        if self.color == "auto":
            return _is_terminal(stream)
        return self.color == "always"

    def _console(self, stream: Any, paper: io.StringIO | None = None) -> Console:
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


def normalize_tables(summary: RunSummary, out: str) -> list[Any]:
    """The tables of a run of normalize."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(summary, out):
        facts.add_row(name, Text(printable(value)))
    if not summary.channels:
        return [facts]
    channels = Table(title=None, header_style="bold")
    for name in ("channel", "input mean", "input std", "y from", "y to", "clipped"):
        channels.add_column(name, justify="left" if name == "channel" else "right", no_wrap=True)
    for index, (channel, clipped) in enumerate(zip(summary.channels, summary.clipped, strict=True)):
        numbers = (channel.mean, channel.std, channel.low, channel.high)
        name = _channel_name(index, len(summary.channels))
        channels.add_row(name, *(f"{n:.6g}" for n in numbers), f"{clipped:,}")
    return [facts, channels]


def _facts(summary: RunSummary, out: str) -> list[tuple[str, str]]:
    width, height, channels = summary.shape
    pixels = width * height * channels
    ignored = f", {summary.ignored} other files ignored" if summary.ignored else ""
    excluded = f", {summary.excluded} excluded" if summary.excluded else ""
    batch = f"{summary.count} pictures, {width}x{height}, {channels} x {summary.dtype}"
    layer = f"gamma {summary.gamma}, beta {summary.beta}, eps {summary.eps:g}"
    rows = [("batch", f"{batch}, natural order{ignored}{excluded}"), ("layer", layer)]
    if summary.plan is not None:
        plan = summary.plan
        memory, disk = plan.memory_bytes / 1e6, plan.disk_bytes / 1e6
        words = f"{plan.jobs} threads, {memory:,.0f} MB of memory, at most {disk:,.0f} MB of disk"
        return [*rows, ("plan", words), ("dry run", "nothing was written")]
    if summary.scaling is not None:
        rows.append(("scale", _scale_words(summary)))
    if summary.update is not None:
        update = ", ".join(f"{name} {value:g}" for name, value in summary.update.items())
        rows.append(("update", update))
    rows += [(name, f"norm {norm:.6g}") for name, norm in summary.gradients.items()]
    rows += [
        ("dead pixels", f"{summary.dead_pixels:,} of {pixels:,}"),
        ("written", _written_words(summary, out)),
    ]
    if summary.seconds > 0:
        rate = summary.count / summary.seconds
        rows.append(("time", f"{summary.seconds:.2f} s, {rate:,.1f} pictures per second"))
    return rows


def _scale_words(summary: RunSummary) -> str:
    scaling = summary.scaling
    assert scaling is not None  # noqa: S101 - the caller has looked
    if scaling.format != "png":
        return f"none: y as it is, to {scaling.format}"
    if scaling.low is None or scaling.high is None:
        return f"image: the range of each picture, to {scaling.depth}-bit png"
    return f"{scaling.kind}: y {scaling.low:.6g} to {scaling.high:.6g}, to {scaling.depth}-bit png"


def _written_words(summary: RunSummary, out: str) -> str:
    files = len({output.path for output in summary.outputs} - set(summary.arrays))
    pictures = [f"{files} pictures"] if files else []
    return f"{out}: " + ", ".join([*pictures, *summary.arrays, "summary.json"])


def _channel_name(index: int, count: int) -> str:
    names = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    return names[count][index] if count in names else str(index)


def _unboxed(part: Any) -> Any:
    if isinstance(part, Table):
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
