"""The tables of a run of normalize."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from bncli.cli.plain import pictures, printable
from bncli.cli.show import Display, warn_of_skipped
from bncli.runs.summary import ApplySummary, PlanFacts, RunSummary


def show_normalize(display: Display, summary: RunSummary, out: str) -> None:
    """The results of a run of normalize or apply."""
    warn_of_skipped(summary.faults)
    display.document(summary.document())
    if display.wants_tables:
        display.table(*normalize_tables(summary, out))


def normalize_tables(summary: RunSummary, out: str) -> list[Any]:
    """The tables of a run of normalize."""
    facts = facts_table(_facts(summary, out))
    if not summary.channels:
        return [facts]
    columns = ("input mean", "input std", "y from", "y to", "clipped")
    rows = [
        (channel.mean, channel.std, channel.low, channel.high, clipped)
        for channel, clipped in zip(summary.channels, summary.clipped, strict=True)
    ]
    return [facts, channel_table(columns, rows)]


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what is to be said of them."""
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in rows:
        facts.add_row(name, Text(printable(value)))
    return facts


def channel_table(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> Table:
    """Numbers of each channel; whole ones are counts."""
    table = Table(title=None, header_style="bold")
    for name in ("channel", *columns):
        table.add_column(name, justify="left" if name == "channel" else "right", no_wrap=True)
    for index, numbers in enumerate(rows):
        cells = [f"{n:,}" if isinstance(n, int) else f"{n:.6g}" for n in numbers]
        table.add_row(_channel_name(index, len(rows)), *cells)
    return table


def _facts(summary: RunSummary, out: str) -> list[tuple[str, str]]:
    width, height, channels = summary.shape
    others = "other file" if summary.ignored == 1 else "other files"
    ignored = f", {summary.ignored} {others} ignored" if summary.ignored else ""
    excluded = f", {summary.excluded} excluded" if summary.excluded else ""
    batch = f"{pictures(summary.count)}, {width}x{height}, {channels} x {summary.dtype}"
    layer = f"gamma {summary.gamma}, beta {summary.beta}, eps {summary.eps:g}"
    rows = [("batch", f"{batch}, natural order{ignored}{excluded}"), ("layer", layer)]
    if isinstance(summary, ApplySummary):
        rows.append(("statistics", f"{summary.statistics}: of {pictures(summary.fitted)}"))
    if summary.with_alpha:
        rows.append(("alpha", _alpha_words(summary)))
    if summary.faults:
        rows.append(("skipped", f"{len(summary.faults)} pictures that cannot be used"))
    if summary.plan is not None:
        return [*rows, *_plan_rows(summary.plan), ("dry run", "nothing was written")]
    return [*rows, *_done_rows(summary, out)]


def _plan_rows(plan: PlanFacts) -> list[tuple[str, str]]:
    memory, disk = plan.memory_bytes / 1e6, plan.disk_bytes / 1e6
    words = f"{plan.jobs} threads, {memory:,.0f} MB of memory, at most {disk:,.0f} MB of disk"
    if plan.disk_free_bytes is not None:
        words += f" of {plan.disk_free_bytes / 1e6:,.0f} MB free"
    rows = [("plan", words)]
    if plan.whole_files is not None:
        rows.append(("resume", f"{plan.whole_files:,} files are whole already"))
    return rows


def _done_rows(summary: RunSummary, out: str) -> list[tuple[str, str]]:
    rows = []
    if summary.scaling is not None:
        rows.append(("scale", _scale_words(summary)))
    if summary.update is not None:
        update = ", ".join(f"{name} {value:g}" for name, value in summary.update.items())
        rows.append(("update", update))
    rows += [(name, f"norm {norm:.6g}") for name, norm in summary.gradients.items()]
    rows += [
        ("dead pixels", f"{summary.dead_pixels:,} of {math.prod(summary.shape):,}"),
        ("written", _written_words(summary, out)),
    ]
    if summary.kept:
        rows.append(("resume", f"{summary.kept:,} of these files were whole already"))
    if summary.seconds > 0:
        rate = summary.count / summary.seconds
        rows.append(("time", f"{summary.seconds:.2f} s, {rate:,.1f} pictures per second"))
    return rows


def _alpha_words(summary: RunSummary) -> str:
    done = {"keep": "copied through", "drop": "dropped", "normalize": "normalized"}[summary.alpha]
    return f"{done}; {summary.with_alpha} of {summary.count} pictures have it"


def _scale_words(summary: RunSummary) -> str:
    scaling = summary.scaling
    assert scaling is not None  # noqa: S101 - the caller has looked
    if scaling.format != "png":
        return f"y as it is, to {scaling.format}"
    if scaling.low is None or scaling.high is None:
        return f"image: the range of each picture, to {scaling.depth}-bit png"
    return f"{scaling.kind}: y {scaling.low:.6g} to {scaling.high:.6g}, to {scaling.depth}-bit png"


def _written_words(summary: RunSummary, out: str) -> str:
    files = len({output.path for output in summary.outputs} - set(summary.arrays))
    counted = [pictures(files)] if files else []
    return f"{out}: " + ", ".join([*counted, *summary.arrays, "summary.json"])


def _channel_name(index: int, count: int) -> str:
    names = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    return names[count][index] if count in names else str(index)
