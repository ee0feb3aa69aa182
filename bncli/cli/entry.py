"""The command group, and the single place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from bncli.cli.plain import print_document, print_error, printable
from bncli.errors import BncliError
from bncli.version import __version__

_COMMANDS = {
    "normalize": ("bncli.cli.normalize", "Normalize pictures, each pixel over the batch."),
    "gradcheck": ("bncli.cli.gradcheck", "Check a backward pass, bncli's own or yours."),
}
"""Name -> where it lives and its line in the group's help, which so needs no import."""

_EXIT_BUG, _EXIT_INTERRUPTED, _EXIT_TERMINATED, _EXIT_CLOSED_PIPE = 70, 130, 143, 141


class Terminated(BaseException):
    """SIGTERM arrived; raised so that everything under way cleans up after itself."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bncli", message="%(prog)s %(version)s")
def bncli() -> None:
    r"""Normalize and gradient-check image batches.

    \b
    Examples:
      bncli normalize sample_images -o normalized
      bncli normalize sample_images -o out --delta random --gamma random --update
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the program.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with contextlib.suppress(ValueError, AttributeError):  # not the main thread, or Windows
        signal.signal(signal.SIGTERM, _terminate)
    code = _guarded(argv)
    with contextlib.suppress(BrokenPipeError, OSError, ValueError):
        sys.stdout.flush()
    _leave(code)


def _guarded(argv: list[str]) -> int:  # noqa: PLR0911 - a return for each way to end
    try:
        result = bncli.main(argv, prog_name="bncli", standalone_mode=False)
        sys.stdout.flush()
    except BncliError as error:
        _report(argv, type(error).__name__, error.exit_code, error.lines, error.paths)
        return error.exit_code
    except click.ClickException as error:
        _report(argv, "UsageError", 2, [_usage_message(error)], ())
        return 2
    except click.exceptions.Abort:
        _report(argv, "Interrupted", _EXIT_INTERRUPTED, ["interrupted; nothing was written"], ())
        return _EXIT_INTERRUPTED
    except Terminated:
        _report(argv, "Terminated", _EXIT_TERMINATED, ["terminated; nothing was written"], ())
        return _EXIT_TERMINATED
    except BrokenPipeError:
        return _EXIT_CLOSED_PIPE
    except Exception as error:  # noqa: BLE001 - the one boundary for bugs
        return _report_bug(argv, error)
    return result if isinstance(result, int) else 0


def _report(
    argv: list[str], kind: str, code: int, lines: Sequence[str], paths: Sequence[str]
) -> None:
    for line in lines:
        print_error(line)
    if "--json" in argv:
        print_document(
            {
                "schema": f"bncli.{_command_of(argv)}/1",
                "status": "error",
                "exit_code": code,
                "error": {"kind": kind, "message": "\n".join(lines), "paths": list(paths)},
            }
        )


def _report_bug(argv: list[str], error: Exception) -> int:
    trace = traceback.format_exc()
    if isinstance(error, OSError) and error.filename is None and not sys.stdout.writable():
        return _EXIT_CLOSED_PIPE
    if "--debug" in argv:
        click.echo(printable(trace, keep="\n"), err=True, nl=False)
        place = "above"
    else:
        descriptor, place = tempfile.mkstemp(prefix="bncli-trace-", suffix=".txt")
        with open(descriptor, "w", errors="backslashreplace") as file:  # noqa: PTH123 - descriptor
            file.write(trace)
    line = f"this is a bug in bncli: {type(error).__name__}: {error} (trace: {place}; or --debug)"
    _report(argv, "Bug", _EXIT_BUG, [line], ())
    return _EXIT_BUG


def _usage_message(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    help_line = f" (try {context.command_path} --help)" if context is not None else ""
    return " ".join(message.split()) + help_line


def _command_of(argv: list[str]) -> str:
    return next((word for word in argv if word in _COMMANDS), "bncli")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise Terminated


def _leave(code: int) -> NoReturn:
    if code == _EXIT_CLOSED_PIPE:
        # Python would flush stdout once more at its end, and complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
