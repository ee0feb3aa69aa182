"""What is shown of a run of invert."""

from __future__ import annotations

from bncli.cli.plain import pictures, print_warning
from bncli.cli.show import Display, warn_of_skipped
from bncli.runs.summary import InvertSummary


def show_invert(display: Display, summary: InvertSummary, out: str) -> None:
    """The results of a run of invert."""
    warn_of_skipped(summary.faults)
    for doubt in summary.doubts():
        print_warning(doubt)
    display.document(summary.document())
    if not display.wants_tables:
        return
    from bncli.cli.show_normalize import facts_table

    width, height, channels = summary.shape
    rows = [
        ("batch", f"{pictures(summary.count)}, {width}x{height}, {channels} x {summary.dtype}"),
        ("statistics", summary.statistics),
        ("scale", summary.scale),
        ("restored", "exactly" if summary.exact else "; ".join(summary.doubts())),
    ]
    if summary.plan is not None:
        plan = summary.plan
        words = f"{plan.jobs} threads, {plan.memory_bytes / 1e6:,.0f} MB of memory"
        rows += [("plan", words), ("dry run", "nothing was written")]
    else:
        files = [pictures(summary.count)] if not summary.arrays else []
        rows.append(("written", f"{out}: " + ", ".join([*files, *summary.arrays, "summary.json"])))
    if summary.seconds > 0:
        rate = summary.count / summary.seconds
        rows.append(("time", f"{summary.seconds:.2f} s, {rate:,.1f} pictures per second"))
    display.table(facts_table(rows))
