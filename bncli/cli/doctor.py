"""``bncli doctor``."""

from __future__ import annotations

import click

from bncli.cli import options


@click.command("doctor")
@options.streams
def command(
    as_json: bool, quiet: bool, verbose: bool, color: str, progress: str, debug: bool
) -> int:
    """Say what this installation can do: versions, formats, extras, cores, memory, terminal.

    It touches no network and no picture of yours. Exit code 0: all that bncli needs is there; 2:
    something is missing, broken or too old, and the message says how to mend it.

    \b
    Examples:
      bncli doctor
      bncli doctor --json
    """
    from bncli.cli.show import Display
    from bncli.cli.show_doctor import show_installation
    from bncli.runs.installation import examine_installation

    del debug  # read by the entry point
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    installation = examine_installation()
    show_installation(display, installation)
    return installation.exit_code
