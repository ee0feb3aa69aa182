"""``bncli merge``."""

from __future__ import annotations

from bncli.cli.declared import as_declared
from bncli.cli.display import Display


@as_declared("merge")
def command(display: Display, files: tuple[str, ...], out: str, overwrite: bool) -> int:
    """Join the statistics of several sets of pictures into those of all.

    The result has the bytes of one fit over all pictures, in whatever order the files are given
    (floating-point pictures: equal but for rounding). A picture that two files count, and files of
    another shape, mode, alpha, resize, eps, gamma or beta, are refused.

    \b
    Examples:
      bncli merge shard-1.npz shard-2.npz -o stats.npz
      bncli merge shards/*.npz -o stats.npz
    """
    from bncli.cli.tables import show_merge
    from bncli.runs.merge import merge_statistics

    show_merge(display, merge_statistics(files, out, overwrite=overwrite))
    return 0
