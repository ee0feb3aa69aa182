"""``bncli inspect``."""

from __future__ import annotations

from bncli.cli.declared import as_declared
from bncli.cli.display import Display


@as_declared("inspect")
def command(display: Display, file: str) -> int:
    """Say what is in the statistics that fit, merge or normalize have saved, found sound.

    \b
    Examples:
      bncli inspect stats.npz
      bncli inspect stats.npz --json
    """
    from bncli.cli.tables import show_inspect
    from bncli.runs.statistics import inspect_statistics

    show_inspect(display, file, inspect_statistics(file))
    return 0
