"""``bncli fit``."""

from __future__ import annotations

from bncli.cli import options
from bncli.cli.declared import run_command
from bncli.runs.options import FitOptions


@run_command(
    "fit",
    FitOptions,
    "bncli.runs.fit:fit_folder",
    out=options.out_statistics,
    show="bncli.cli.show_statistics:show_fit",
)
def command() -> None:
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
