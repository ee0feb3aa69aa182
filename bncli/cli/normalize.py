"""``bncli normalize``."""

from __future__ import annotations

from typing import Any

import click

from bncli.cli import drawing, options
from bncli.cli.help_page import section
from bncli.cli.plain import print_warning
from bncli.cli.values import Number, OneOf


@click.command("normalize")
@options.sources
@options.reading
@section(
    "Layer",
    options.layer,
    click.option(
        "--delta",
        type=OneOf("FILE.npy|ones|random"),
        help="Run the backward with this gradient of the loss, of shape (batch, w, h, c).",
    ),
    click.option("--update", is_flag=True, help="Take a step of SGD on gamma and beta."),
    click.option("--lr", type=Number(), show_default="0.01", help="Learning rate of the step."),
    click.option(
        "--momentum",
        type=Number(),
        show_default="0",
        help="How much of the last step is kept.",
    ),
    click.option("--decay", type=Number(), show_default="0", help="Weight decay."),
    click.option(
        "--lr-decay",
        type=Number(),
        show_default="1",
        help="Factor on the rate after each step.",
    ),
    click.option(
        "--state",
        metavar="FILE.npz",
        type=click.Path(dir_okay=False, readable=False),
        help="The state.npz of the last run: momentum and rate go on from there.",
    ),
)
@section(
    "Output",
    options.out_folder,
    options.writing,
)
@options.skipping
@options.running
@options.resuming
@drawing.showing
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
    """Normalize the pictures of SRC, each pixel over the batch, and write them to OUT.

    SRC is folders, files, quoted globs, or one .npy batch (batch, w, h, c). All pictures must have
    one size. OUT gets the pictures under their names, stats.npz, and summary.json last; with
    --delta also grad_input.npy, grad_gamma.npy and grad_beta.npy.

    \b
    Examples:
      bncli normalize sample_images -o normalized
      bncli normalize 'run7/*.tif' -o out --scale sigma:3 --depth 16
      bncli normalize sample_images -o out --delta random --gamma random --update --lr 0.1
    """
    from bncli.cli.show import Display

    del debug  # read by the entry point
    listed = options.all_sources(sources, files_from)
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    from bncli.pipeline.normalize import normalize_folder

    with display.following() as follow:
        chosen["command"] = drawing.command_line()
        summary = normalize_folder(
            listed, out, progress=follow, tell=display.tell, warn=print_warning, **chosen
        )
    display.normalize_summary(summary, out)
    return summary.exit_code
