"""``bncli completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bncli.cli.declared import as_declared
from bncli.cli.plain import print_result


@as_declared("completion")
def command(shell: str) -> int:
    """Print the script by which SHELL completes commands, options, their values and files.

    \b
    Examples:
      bncli completion bash > ~/.local/share/bash-completion/completions/bncli
      bncli completion zsh > "${fpath[1]}/_bncli"
      bncli completion fish > ~/.config/fish/completions/bncli.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    group = click.get_current_context().find_root().command
    print_result(kind(group, {}, "bncli", "_BNCLI_COMPLETE").source() + "\n")
    return 0
