"""``bncli merge``."""

from __future__ import annotations

import click

from bncli.cli import options
from bncli.cli.help_page import section


@click.command("merge")
@click.argument(
    "files", metavar="FILE.npz...", nargs=-1, required=True, type=click.Path(readable=False)
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
    click.option("--overwrite", is_flag=True, help="Replace an earlier file."),
)
@options.streams
def command(
    files: tuple[str, ...],
    out: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    color: str,
    progress: str,
    debug: bool,
) -> int:
    """Join the statistics of several sets of pictures into those of all.

    The result has the bytes of one fit over all pictures, in whatever order the files are given
    (floating-point pictures: equal but for rounding). A picture that two files count, and files of
    another shape, mode, alpha, resize, eps, gamma or beta, are refused.

    \b
    Examples:
      bncli merge shard-1.npz shard-2.npz -o stats.npz
      bncli merge shards/*.npz -o stats.npz
    """
    from bncli.cli.show import Display
    from bncli.cli.show_statistics import show_merge
    from bncli.runs.merge import merge_statistics

    del debug  # read by the entry point
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    show_merge(display, merge_statistics(files, out, overwrite=overwrite))
    return 0
