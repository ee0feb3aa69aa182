"""``bncli invert``."""

from __future__ import annotations

from bncli.cli import options
from bncli.cli.declared import run_command
from bncli.runs.options import InvertOptions


@run_command(
    "invert",
    InvertOptions,
    "bncli.runs.invert:invert_folder",
    out=options.out_folder,
    show="bncli.cli.show_invert:show_invert",
    statistics=True,
)
def command() -> None:
    """Restore the pixel values that the normalized pictures of SRC had.

    SRC is what normalize or apply wrote with the statistics of FILE.npz. From TIFF and .npy 8 and
    16-bit pictures come back exactly; from PNG, and where gamma is all but 0, it is said by how
    much they can be off.

    \b
    Examples:
      bncli invert out/stats.npz out -o restored
      bncli invert stats.npz out/normalized.npy -o restored
    """
