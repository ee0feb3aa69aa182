"""What the values of options are: parsed, refused in words, completed by the shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from bncli.number import parse_number

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

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

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

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: the x is small."""
        del param, ctx
        return self.name

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

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """None for auto."""
        if value == "auto":
            return None
        if not str(value).isascii() or not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value} is neither auto nor a whole number above 0", param, ctx)
        return int(value)


class Memory(click.ParamType["Memory"]):
    """``auto``, bytes with a unit, or a share of what is available."""

    name = "auto|SIZE|N%"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """As it is: words are small."""
        del param, ctx
        return self.name

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
