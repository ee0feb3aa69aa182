"""Where a run is shown: on a terminal or in a pipe, as a table or a document, and how far it is."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypedDict

from bncli.cli.plain import print_document, print_note, print_result, print_warning, printable
from bncli.cli.progress import Follower, no_progress, progress_bar, progress_lines

if TYPE_CHECKING:  # rich takes a tenth of a second to load, and --quiet and --json need none of it
    from rich.console import Console
    from rich.table import Table

    from bncli.images.batch import Fault

_WIDE = 100_000
_LISTED = 20


class _Paper(io.StringIO):
    """Text for a stream, in whose encoding rich chooses its lines."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return str(self._encoding)


class Told(TypedDict):
    """Whom a run tells of itself: keywords of its function."""

    progress: Follower
    tell: Callable[[str], None]
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Display:
    """What the user sees of a run, as the stream options say.

    Attributes:
        json: a document instead of a table.
        quiet: no table, no progress.
        verbose: say what was decided.
        color: ``auto``, ``always`` or ``never``.
        progress: ``auto``, ``always`` or ``never``.
    """

    json: bool
    quiet: bool
    verbose: bool
    color: str
    progress: str

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """As the stream options say, which are taken out of what is *given*."""
        given.pop("debug")  # read by the entry point
        return cls(**{field.name: given.pop(field.name) for field in fields(cls)})

    @contextmanager
    def told(self) -> Iterator[Told]:
        """All that a run may tell, said as the user wants it."""
        with self.following() as follow:
            yield {"progress": follow, "tell": self.tell, "warn": print_warning}

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """A function to be told of progress: a bar on a terminal, else a line now and then."""
        if self.progress == "never" or (self.progress == "auto" and self.quiet):
            yield no_progress
        elif is_terminal(sys.stderr) and not is_dumb():
            with progress_bar(self._console(sys.stderr)) as follow:
                yield follow
        else:
            yield progress_lines(every_stage=self.progress == "always")

    def tell(self, line: str) -> None:
        """Say on stderr what was decided, where the user wants to know."""
        if self.verbose:
            print_note(line)

    def document(self, document: dict[str, Any]) -> None:
        """Print the document where the user wants one."""
        if self.json:
            print_document(document)

    @property
    def wants_tables(self) -> bool:
        """Whether the user wants tables and lines on stdout."""
        return not (self.json or self.quiet)

    def table(self, *parts: Any) -> None:
        """Print tables and lines on stdout, unless the user wants none."""
        if not self.wants_tables:
            return
        styled = self._styled(sys.stdout)
        # On paper first: rich's own capture still touches the stream, which may be full or closed.
        paper = _Paper(sys.stdout)
        console = self._console(sys.stdout, paper)
        width = console.width
        for part in parts:
            shown = part if styled else _unboxed(part)
            # A number is never cut: on a terminal that is too narrow the lines wrap.
            least = console.measure(shown, options=console.options.update_width(_WIDE))
            console.width = max(width, least.maximum if _is_rigid(shown) else least.minimum)
            console.print(shown)
        text = paper.getvalue()
        if not styled:
            text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        print_result(text)

    def _styled(self, stream: Any) -> bool:
        if self.color == "auto":
            return is_terminal(stream) or colours_forced()
        return self.color == "always"

    def _console(self, stream: Any, paper: io.StringIO | None = None) -> Console:
        from rich.console import Console

        styled = self._styled(stream)
        plain = not styled or (self.color != "always" and colours_unwanted())
        return Console(
            file=stream if paper is None else paper,
            force_terminal=styled,
            no_color=plain,
            color_system=None if plain else "auto" if is_terminal(stream) else "standard",
            width=None if styled else _WIDE,
            markup=False,
            highlight=False,
            emoji=False,
        )


def _is_rigid(part: Any) -> bool:
    """Whether it is a line that may not be broken, or a table of no cell that may be."""
    return all(one.no_wrap for one in getattr(part, "columns", None) or [part])


def warn_of_skipped(faults: Sequence[Fault]) -> None:
    """Name the pictures that were skipped, on stderr."""
    for fault in faults[:_LISTED]:
        print_warning(f"skipped {fault}")
    if len(faults) > _LISTED:
        print_warning(f"skipped {len(faults) - _LISTED} more; --json names them")


def _unboxed(part: Any) -> Any:
    if hasattr(part, "box"):
        part.box = None
        part.pad_edge = False
    return part


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what is to be said of them.

    Raises:
        ImportError: rich is not installed.
    """
    from rich.table import Table
    from rich.text import Text

    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, words in rows:
        facts.add_row(name, Text(printable(words)))
    return facts


def is_terminal(stream: Any) -> bool:
    """Whether somebody looks at it now; a stream that is closed is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def is_dumb() -> bool:
    """Whether the terminal moves no cursor."""
    return os.environ.get("TERM", "") in {"dumb", "unknown"}


def colours_unwanted() -> bool:
    """By NO_COLOR (https://no-color.org), CLICOLOR=0, or a terminal that has none."""
    if os.environ.get("NO_COLOR"):
        return True
    return not colours_forced() and (is_dumb() or os.environ.get("CLICOLOR") == "0")


def colours_forced() -> bool:
    """By FORCE_COLOR (https://force-color.org) or CLICOLOR_FORCE, unless NO_COLOR is set."""
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") != "0"
    return bool(forced) and not os.environ.get("NO_COLOR")
