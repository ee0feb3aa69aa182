"""Threads that do with fewer where the system starts no more of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bncli.errors import LimitError
from bncli.machine import address_space, share_heap, stack_bytes


class Pool(ThreadPoolExecutor):
    """A pool of threads that holds as many as can be started, and one at least.

    Args:
        workers: how many at most.
        thread_name_prefix: what their names begin with.

    Raises:
        LimitError: by what submits to it: not even one can be started.
    """

    def __init__(self, workers: int, thread_name_prefix: str) -> None:
        share_heap()
        super().__init__(workers, thread_name_prefix)

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:  # "can't start new thread"
            if not self._threads:
                raise LimitError(no_thread()) from error


def no_thread() -> str:
    """Why no thread can be started: what it takes, and what is left."""
    left = address_space()
    if left is None:
        return "the system starts no more threads; raise `ulimit -u`, or end other programs"
    return (
        f"a thread needs {stack_bytes() / 1e6:,.0f} MB of address space for its stack, and at most "
        f"{left / 1e6:,.0f} MB are left to this process; raise `ulimit -v`, or lower `ulimit -s`"
    )
