"""The types of the values that gradcheck's own options take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


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
