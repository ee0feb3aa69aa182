"""What every command does beside its own work: read its options from wherever they may come.

An option is looked for on the command line, in the environment, in the file of ``--config``, and
last in its default. Whoever gave a value that cannot be used is named in the message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import click
from click.core import ParameterSource

from bncli.cli.config import key_of, read_config
from bncli.cli.help_page import write_page
from bncli.cli.plain import print_note, print_warning
from bncli.errors import BncliError

_PREFIX = "BNCLI_"
_CONFIG = "bncli.config"
_YES = {"1", "true", "t", "yes", "y", "on"}


@dataclass(slots=True)
class Wishes:
    """What the user wants of errors, known also where the command line cannot be parsed.

    Attributes:
        command: the command, or ``bncli`` where there is none.
        as_json: a document on stdout also of a failure.
        debug: the trace of a bug on stderr.
    """

    command: str = "bncli"
    as_json: bool = False
    debug: bool = False


class Command(click.Command):
    """A command with examples first in its help, and with options from anywhere."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples right after the summary."""
        write_page(self, ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and say of a value that cannot be used where it came from."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        wishes = ctx.find_root().ensure_object(Wishes)
        wishes.command = ctx.info_name or wishes.command
        wishes.as_json, wishes.debug = (
            wish in args or _wished_by_environment(self, wish) for wish in ("--json", "--debug")
        )
        try:
            rest = super().parse_args(ctx, list(args))
            _settle_quiet_and_verbose(ctx)
        except click.NoSuchOption as error:
            options = [name for option in self.get_params(ctx) for name in option.opts]
            raise click.UsageError(
                f"There is no option {error.option_name}{did_you_mean(error.option_name, options)}",
                ctx,
            ) from None
        except click.BadParameter as error:
            if error.param is not None:
                # click before 8.5 notes the source only of what it could use.
                opts, _, _ = self.make_parser(ctx).parse_args(list(args))
                ctx.set_parameter_source(error.param.name, error.param.consume_value(ctx, opts)[1])
            raise click.UsageError(_blame(ctx, error), ctx) from None
        wishes.as_json = ctx.params.get("json", False)
        wishes.debug = ctx.params.get("debug", False)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, and say of an option that it names in an error where that came from."""
        _warn_of_unknown_variables(ctx)
        origins = _origins(ctx)
        if origins and ctx.params.get("verbose"):
            print_note("options from elsewhere: " + ", ".join(origins.values()))
        try:
            return super().invoke(ctx)
        except BncliError as error:
            error.lines = tuple(_with_origins(line, origins) for line in error.lines)
            raise


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message on a word that is not known."""
    spelled = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), spelled, 2, 0.7)
    return f"; did you mean {' or '.join(spelled[name] for name in found)}?" if found else ""


def variables_of(command: str, option: str) -> list[str]:
    """The environment variables of an option by its long name, the more direct one first."""
    word = option.strip("-").upper().replace("-", "_")
    return [f"{_PREFIX}{command.upper()}_{word}", _PREFIX + word]


def variables(command: click.Command) -> set[str]:
    """The environment variables that a command reads."""
    return {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in (option.envvar or ())
    }


def take_config(ctx: click.Context, option: click.Parameter, path: str | None) -> None:
    """Read the file that ``--config`` names, as the defaults of what is parsed after it.

    Raises:
        OptionError: it cannot be used.
    """
    del option
    if path is None or ctx.resilient_parsing:
        return
    group = ctx.find_root().command
    assert isinstance(group, click.Group)  # noqa: S101 - every command is in it
    root = ctx.find_root()
    commands = {name: group.get_command(root, name) for name in group.list_commands(root)}
    found = read_config(path, {k: v for k, v in commands.items() if v}, str(ctx.info_name))
    ctx.default_map = {parameter.name: value for parameter, value in found.items()}
    ctx.meta[_CONFIG] = path
    wishes = ctx.find_root().ensure_object(Wishes)
    wishes.as_json |= bool(ctx.default_map.get("json"))


def _wished_by_environment(command: click.Command, flag: str) -> bool:
    names = variables_of(str(command.name), flag)
    value = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return value.lower() in _YES


def _settle_quiet_and_verbose(ctx: click.Context) -> None:
    """Of two wishes the one that was said more directly counts; said together they are refused."""
    if not (ctx.params.get("quiet") and ctx.params.get("verbose")):
        return
    sources = {name: ctx.get_parameter_source(name) for name in ("quiet", "verbose")}
    if sources["quiet"] == sources["verbose"]:
        raise click.UsageError("--quiet and --verbose contradict each other: give one of them", ctx)
    ctx.params[max(sources, key=lambda name: sources[name] or 0)] = False


def _blame(ctx: click.Context, error: click.BadParameter) -> str:
    """What is wrong with which value, from where, and what was perhaps meant."""
    option = error.param
    origin = None if option is None else _origin(ctx, option)
    message = f"{origin}: {error.message}" if origin else error.format_message()
    if option is None or not isinstance(option.type, click.Choice):
        return message
    wrong = re.match(r"'(.*)' ", error.message)
    near = did_you_mean(wrong[1], map(str, option.type.choices)) if wrong else ""
    return message.rstrip(".") + near


def _origin(ctx: click.Context, option: click.Parameter) -> str | None:
    """The environment variable or the line of the file that gave an option; None: neither."""
    source = ctx.get_parameter_source(option.name)
    if source is ParameterSource.ENVIRONMENT:
        names = [name for name in option.envvar or () if os.environ.get(name)]
        return f"{names[0]}={os.environ[names[0]]}"
    if source is ParameterSource.DEFAULT_MAP and ctx.default_map is not None:
        value = ctx.default_map[option.name]
        return f"{ctx.meta[_CONFIG]}: {key_of(option)} = {value}"
    return None


def _origins(ctx: click.Context) -> dict[str, str]:
    """Option -> where it came from, of those that the command line does not show."""
    found = {
        max(option.opts, key=len): _origin(ctx, option)
        for option in ctx.command.params
        if option.expose_value
    }
    return {name: origin for name, origin in found.items() if origin is not None}


def _with_origins(line: str, origins: dict[str, str]) -> str:
    named = [
        origin
        for option, origin in origins.items()
        if re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", line)
    ]
    return f"{line} ({'; '.join(named)})" if named else line


def _warn_of_unknown_variables(ctx: click.Context) -> None:
    """A misspelled variable would else be left out in silence."""
    unknown = {name for name in os.environ if name.startswith(_PREFIX)} - variables(ctx.command)
    group, root = ctx.find_root().command, ctx.find_root()
    if not unknown or not isinstance(group, click.Group):
        return
    commands = [group.get_command(root, name) for name in group.list_commands(root)]
    known = {name for command in commands if command is not None for name in variables(command)}
    for name in sorted(unknown - known):
        print_warning(f"{name}: no option has this variable{did_you_mean(name, known)}")
