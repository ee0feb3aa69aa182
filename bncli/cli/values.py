"""What the values of options are: parsed, refused in words, completed by the shell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bncli.text import parse_number

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_WHOLE = 100.0


class OneOf(click.ParamType[str]):
    """Text that may be one of some words, which the shell completes; it is checked elsewhere.

    Args:
        name: all that it may be, as the help shows it; small letters are words, ``FILE`` a file.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words that begin so, else files."""
        from click.shell_completion import CompletionItem

        del ctx, param
        words = [re.sub("[A-Z]+$", "", word) for word in self.name.split("|")]
        fitting = [word for word in words if word.islower() and word.startswith(incomplete)]
        found = [CompletionItem(word) for word in fitting if "." not in word]
        if not found and "FILE" in self.name:
            found = [CompletionItem(incomplete, type="file")]
        return found


class Number(click.types.FloatParamType):
    """A number; not Python's ``1_0``, in which a slip of the hand counts for nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A float."""
        if isinstance(value, str) and parse_number(value) is None:
            self.fail(f"{value!r} is not a valid float.", param, ctx)
        return super().convert(value, param, ctx)


class Whole(click.IntRange):
    """A whole number; not ``1_0`` either."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """An int."""
        if isinstance(value, str) and parse_number(value) is None:
            self.fail(f"{value!r} is not a valid integer.", param, ctx)
        return super().convert(value, param, ctx)


class Size(click.ParamType[tuple[int, int]]):
    """``WxH``: a width and a height in pixels."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Two whole numbers above 0."""
        match = re.fullmatch(r"([1-9][0-9]*)[xX]([1-9][0-9]*)", str(value))
        if match is None:
            self.fail(f"{value} is no size; give it as 640x480", param, ctx)
        return int(match[1]), int(match[2])


class Jobs(click.ParamType["int | None"]):
    """``auto`` or a number of threads."""

    name = "auto|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """None for auto."""
        if value == "auto":
            return None
        if not str(value).isascii() or not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value} is neither auto nor a whole number above 0", param, ctx)
        return int(value)


class Memory(click.ParamType["int | float | None"]):
    """``auto``, bytes with a unit, or a share of what is available."""

    name = "auto|SIZE|N%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """None for auto, else bytes, or a share between 0 and 1 as a float."""
        if value == "auto":
            return None
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(%|[kmgt]?(?:i?b)?)", str(value).lower())
        if match is None or float(match[1]) < (match[2] == "") or float(match[1]) <= 0:
            self.fail(f"{value} is no size; give it as 512M, 2GiB or 50%", param, ctx)
        number, unit = float(match[1]), match[2]
        if unit == "%":
            if number > _WHOLE:
                self.fail(f"{value} is more than there is", param, ctx)
            return number / _WHOLE
        power = "kmgt".find(unit[:1]) + 1 if unit[:1] in set("kmgt") else 0
        # As in dd and GNU sort: M and MiB count in 1024, MB in 1000.
        base = 1000 if unit.endswith("b") and "i" not in unit and power else 1024
        return int(number * base**power)


class Target(click.ParamType[str]):
    """``module:Class`` or ``file.py:Class``: code, so it may stand on the command line alone."""

    name = "TARGET"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files."""
        from click.shell_completion import CompletionItem

        del ctx, param
        return [CompletionItem(incomplete, type="file")]


class BatchShape(click.ParamType["tuple[int, ...]"]):
    """``B,W,H,C``: the shape of a batch."""

    name = "B,W,H,C"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Four whole numbers above 0."""
        if re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8}){3}", str(value)) is None:
            self.fail(f"{value} is no shape; give it as 5,64,48,3", param, ctx)
        return tuple(int(length) for length in str(value).split(","))


class KeyValue(click.ParamType["tuple[str, str]"]):
    """``KEY=VALUE``."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Key and value."""
        key, equals, rest = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value} has no =; give it as KEY=VALUE", param, ctx)
        return key, rest


TYPES: dict[str, Callable[[], click.ParamType[Any]]] = {
    ":file": lambda: click.Path(readable=False),
    ":files": lambda: click.Path(readable=False),
    ":list": lambda: click.Path(dir_okay=False, readable=False, allow_dash=True),
    ":config": lambda: click.Path(dir_okay=False, readable=False),
    ":texts": lambda: click.STRING,
    ":pairs": KeyValue,
    ":number": Number,
    ":above-0": lambda: click.FloatRange(min=0, min_open=True),
    ":0-1": lambda: Whole(0, 1),
    ":jobs": Jobs,
    ":memory": Memory,
    ":size": Size,
    ":shape": BatchShape,
    ":target": Target,
}
"""The types by the names that the declaration of the options has for them."""

MANY = {":files", ":texts", ":pairs"}
"""Those of options that may be repeated."""


def type_of(takes: Any) -> tuple[click.ParamType[Any], str | None]:
    """The type of a value, and what the help calls it, unless its type says so.

    Args:
        takes: as declared: see :class:`bncli.runs.options.Opt`.
    """
    if isinstance(takes, tuple):
        return click.Choice(takes), None
    if takes is float:
        return Number(), None
    if isinstance(takes, int):
        return Whole(min=takes), "N"
    if takes.startswith(":"):
        kind, _, metavar = takes.partition(" ")
        return TYPES[kind](), metavar
    return (OneOf(takes) if "|" in takes else click.STRING), takes
