"""The command group, and the single place where errors become messages and exit codes."""

from __future__ import annotations

import _thread
import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import click

from bncli.cli.command import Wishes, did_you_mean
from bncli.cli.help_page import write_page
from bncli.cli.plain import print_document, print_error, printable
from bncli.errors import BncliError, OutputError
from bncli.version import __version__

_COMMANDS = {
    "normalize": ("bncli.cli.normalize", "Normalize pictures, each pixel over the batch."),
    "fit": ("bncli.cli.fit", "Save the statistics of pictures."),
    "merge": ("bncli.cli.merge", "Join saved statistics."),
    "inspect": ("bncli.cli.inspect", "Say what is in saved statistics."),
    "apply": ("bncli.cli.apply", "Normalize pictures with saved statistics."),
    "invert": ("bncli.cli.invert", "Restore the pictures behind normalized ones."),
    "gradcheck": ("bncli.cli.gradcheck", "Check a backward pass, bncli's own or yours."),
    "doctor": ("bncli.cli.doctor", "Say what this installation can do, and what it lacks."),
    "completion": ("bncli.cli.completion", "Print the script by which a shell completes bncli."),
}
"""Name -> where it lives and its line in the group's help, which so needs no import."""

_EXIT_BUG = 70
_OF_SIGNALS = 128
"""A shell's exit code of a signal is this and its number."""

_STREAM_ERRORS = {errno.ENOSPC, errno.EIO, errno.EBADF}
_EXIT_CODES = [
    ("0", "All that was asked is done."),
    ("1", "The answer is no: the gradient is wrong."),
    ("2", "Bad option, missing extra, target that cannot be loaded."),
    ("3", "Finished without inputs that were skipped, or inconclusive."),
    ("4", "No pictures found."),
    ("5", "The input cannot be used; nothing was written."),
    ("6", "The output cannot be written: it exists, disk full, ..."),
    ("7", "A limit was hit: memory, pixels."),
    ("70", "A bug in bncli."),
    ("130 143 141", "Interrupted, terminated, reader went away."),
]
_Handler = Callable[[int, FrameType | None], Any]
_UNFINISHED = "a run is whole where summary.json is"


class Ended(BaseException):
    """The run was ended from outside; raised so that everything under way cleans up after itself.

    Args:
        kind: what the document calls it.
        code: the exit code.
        line: what is said of it; nothing where it is empty.
    """

    def __init__(self, kind: str, code: int, line: str) -> None:
        super().__init__(line)
        self.kind = kind
        self.code = code
        self.lines = [line] if line else []


class _LazyGroup(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        # click itself would turn both into exit code 1.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Ended("Interrupted", 130, f"interrupted; {_UNFINISHED}") from None
        except BrokenPipeError:
            raise Ended("ClosedPipe", 141, "") from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        place, summary = _COMMANDS[cmd_name]
        command: click.Command = importlib.import_module(place).command
        command.short_help = summary
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, *rest = args
        if name == "help":
            # As git and cargo have it; without a command it is the page of all.
            if not rest:
                click.echo(ctx.get_help())
                ctx.exit()
            return self.resolve_command(ctx, [rest[0], "--help"])
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            likely = did_you_mean(name, _COMMANDS) or f"; there are {', '.join(_COMMANDS)}"
            raise click.UsageError(f"There is no command {name}{likely}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_page(self, ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bncli", message="%(prog)s %(version)s")
def bncli() -> None:
    """Normalize and gradient-check image batches.

    \b
    Examples:
      bncli normalize sample_images -o normalized
      bncli gradcheck my_layer.py:BatchNorm
      bncli help normalize

    Every option may also come from the environment (BNCLI_JOBS=4, or BNCLI_NORMALIZE_JOBS=4 for
    one command) or from a file that --config names; the command line goes before both.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the program.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with contextlib.suppress(ValueError):  # only the main thread may
        sys.unraisablehook = _unraisable
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):  # Windows has the first two
            number = getattr(signal, name, None)
            # What is ignored stays so: nohup, and a shell's background jobs, rely on it.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupt if name == "SIGINT" else _terminate)
    try:
        code = _guarded(argv)
    except BrokenPipeError:
        code = 141
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        _abandon_stdout()
    sys.exit(code)


def _guarded(argv: list[str]) -> int:  # noqa: PLR0911 - a return for each way to end
    wishes = Wishes(as_json="--json" in argv, debug="--debug" in argv)
    try:
        result = bncli.main(argv, prog_name="bncli", standalone_mode=False, obj=wishes)
    except BncliError as error:
        _report(wishes, type(error).__name__, error.exit_code, error.lines, error.paths)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _report(wishes, "UsageError", 2, [_usage_message(error)], ())
        return 2
    except Ended as error:
        _report(wishes, error.kind, error.code, error.lines, ())
        return error.code
    except MemoryError:
        line = "there is not enough memory; --max-memory makes a run refuse before it comes to that"
        _report(wishes, "LimitError", 7, [line], ())
        return 7
    except OSError as error:
        if error.filename is not None or error.errno not in _STREAM_ERRORS:
            return _report_bug(wishes, error)
        _report(wishes, "OutputError", 6, [f"stdout cannot be written: {error.strerror}"], ())
        return 6
    except SystemExit as end:
        # click leaves so when it has completed a word, or when the reader of a page went away.
        return 0 if end.code in {0, None} else 141
    except Exception as error:  # noqa: BLE001 - the one boundary for bugs
        return _report_bug(wishes, error)
    return result if isinstance(result, int) else 0


def _report(
    wishes: Wishes, kind: str, code: int, lines: Sequence[str], paths: Sequence[str]
) -> None:
    for line in lines:
        print_error(line)
    if not wishes.as_json or not lines:
        return
    document = {
        "schema": f"bncli.{wishes.command}/1",
        "status": "error",
        "exit_code": code,
        "error": {"kind": kind, "message": "\n".join(lines), "paths": list(paths)},
    }
    with contextlib.suppress(OutputError):  # the fault that ended the run is the one to tell
        print_document(document)


def _report_bug(wishes: Wishes, error: Exception) -> int:
    trace = traceback.format_exc()
    if wishes.debug:
        click.echo(printable(trace, keep="\n"), err=True, nl=False)
        place = "above"
    else:
        import tempfile

        descriptor, place = tempfile.mkstemp(prefix="bncli-trace-", suffix=".txt")
        with open(descriptor, "w", errors="backslashreplace") as file:  # noqa: PTH123 - descriptor
            file.write(trace)
    line = f"this is a bug in bncli: {type(error).__name__}: {error} (trace: {place}; or --debug)"
    _report(wishes, "Bug", _EXIT_BUG, [line], ())
    return _EXIT_BUG


def _usage_message(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    help_line = f" (try {context.command_path} --help)" if context is not None else ""
    return " ".join(message.split()) + help_line


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    # As with SIGINT: the second one does not wait for the cleaning.
    signal.signal(number, lambda *_: os._exit(_OF_SIGNALS + number))
    raise Ended("Terminated", _OF_SIGNALS + number, f"terminated; {_UNFINISHED}")


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    # Who asks twice does not want to wait for the cleaning; the next run sweeps what is left.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    raise KeyboardInterrupt


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Raise again, a moment later, what a signal raised where Python drops it.

    It does so in ``__del__`` and in the callbacks of weak references, which the end of every import
    runs; without this the signal would have been for nothing.
    """
    if isinstance(lost.exc_value, KeyboardInterrupt):
        number: int = signal.SIGINT
        handler: _Handler = _interrupt
    elif isinstance(lost.exc_value, Ended) and lost.exc_value.kind == "Terminated":
        number, handler = lost.exc_value.code - _OF_SIGNALS, _terminate
    else:
        sys.__unraisablehook__(lost)
        return
    signal.signal(number, handler)
    threading.Timer(0.01, _thread.interrupt_main, (number,)).start()


def _abandon_stdout() -> None:
    """Python would flush stdout once more at its end, and complain."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
