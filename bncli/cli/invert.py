"""``bncli invert``."""

from __future__ import annotations

from typing import Any

import click

from bncli.cli import options
from bncli.cli.help_page import section
from bncli.cli.plain import print_warning
from bncli.cli.values import OneOf, Whole
from bncli.images.policy import MAX_PIXELS
from bncli.pipeline.choices import RESTORED_FORMATS


@click.command("invert")
@click.argument("statistics", metavar="FILE.npz", type=click.Path(readable=False))
@options.sources
@section(
    "Input",
    click.option(
        "--max-pixels",
        type=Whole(min=1),
        default=MAX_PIXELS,
        help="Refuse larger pictures unread.",
    ),
)
@section(
    "Output",
    options.out_folder,
    click.option(
        "--scale",
        type=OneOf("LO:HI|none"),
        help="The y that are black and white, where no summary.json beside the PNG files says so.",
    ),
    click.option(
        "--format",
        type=click.Choice(RESTORED_FORMATS),
        default="auto",
        help="Of the results; auto is png, tiff for floating-point pictures, npy for a .npy batch.",
    ),
    click.option("--exact", is_flag=True, help="Refuse what cannot be restored exactly."),
)
@options.running
@options.engine
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
    """Restore the pixel values that the normalized pictures of SRC had.

    SRC is what normalize or apply wrote with the statistics of FILE.npz. From TIFF and .npy 8 and
    16-bit pictures come back exactly; from PNG, and where gamma is all but 0, it is said by how
    much they can be off.

    \b
    Examples:
      bncli invert out/stats.npz out -o restored
      bncli invert stats.npz out/normalized.npy -o restored
    """
    from bncli.cli.show import Display
    from bncli.cli.show_invert import show_invert

    del debug  # read by the entry point
    listed = options.all_sources(sources, files_from)
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    from bncli.pipeline.invert import invert_folder

    with display.following() as follow:
        summary = invert_folder(
            statistics,
            listed,
            out,
            progress=follow,
            tell=display.tell,
            warn=print_warning,
            **chosen,
        )
    show_invert(display, summary, out)
    return 0
