"""``bncli apply``."""

from __future__ import annotations

from bncli.cli import options
from bncli.cli.declared import run_command
from bncli.runs.options import ApplyOptions


@run_command(
    "apply",
    ApplyOptions,
    "bncli.runs.apply:apply_folder",
    out=options.out_folder,
    show="bncli.cli.show_normalize:show_normalize",
    statistics=True,
)
def command() -> None:
    """Normalize the pictures of SRC with saved statistics; one picture is enough.

    Gamma, beta, eps, and how pictures are read, come from FILE.npz, and so does the range of the
    scale: what becomes of a picture does not depend on the others.

    \b
    Examples:
      bncli apply stats.npz sample_images -o out
      bncli apply stats.npz new.jpg -o out --format tiff
    """
