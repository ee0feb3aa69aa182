"""``bncli invert``."""

from __future__ import annotations

from typing import Unpack

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.runs.options import InvertOptions


@as_declared("invert")
def command(
    display: Display, statistics: str, sources: list[str], out: str, **chosen: Unpack[InvertOptions]
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
    from bncli.cli.tables import show_invert
    from bncli.runs.invert import invert_folder

    with display.told() as told:
        summary = invert_folder(statistics, sources, out, **told, **chosen)
    show_invert(display, summary, out)
    return summary.exit_code
