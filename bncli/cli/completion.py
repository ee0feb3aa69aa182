"""``bncli completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bncli.cli.plain import print_result

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the script by which SHELL completes commands, options, their values and files.

    \b
    Examples:
      bncli completion bash > ~/.local/share/bash-completion/completions/bncli
      bncli completion zsh > "${fpath[1]}/_bncli"
      bncli completion fish > ~/.config/fish/completions/bncli.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    print_result(kind(ctx.find_root().command, {}, "bncli", "_BNCLI_COMPLETE").source() + "\n")
    return 0
