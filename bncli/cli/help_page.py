"""Help pages: what it does, examples, more about it, and the options by what they are about."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import click

from bncli.cli.plain import printable

_OTHER = "Options"
_EXAMPLES = "Examples:"
_WIDEST_TERM = 30
_SHORT_TYPES = {"INTEGER RANGE": "N", "INTEGER": "N", "FLOAT RANGE": "X", "FLOAT": "X"}


class Option(click.Option):
    """An option that knows where it stands on the help page.

    Args:
        section: the title over it, and over others.
        given: as of click.
    """

    def __init__(self, *names: str, section: str, **given: Any) -> None:
        super().__init__(names, **given)
        self.section = section


def write_page(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write usage, summary, examples, the rest of the text, and the options."""
    command.format_usage(ctx, formatter)
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    examples = [part for part in paragraphs if _EXAMPLES in part]
    rest = [part for part in paragraphs if part not in examples]
    _write_text(formatter, rest[:1])
    for part in examples:
        lines = [line.strip() for line in part.split(_EXAMPLES, 1)[1].splitlines()]
        _write_examples(formatter, [line for line in lines if line])
    _write_text(formatter, rest[1:])
    _write_options(command, ctx, formatter)


def _write_text(formatter: click.HelpFormatter, paragraphs: Sequence[str]) -> None:
    for paragraph in paragraphs:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(paragraph)


def _write_examples(formatter: click.HelpFormatter, lines: Sequence[str]) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write(f"{'':>{formatter.current_indent}}{_EXAMPLES}\n")
        for line in lines:
            margin = " " * (formatter.current_indent + 2)
            formatter.write(_folded(line, margin, formatter.width) + "\n")


def _folded(command_line: str, margin: str, width: int) -> str:
    """A command on as many lines as it needs, each of which the shell knows to go on."""
    lines, words = [margin], command_line.split(" ")
    for word in words:
        glued = lines[-1] + (" " if lines[-1].strip() else "") + word
        if len(glued) + len(" \\") > width and lines[-1].strip():
            lines[-1] += " \\"
            lines.append(margin + "    " + word)
        else:
            lines[-1] = glued
    return "\n".join(lines)


def _write_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and isinstance(parameter, click.Option):
            title = getattr(parameter, "section", _OTHER)
            sections[title].append((_term(record[0]), _explanation(parameter, ctx)))
    terms = [len(term) for rows in sections.values() for term, _ in rows]
    width = min(_WIDEST_TERM, max(terms, default=0))
    last = sections.pop(_OTHER, None)
    for title, rows in [*sections.items(), *([(_OTHER, last)] if last else [])]:
        with formatter.section(title):
            padded = [(f"{term:<{width}}", text) for term, text in rows]
            formatter.write_dl(padded, col_max=_WIDEST_TERM)


def _term(term: str) -> str:
    for long, short in _SHORT_TYPES.items():
        term = re.sub(rf" {long}$", f" {short}", term)
    return term


def _explanation(option: click.Option, ctx: click.Context) -> str:
    extra = option.get_help_extra(ctx)
    notes = []
    if option.multiple:
        notes.append("may be repeated")
    if "default" in extra:
        # click marks a default that is only words with parentheses.
        words = extra["default"]
        notes.append(f"default {words[1:-1] if isinstance(option.show_default, str) else words}")
    if option.required:
        notes.append("required")
    return printable((option.help or "") + (f" [{', '.join(notes)}]" if notes else ""))
