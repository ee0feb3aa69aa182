"""The tables of runs over pictures, and of saved statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bncli.cli.display import Display, facts_table, warn_of_skipped
from bncli.cli.plain import pictures, print_warning
from bncli.images.formats import FORMATS
from bncli.runs.statistics import FitSummary, MergeSummary, StatisticsReport
from bncli.runs.summary import ApplySummary, InvertSummary, PlanFacts, RunSummary, Summary
from bncli.storage.statistics import Facts

if TYPE_CHECKING:
    from rich.table import Table

Rows = list[tuple[str, str]]


def show_normalize(display: Display, summary: RunSummary, out: str) -> None:
    """The results of a run of normalize or apply."""
    warn_of_skipped(summary.faults)
    display.document(summary.document(iter))
    if display.wants_tables:
        facts = facts_table(_facts(summary, out))
        display.table(facts, *([_values_table(summary)] if summary.channels else []))


def show_invert(display: Display, summary: InvertSummary, out: str) -> None:
    """The results of a run of invert."""
    warn_of_skipped(summary.faults)
    for doubt in summary.doubts():
        print_warning(doubt)
    display.document(summary.document(iter))
    if not display.wants_tables:
        return
    rows = [
        _batch_row(summary),
        ("statistics", summary.statistics),
        *_input_rows(summary),
        ("scale", summary.scale),
        ("restored", "exactly" if summary.exact else "; ".join(summary.doubts())),
    ]
    plan = summary.plan
    rows += _written_rows(summary, out) if plan is None else _plan_rows(plan)
    display.table(facts_table(rows))


def show_fit(display: Display, summary: FitSummary) -> None:
    """The results of a run of fit."""
    warn_of_skipped(summary.faults)
    _warn_of_one(summary.report, summary.shard)
    display.document(summary.document())
    rows = _statistics_rows(summary.report)
    if summary.shard is not None:
        rows.append(("shard", summary.shard))
    if summary.added != summary.report.facts.count:
        rows.append(("added", f"{summary.added:,} pictures"))
    rows += [("written", summary.out)] if summary.plan is None else _plan_rows(summary.plan)
    rows += _time_rows(summary.seconds, summary.added)
    _show_statistics(display, rows, summary.report)


def show_merge(display: Display, summary: MergeSummary) -> None:
    """The results of a run of merge."""
    _warn_of_one(summary.report, None)
    if summary.twins:
        print_warning(
            f"{summary.twins:,} pictures have the bytes of one in another file, under another name"
        )
    display.document(summary.document())
    rows = [*_statistics_rows(summary.report), ("merged", f"{len(summary.merged)} files")]
    _show_statistics(display, [*rows, ("written", summary.out)], summary.report)


def show_inspect(display: Display, file: str, report: StatisticsReport) -> None:
    """What is in a stats.npz."""
    facts = report.facts
    display.document(
        {"schema": "bncli.inspect/1", "status": "ok", "exit_code": 0, "path": file}
        | report.document()
    )
    resize = "none" if facts.resize is None else "{}x{}".format(*facts.resize)
    policy = f"mode {facts.mode}, alpha {facts.alpha}, resize {resize}, {facts.orientation}"
    rows = [
        ("file", file),
        ("written by", f"bncli {facts.bncli}, format bncli.stats/1"),
        *_statistics_rows(report),
        ("read with", f"{policy}, channels {facts.channel_order}"),
        ("value scale", f"1 is {facts.unit:g}"),
        ("digests", f"{report.digests:,} of {facts.count:,} pictures differ"),
    ]
    _show_statistics(display, rows, report)


def _channel_table(columns: Sequence[str], rows: Sequence[Sequence[float]]) -> Table:
    """Numbers of each channel; whole ones are counts."""
    from rich.table import Table

    table = Table(title=None, header_style="bold")
    for name in ("channel", *columns):
        table.add_column(name, justify="left" if name == "channel" else "right", no_wrap=True)
    for index, numbers in enumerate(rows):
        cells = [f"{n:,}" if isinstance(n, int) else f"{n:.6g}" for n in numbers]
        table.add_row(_channel_name(index, len(rows)), *cells)
    return table


def _values_table(summary: RunSummary) -> Table:
    columns = ("input mean", "input std", "y from", "y to", "clipped")
    rows = [
        (channel.mean, channel.std, channel.low, channel.high, clipped)
        for channel, clipped in zip(summary.channels, summary.clipped, strict=True)
    ]
    return _channel_table(columns, rows)


def _facts(summary: RunSummary, out: str) -> Rows:
    rows = [_batch_row(summary), _layer_row(summary)]
    if isinstance(summary, ApplySummary):
        rows.append(("statistics", f"{summary.statistics}: of {pictures(summary.fitted)}"))
    rows += _input_rows(summary)
    if summary.plan is not None:
        return [*rows, *_plan_rows(summary.plan)]
    return [*rows, *_done_rows(summary), *_written_rows(summary, out)]


def _batch_row(summary: Summary) -> tuple[str, str]:
    others = "other file" if summary.ignored == 1 else "other files"
    ignored = f", {summary.ignored} {others} ignored" if summary.ignored else ""
    excluded = f", {summary.excluded} excluded" if summary.excluded else ""
    return "batch", f"{_batch_words(summary)}, natural order{ignored}{excluded}"


def _batch_words(of: Summary | Facts) -> str:
    width, height, channels = of.shape
    return f"{pictures(of.count)}, {width}x{height}, {channels} x {of.dtype}"


def _layer_row(of: RunSummary | Facts) -> tuple[str, str]:
    return "layer", f"gamma {of.gamma}, beta {of.beta}, eps {of.eps:g}"


def _dead_row(dead_pixels: int, shape: Sequence[int]) -> tuple[str, str]:
    return "dead pixels", f"{dead_pixels:,} of {math.prod(shape):,}"


def _input_rows(summary: Summary) -> Rows:
    rows = []
    if summary.with_alpha:
        done = {"keep": "copied through", "drop": "dropped", "normalize": "normalized"}
        counted = f"{summary.with_alpha} of {summary.count} pictures have it"
        rows.append(("alpha", f"{done[summary.alpha]}; {counted}"))
    there = [f"{kind} of {count:,}" for kind, count in summary.metadata.items() if count]
    if there:
        kept = "copied" if summary.metadata_kept else "not copied; --keep-metadata copies it"
        rows.append(("metadata", f"{', '.join(there)}: {kept}"))
    if summary.faults:
        rows.append(("skipped", f"{len(summary.faults)} pictures that cannot be used"))
    return rows


def _plan_rows(plan: PlanFacts) -> Rows:
    memory, disk = plan.memory_bytes / 1e6, plan.disk_bytes / 1e6
    words = f"{plan.jobs} threads, {memory:,.0f} MB of memory, at most {disk:,.0f} MB of disk"
    if plan.disk_free_bytes is not None:
        words += f" of {plan.disk_free_bytes / 1e6:,.0f} MB free"
    rows = [("plan", words)]
    if plan.whole_files is not None:
        rows.append(("resume", f"{plan.whole_files:,} files are whole already"))
    return [*rows, ("dry run", "nothing was written")]


def _written_rows(summary: Summary, out: str) -> Rows:
    first = next((output.path for output in summary.outputs), None)
    files = 0 if first is None or first in summary.arrays else len(summary.outputs)
    counted = [pictures(files)] if files else []
    rows = [("written", f"{out}: " + ", ".join([*counted, *summary.arrays, "summary.json"]))]
    if summary.kept:
        rows.append(("resume", f"{summary.kept:,} of these files were whole already"))
    return [*rows, *_time_rows(summary.seconds, summary.count)]


def _time_rows(seconds: float, count: int) -> Rows:
    if seconds <= 0:
        return []
    return [("time", f"{seconds:.2f} s, {count / seconds:,.1f} pictures per second")]


def _done_rows(summary: RunSummary) -> Rows:
    rows = []
    if summary.scaling is not None:
        rows.append(("scale", _scale_words(summary)))
    if summary.update is not None:
        update = ", ".join(f"{name} {value:g}" for name, value in summary.update.items())
        rows.append(("update", update))
    rows += [(name, f"norm {norm:.6g}") for name, norm in summary.gradients.items()]
    return [*rows, _dead_row(summary.dead_pixels, summary.shape)]


def _scale_words(summary: RunSummary) -> str:
    scaling = summary.scaling
    assert scaling is not None  # noqa: S101 - the caller has looked
    if not FORMATS[scaling.format].levels:
        return f"y as it is, to {scaling.format}"
    if scaling.low is None or scaling.high is None:
        return f"image: the range of each picture, to {scaling.depth}-bit {scaling.format}"
    levels = f"{scaling.depth}-bit {scaling.format}"
    return f"{scaling.kind}: y {scaling.low:.6g} to {scaling.high:.6g}, to {levels}"


def _channel_name(index: int, count: int) -> str:
    names = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    return names[count][index] if count in names else str(index)


def _warn_of_one(report: StatisticsReport, shard: str | None) -> None:
    if report.facts.count == 1 and shard is None:
        print_warning("one picture has no variance: merge or update it with others before apply")


def _statistics_rows(report: StatisticsReport) -> Rows:
    facts = report.facts
    rows = [("statistics", _batch_words(facts)), _layer_row(facts)]
    if facts.running is not None:
        momentum = "none" if facts.running.momentum is None else f"{facts.running.momentum:g}"
        rows.append(("running", f"momentum {momentum}, batches of {facts.running.batch_size}"))
    else:
        rows.append(("variance", f"divided by the count{' less 1' if facts.ddof else ''}"))
    return [*rows, _dead_row(report.dead_pixels, facts.shape)]


def _show_statistics(display: Display, rows: Rows, report: StatisticsReport) -> None:
    if not display.wants_tables:
        return
    from rich.text import Text

    columns = ("mean", "std", "minimum", "maximum")
    numbers = [tuple(getattr(channel, name) for name in columns) for channel in report.channels]
    call = Text(f"transforms.{report.normalize_call}", no_wrap=True)
    display.table(facts_table(rows), _channel_table(columns, numbers), call)
