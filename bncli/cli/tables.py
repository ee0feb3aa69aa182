"""The tables of runs over pictures, and of saved statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bncli.cli.display import Display, facts_table, warn_of_skipped
from bncli.cli.plain import pictures, print_warning
from bncli.images.layout import Shape
from bncli.runs.invert_summary import InvertSummary
from bncli.runs.statistics_report import FitSummary, MergeSummary, StatisticsReport
from bncli.runs.summary import ApplySummary, PlanFacts, RunSummary

if TYPE_CHECKING:
    from rich.table import Table

Rows = list[tuple[str, str]]


def show_normalize(display: Display, summary: RunSummary, out: str) -> None:
    """The results of a run of normalize or apply."""
    warn_of_skipped(summary.faults)
    display.document(summary.document())
    if display.wants_tables:
        facts = facts_table(_run_rows(summary, out))
        display.table(facts, *([_values_table(summary)] if summary.channels else []))


def show_invert(display: Display, summary: InvertSummary, out: str) -> None:
    """The results of a run of invert."""
    for doubt in summary.doubts():
        print_warning(doubt)
    display.document(summary.document())
    if not display.wants_tables:
        return
    rows = [
        ("batch", _batch_words(summary.count, summary.shape, summary.dtype)),
        ("statistics", summary.statistics),
        ("scale", summary.scale),
        ("restored", "exactly" if summary.exact else "; ".join(summary.doubts())),
    ]
    if summary.plan is not None:
        rows += _plan_rows(summary.plan, disk=False)
    else:
        files = [pictures(summary.count)] if not summary.arrays else []
        rows.append(("written", f"{out}: " + ", ".join([*files, *summary.arrays, "summary.json"])))
    display.table(facts_table([*rows, *_time_rows(summary.count, summary.seconds)]))


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
    if summary.plan is not None:
        rows += _plan_rows(summary.plan, disk=False)
    else:
        rows.append(("written", summary.out))
    rows += _time_rows(summary.added, summary.seconds)
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


def _run_rows(summary: RunSummary, out: str) -> Rows:
    others = "other file" if summary.ignored == 1 else "other files"
    ignored = f", {summary.ignored} {others} ignored" if summary.ignored else ""
    excluded = f", {summary.excluded} excluded" if summary.excluded else ""
    batch = _batch_words(summary.count, summary.shape, summary.dtype)
    layer = _layer_words(summary.gamma, summary.beta, summary.eps)
    rows = [("batch", f"{batch}, natural order{ignored}{excluded}"), ("layer", layer)]
    if isinstance(summary, ApplySummary):
        rows.append(("statistics", f"{summary.statistics}: of {pictures(summary.fitted)}"))
    if summary.with_alpha:
        rows.append(("alpha", _alpha_words(summary)))
    if summary.faults:
        rows.append(("skipped", f"{len(summary.faults)} pictures that cannot be used"))
    if summary.plan is not None:
        return [*rows, *_plan_rows(summary.plan, disk=True)]
    return [*rows, *_done_rows(summary, out)]


def _plan_rows(plan: PlanFacts, *, disk: bool) -> Rows:
    words = f"{plan.jobs} threads, {plan.memory_bytes / 1e6:,.0f} MB of memory"
    if disk:
        words += f", at most {plan.disk_bytes / 1e6:,.0f} MB of disk"
    if disk and plan.disk_free_bytes is not None:
        words += f" of {plan.disk_free_bytes / 1e6:,.0f} MB free"
    rows = [("plan", words)]
    if plan.whole_files is not None:
        rows.append(("resume", f"{plan.whole_files:,} files are whole already"))
    return [*rows, ("dry run", "nothing was written")]


def _done_rows(summary: RunSummary, out: str) -> Rows:
    rows = []
    if summary.scaling is not None:
        rows.append(("scale", _scale_words(summary)))
    if summary.update is not None:
        update = ", ".join(f"{name} {value:g}" for name, value in summary.update.items())
        rows.append(("update", update))
    rows += [(name, f"norm {norm:.6g}") for name, norm in summary.gradients.items()]
    rows += [
        ("dead pixels", _dead_words(summary.dead_pixels, summary.shape)),
        ("written", _written_words(summary, out)),
    ]
    if summary.kept:
        rows.append(("resume", f"{summary.kept:,} of these files were whole already"))
    return rows + _time_rows(summary.count, summary.seconds)


def _time_rows(count: int, seconds: float) -> Rows:
    if seconds <= 0:
        return []
    return [("time", f"{seconds:.2f} s, {count / seconds:,.1f} pictures per second")]


def _batch_words(count: int, shape: Shape, dtype: str) -> str:
    width, height, channels = shape
    return f"{pictures(count)}, {width}x{height}, {channels} x {dtype}"


def _layer_words(gamma: float | str, beta: float | str, eps: float) -> str:
    return f"gamma {gamma}, beta {beta}, eps {eps:g}"


def _dead_words(dead: int, shape: Shape) -> str:
    return f"{dead:,} of {math.prod(shape):,}"


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


def _warn_of_one(report: StatisticsReport, shard: str | None) -> None:
    if report.facts.count == 1 and shard is None:
        print_warning("one picture has no variance: merge or update it with others before apply")


def _statistics_rows(report: StatisticsReport) -> Rows:
    facts = report.facts
    batch = _batch_words(facts.count, facts.shape, facts.dtype)
    rows = [("statistics", batch), ("layer", _layer_words(facts.gamma, facts.beta, facts.eps))]
    if facts.running is not None:
        momentum = "none" if facts.running.momentum is None else f"{facts.running.momentum:g}"
        rows.append(("running", f"momentum {momentum}, batches of {facts.running.batch_size}"))
    else:
        rows.append(("variance", f"divided by the count{' less 1' if facts.ddof else ''}"))
    return [*rows, ("dead pixels", _dead_words(report.dead_pixels, facts.shape))]


def _show_statistics(display: Display, rows: Rows, report: StatisticsReport) -> None:
    if not display.wants_tables:
        return
    from rich.text import Text

    columns = ("mean", "std", "minimum", "maximum")
    numbers = [tuple(getattr(channel, name) for name in columns) for channel in report.channels]
    call = Text(f"transforms.{report.normalize_call}", no_wrap=True)
    display.table(facts_table(rows), _channel_table(columns, numbers), call)
