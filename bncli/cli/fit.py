"""``bncli fit``."""

from __future__ import annotations

from typing import Any

import click

from bncli.cli import options
from bncli.cli.help_page import section
from bncli.cli.plain import print_warning
from bncli.cli.values import OneOf, Whole


@click.command("fit")
@options.sources
@options.reading
@section(
    "Layer",
    options.layer,
    click.option(
        "--ddof",
        type=Whole(0, 1),
        default=0,
        help="1: apply and invert divide the variance by the count less 1, as the paper infers.",
    ),
    click.option(
        "--batch-size",
        metavar="N",
        type=Whole(min=2),
        help="Keep running statistics over batches of N, as the training mode of BatchNorm does.",
    ),
    click.option(
        "--momentum",
        type=OneOf("M|none"),
        show_default="0.1",
        help="Of running statistics; none averages.",
    ),
)
@section(
    "Output",
    click.option(
        "-o",
        "--out",
        metavar="FILE.npz",
        required=True,
        type=click.Path(readable=False),
        help="The file to write.",
    ),
    click.option(
        "--shard", metavar="I/N", help="Every N-th picture from the I-th on, to be merged."
    ),
    click.option(
        "--update-from",
        metavar="FILE.npz",
        type=click.Path(dir_okay=False, readable=False),
        help="Add the pictures to those of this file.",
    ),
)
@options.skipping
@options.running
@options.engine
@options.streams
def command(
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
    """Save the statistics of the pictures of SRC, to be merged, applied and inverted.

    They are what normalize would use for these pictures, in the bytes of the stats.npz that it
    leaves. Printed are mean and standard deviation of each channel over all pixels, ready for
    torchvision's Normalize.

    \b
    Examples:
      bncli fit sample_images -o stats.npz
      bncli fit sample_images -o shard-2.npz --shard 2/4
      bncli fit sample_images -o running.npz --batch-size 8 --momentum 0.1
    """
    from bncli.cli.show import Display
    from bncli.cli.show_statistics import show_fit

    del debug  # read by the entry point
    listed = options.all_sources(sources, files_from)
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    from bncli.pipeline.fit import fit_folder

    with display.following() as follow:
        summary = fit_folder(
            listed, out, progress=follow, tell=display.tell, warn=print_warning, **chosen
        )
    show_fit(display, summary)
    return summary.exit_code
