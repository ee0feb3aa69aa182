"""Options from a file of TOML: read when it is named, and only if every word in it is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from bncli.errors import OptionError

_LARGEST = 1 << 20
_NOT_HERE = {"config", "help"}

Commands = Mapping[str, click.Command]


def key_of(parameter: click.Parameter) -> str:
    """What a parameter is called in a file: its long name, or its metavar in small letters."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-")
    return re.sub(r"\W", "", parameter.human_readable_name).lower()


def read_config(path: str, commands: Commands, name: str) -> dict[click.Parameter, Any]:
    """The values that a file has for the command *name*: its table goes before what all share.

    Args:
        path: of the file; what is named in it is relative to the current folder, as on the
            command line.
        commands: all there are, since the whole file is checked.
        name: the command that is run.

    Raises:
        OptionError: it cannot be read, is no TOML, or holds an unknown key or a wrong type; all
            faults are named at once.
    """
    document = _load(path)
    faults: list[str] = []
    shared: dict[click.Parameter, Any] = {}
    own: dict[click.Parameter, Any] = {}
    for key, value in document.items():
        if key in commands and isinstance(value, dict):
            found = _table(key, value, commands[key], faults)
            if key == name:
                own = found
        else:
            shared |= _shared(key, value, commands, name, faults)
    if faults:
        raise OptionError(*(f"{path}: {fault}" for fault in faults), paths=(path,))
    return shared | own


def _load(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise OptionError(f"--config {path}: it is larger than 1 MiB; name a file of options")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise OptionError(
            f"--config {path}: {error.strerror}; name a file of TOML", paths=(path,)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OptionError(f"{path}: it is no TOML: {error}; mend it", paths=(path,)) from error


def _table(
    name: str, table: Mapping[str, Any], command: click.Command, faults: list[str]
) -> dict[click.Parameter, Any]:
    keys = _keys(command)
    found: dict[click.Parameter, Any] = {}
    for key, value in table.items():
        if key in keys:
            found |= _checked(f"[{name}] {key}", keys[key], value, faults)
        else:
            faults.append(f"[{name}] {key}: {_unknown(name, key, command)}")
    return found


def _shared(
    key: str, value: Any, commands: Commands, name: str, faults: list[str]
) -> dict[click.Parameter, Any]:
    having = {command: _keys(commands[command]) for command in commands}
    having = {command: keys for command, keys in having.items() if key in keys}
    if not having:
        known = {key for command in commands.values() for key in _keys(command)} | set(commands)
        kind = "command of this name" if isinstance(value, dict) else "option of this name"
        faults.append(f"{key}: there is no {kind}{_near(key, known)}")
        return {}
    for command, keys in having.items():
        before = len(faults)
        found = _checked(key, keys[key], value, faults)
        if len(faults) > before:
            break
        if command == name:
            return found
    return {}


def _keys(command: click.Command) -> dict[str, click.Parameter]:
    """What a file may say of a command: all but its arguments that are code."""
    return {
        key_of(parameter): parameter
        for parameter in command.params
        if key_of(parameter) not in _NOT_HERE
        and (isinstance(parameter, click.Option) or isinstance(parameter.type, click.Path))
    }


def _unknown(name: str, key: str, command: click.Command) -> str:
    if key in {key_of(parameter) for parameter in command.params} - _NOT_HERE:
        return "it is code, which no file may name; give it on the command line"
    return f"{name} has no such option{_near(key, _keys(command))}"


def _near(key: str, known: Any) -> str:
    close = get_close_matches(key.replace("_", "-").lower(), list(known), 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _checked(
    place: str, parameter: click.Parameter, value: Any, faults: list[str]
) -> dict[click.Parameter, Any]:
    many = parameter.multiple or parameter.nargs == -1
    values = value if many and isinstance(value, list) else [value]
    wanted = _wanted(parameter)
    if not all(type(each) in wanted for each in values):
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        words = " or ".join(names[kind] for kind in wanted if not (kind is int and float in wanted))
        faults.append(f"{place}: it must be {words}{' or a list of such' if many else ''}")
        return {}
    if str in wanted:
        values = [str(each) for each in values]
    return {parameter: values if many else values[0]}


def _wanted(parameter: click.Parameter) -> tuple[type, ...]:
    """The types that a parameter takes; one of words takes numbers too, as ``gamma = 2``."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return (bool,)
    if isinstance(parameter.type, type(click.INT)):
        return (int,)
    if isinstance(parameter.type, type(click.FLOAT)):
        return (float, int)
    return (str,) if isinstance(parameter.type, click.Path) else (str, float, int)
