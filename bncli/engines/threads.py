"""The engine of one process: items are read on threads, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from bncli.engines.work import Fold, Items, in_order
from bncli.pool import Pool

Result = TypeVar("Result")


class Threads:
    """Threads of this process; use it in a with block.

    Args:
        jobs: how many.
    """

    remote: ClassVar[bool] = False

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.threads = Pool(jobs, thread_name_prefix="bncli")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.threads.shutdown()

    def narrow(self, jobs: int) -> None:
        """Leave the threads idle that there is no memory for."""
        self.jobs = min(self.jobs, jobs)

    def map(self, task: Callable[[Any], Result], items: Items) -> Iterator[Result]:
        """What *task* makes of each item, in order."""
        return in_order(self.threads, task, items, 2 * self.jobs)

    def fold(self, fold: Fold, items: Items, told: Callable[[Any], None]) -> Any:
        """The sums over all items, taken in by the calling thread."""
        tally = fold.begin()
        for outcome in self.map(fold.read, items):
            told(tally.take(outcome))
        return tally.whole()

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Nothing: there is no other machine."""
        del function, arguments
        return {}
