"""What a run may take, said in every refusal by a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bncli.errors import LimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take; each has the option that raises it.

    Attributes:
        pixels: width times height of one picture.
        memory: bytes at the peak.
    """

    pixels: int
    memory: int

    def __str__(self) -> str:
        return f"--max-pixels {self.pixels:,}, --max-memory {self.memory / 1e6:,.0f} MB"

    @contextmanager
    def told(self) -> Iterator[None]:
        """Put the limits at the end of whatever refuses the run because of one."""
        try:
            yield
        except LimitError as error:
            if error.told:
                raise
            last = f"{error.lines[-1]} (limits: {self})"
            whole = LimitError(*error.lines[:-1], last, paths=error.paths)
            whole.told = True
            raise whole from error
