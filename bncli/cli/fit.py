"""``bncli fit``."""

from __future__ import annotations

from typing import Unpack

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.runs.options import FitOptions


@as_declared("fit")
def command(display: Display, sources: list[str], out: str, **chosen: Unpack[FitOptions]) -> int:
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
    from bncli.cli.tables import show_fit
    from bncli.runs.fit import fit_folder

    with display.told() as told:
        summary = fit_folder(sources, out, **told, **chosen)
    show_fit(display, summary)
    return summary.exit_code
