"""``bncli normalize``."""

from __future__ import annotations

from typing import Unpack

from bncli.cli.declared import as_declared
from bncli.cli.display import Display
from bncli.runs.options import NormalizeOptions


@as_declared("normalize")
def command(
    display: Display, sources: list[str], out: str, **chosen: Unpack[NormalizeOptions]
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
    from bncli.cli.tables import show_normalize
    from bncli.runs.normalize import normalize_folder

    with display.told() as told:
        summary = normalize_folder(sources, out, **told, **chosen)
    show_normalize(display, summary, out)
    return summary.exit_code
