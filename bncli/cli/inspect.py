"""``bncli inspect``."""

from __future__ import annotations

import click

from bncli.cli import options


@click.command("inspect")
@click.argument("file", metavar="FILE.npz", type=click.Path(readable=False))
@options.streams
def command(
    file: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    color: str,
    progress: str,
    debug: bool,
) -> int:
    """Say what is in the statistics that fit, merge or normalize have saved, found sound.

    \b
    Examples:
      bncli inspect stats.npz
      bncli inspect stats.npz --json
    """
    from bncli.cli.show import Display
    from bncli.cli.show_statistics import show_inspect
    from bncli.runs.statistics import inspect_statistics

    del debug  # read by the entry point
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    show_inspect(display, file, inspect_statistics(file))
    return 0
