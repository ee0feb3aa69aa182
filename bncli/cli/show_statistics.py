"""What is shown of saved statistics: by fit, merge and inspect."""

from __future__ import annotations

from bncli.cli.plain import pictures, print_warning
from bncli.cli.show import Display, warn_of_skipped
from bncli.runs.statistics import FitSummary, MergeSummary, StatisticsReport

Rows = list[tuple[str, str]]


def show_fit(display: Display, summary: FitSummary, _out: str) -> None:
    """The results of a run of fit."""
    warn_of_skipped(summary.faults)
    _warn(summary.report, summary.shard)
    display.document(summary.document())
    rows = _rows(summary.report)
    if summary.shard is not None:
        rows.append(("shard", summary.shard))
    if summary.added != summary.report.facts.count:
        rows.append(("added", f"{summary.added:,} pictures"))
    if summary.plan is not None:
        plan = summary.plan
        words = f"{plan.jobs} threads, {plan.memory_bytes / 1e6:,.0f} MB of memory"
        rows += [("plan", words), ("dry run", "nothing was written")]
    else:
        rows.append(("written", summary.out))
    if summary.seconds > 0:
        rate = summary.added / summary.seconds
        rows.append(("time", f"{summary.seconds:.2f} s, {rate:,.1f} pictures per second"))
    _show(display, rows, summary.report)


def show_merge(display: Display, summary: MergeSummary) -> None:
    """The results of a run of merge."""
    _warn(summary.report, None)
    if summary.twins:
        print_warning(
            f"{summary.twins:,} pictures have the bytes of one in another file, under another name"
        )
    display.document(summary.document())
    rows = [*_rows(summary.report), ("merged", f"{len(summary.merged)} files")]
    _show(display, [*rows, ("written", summary.out)], summary.report)


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
        *_rows(report),
        ("read with", f"{policy}, channels {facts.channel_order}"),
        ("value scale", f"1 is {facts.unit:g}"),
        ("digests", f"{report.digests:,} of {facts.count:,} pictures differ"),
    ]
    _show(display, rows, report)


def _warn(report: StatisticsReport, shard: str | None) -> None:
    if report.facts.count == 1 and shard is None:
        print_warning("one picture has no variance: merge or update it with others before apply")


def _rows(report: StatisticsReport) -> Rows:
    facts = report.facts
    width, height, channels = facts.shape
    batch = f"{pictures(facts.count)}, {width}x{height}, {channels} x {facts.dtype}"
    gamma, beta = facts.gamma, facts.beta
    rows = [("statistics", batch), ("layer", f"gamma {gamma}, beta {beta}, eps {facts.eps:g}")]
    if facts.running is not None:
        momentum = "none" if facts.running.momentum is None else f"{facts.running.momentum:g}"
        rows.append(("running", f"momentum {momentum}, batches of {facts.running.batch_size}"))
    else:
        rows.append(("variance", f"divided by the count{' less 1' if facts.ddof else ''}"))
    pixels = width * height * channels
    return [*rows, ("dead pixels", f"{report.dead_pixels:,} of {pixels:,}")]


def _show(display: Display, rows: Rows, report: StatisticsReport) -> None:
    if not display.wants_tables:
        return
    from rich.text import Text

    from bncli.cli.show_normalize import channel_table, facts_table

    columns = ("mean", "std", "minimum", "maximum")
    numbers = [tuple(getattr(channel, name) for name in columns) for channel in report.channels]
    call = Text(f"transforms.{report.normalize_call}", no_wrap=True)
    display.table(facts_table(rows), channel_table(columns, numbers), call)
