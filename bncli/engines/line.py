"""One end of a pipe to a process that may do anything, also with the other end."""

from __future__ import annotations

import io
import os
import select
from collections.abc import Callable
from typing import IO, Any

_WAKE_MILLISECONDS = 250


class Line(io.RawIOBase):
    """A pipe that is at its end when nobody can be waited for any more.

    The end of a process is not that of its pipe, where it has handed that on to another one.

    Args:
        pipe: of a process that was started; to be used through this alone.
        is_over: tells whether there is nobody to wait for. It is asked before every step, and told
            whether nothing has come for a while, or could be given away.
    """

    def __init__(self, pipe: IO[bytes], is_over: Callable[[bool], bool]) -> None:
        self._pipe: Any = getattr(pipe, "raw", pipe)
        self._whole = pipe
        self._is_over = is_over
        self._poll: Any = None
        if hasattr(select, "poll"):  # not on Windows, where pipes cannot be asked
            os.set_blocking(pipe.fileno(), False)
            self._poll = select.poll()
            self._poll.register(pipe.fileno(), select.POLLIN if pipe.readable() else select.POLLOUT)

    def readable(self) -> bool:
        """As the pipe is."""
        return self._whole.readable()

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; 0 where there will be none."""
        count, idle = None, False
        while count is None and not self._is_over(idle):
            count = self._pipe.readinto(buffer)
            idle = count is None and self._idle()
        return count or 0

    def write(self, content: Any) -> int:
        """Write all of it.

        Raises:
            BrokenPipeError: nobody takes it.
        """
        left = memoryview(content).cast("B")
        size, idle = len(left), False
        while left:
            if self._is_over(idle):
                raise BrokenPipeError
            count = self._pipe.write(left)
            idle = count is None and self._idle()
            left = left[count or 0 :]
        return size

    def close(self) -> None:
        """Close the pipe."""
        self._whole.close()
        super().close()

    def _idle(self) -> bool:
        return self._poll is not None and not self._poll.poll(_WAKE_MILLISECONDS)
