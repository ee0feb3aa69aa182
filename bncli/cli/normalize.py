"""``bncli normalize``."""

from __future__ import annotations

from bncli.cli import options
from bncli.cli.declared import run_command
from bncli.runs.options import NormalizeOptions


@run_command(
    "normalize",
    NormalizeOptions,
    "bncli.runs.normalize:normalize_folder",
    out=options.out_folder,
    show="bncli.cli.show_normalize:show_normalize",
)
def command() -> None:
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
