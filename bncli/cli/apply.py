"""``bncli apply``."""

from __future__ import annotations

from typing import Any

import click

from bncli.cli import drawing, options
from bncli.cli.help_page import section
from bncli.cli.plain import print_warning


@click.command("apply")
@click.argument("statistics", metavar="FILE.npz", type=click.Path(readable=False))
@options.sources
@options.opening
@section(
    "Output",
    options.out_folder,
    options.writing,
)
@options.skipping
@options.running
@options.engine
@drawing.showing
@options.streams
def command(
    statistics: str,
    sources: tuple[str, ...],
    files_from: str | None,
    out: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    color: str,
    progress: str,
    debug: bool,
    **chosen: Any,
) -> int:
    """Normalize the pictures of SRC with saved statistics; one picture is enough.

    Gamma, beta, eps, and how pictures are read, come from FILE.npz, and so does the range of the
    scale: what becomes of a picture does not depend on the others.

    \b
    Examples:
      bncli apply stats.npz sample_images -o out
      bncli apply stats.npz new.jpg -o out --format tiff
    """
    from bncli.cli.show import Display

    del debug  # read by the entry point
    listed = options.all_sources(sources, files_from)
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    from bncli.pipeline.apply import apply_folder

    with display.following() as follow:
        chosen["command"] = drawing.command_line()
        summary = apply_folder(
            statistics,
            listed,
            out,
            progress=follow,
            tell=display.tell,
            warn=print_warning,
            **chosen,
        )
    display.normalize_summary(summary, out)
    return summary.exit_code
