"""``bncli apply``."""

from __future__ import annotations

from typing import Unpack

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.runs.options import ApplyOptions


@as_declared("apply")
def command(
    display: Display, statistics: str, sources: list[str], out: str, **chosen: Unpack[ApplyOptions]
) -> int:
    """Normalize the pictures of SRC with saved statistics; one picture is enough.

    Gamma, beta, eps, and how pictures are read, come from FILE.npz, and so does the range of the
    scale: what becomes of a picture does not depend on the others.

    \b
    Examples:
      bncli apply stats.npz sample_images -o out
      bncli apply stats.npz new.jpg -o out --format tiff
    """
    from bncli.cli.tables import show_normalize
    from bncli.runs.apply import apply_folder

    with display.told() as told:
        summary = apply_folder(statistics, sources, out, **told, **chosen)
    show_normalize(display, summary, out)
    return summary.exit_code
