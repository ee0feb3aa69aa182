"""What every engine does with items: the words they share, and what runs on a worker.

An item stands for one file: it has a name and can be read. Whatever goes to another process, items
and what is done to them, can be pickled. Pickles go to bncli's own processes; what those of
``--engine processes`` answer is data, see :mod:`bncli.engines.answers`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from bncli.engines.kinds import fits, fits_all, returned
from bncli.errors import ImageError, LimitError

Given = TypeVar("Given")
Result = TypeVar("Result")

_ROOT = str(Path(__file__).parents[2])


class Item(Protocol):
    """One file of many."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def read(self) -> Any:
        """Read what is wanted of it."""


class Items(Protocol):
    """Items in order, made when they are asked for."""

    def __len__(self) -> int:
        """How many."""

    def __iter__(self) -> Iterator[Item]:
        """Each in its turn."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands where an item was that ended its worker."""

    name: str
    reason: str
    limit: bool = False

    def read(self) -> NoReturn:
        """Say why it cannot be used.

        Raises:
            ImageError, LimitError: always; the message does not name the item.
        """
        raise (LimitError if self.limit else ImageError)(self.reason)


class Tally(Protocol):
    """Sums over items."""

    def take(self, outcome: Any) -> Any:
        """Take in what reading gave; returns what is to be known of the item, which is little."""

    def whole(self) -> Any:
        """What can be joined."""


class Fold(Protocol):
    """What is summed up over all items, wherever they are read.

    Attributes:
        length: items of a chunk that is summed up by itself; None for any.
        ordered: whether chunks must be joined one after another, from the left.
    """

    @property
    def length(self) -> int | None:
        """Of a chunk."""

    @property
    def ordered(self) -> bool:
        """Whether the order of chunks matters."""

    def read(self, item: Item) -> Any:
        """Read one item; may run beside others."""

    def begin(self) -> Tally:
        """Sums over nothing."""

    def fits(self, whole: Any) -> bool:
        """Whether something that comes from another process can be joined."""

    def join(self, wholes: Sequence[Any]) -> Any:
        """The sums of the union; changes none of them."""


class Engine(Protocol):
    """Where items are worked on.

    Attributes:
        remote: whether that is in other processes, so that little should travel.
        threads: of this process, for what is no work on items.
    """

    @property
    def remote(self) -> bool:
        """Whether items are worked on in other processes."""

    @property
    def threads(self) -> Executor:
        """Of this process."""

    def narrow(self, jobs: int) -> None:
        """Work on no more items at once than there is memory for in this process."""

    def map(self, task: Callable[[Any], Result], items: Items) -> Iterator[Result]:
        """What *task* makes of each item, in order."""

    def fold(self, fold: Fold, items: Items, told: Callable[[Any], None]) -> Any:
        """The sums over all items; *told* is told, in order, what is known of each."""

    def everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What *function* returns, or raises, in each process that may be on another machine."""


@dataclass(frozen=True, slots=True)
class MapWork(Generic[Result]):
    """Does one thing to each item of a chunk."""

    task: Callable[[Any], Result]

    def __call__(self, items: Iterable[Item]) -> list[Result]:
        """Do it."""
        return [self.task(item) for item in items]

    def is_answer(self) -> Callable[[Any, int], bool]:
        """What tells whether something can be its results for so many items."""
        is_so = fits_all(returned(self.task))
        return lambda results, count: is_so(results) and len(results) == count


@dataclass(frozen=True, slots=True)
class FoldWork:
    """Sums up a chunk: what is known of each item, and the sums."""

    fold: Fold

    def __call__(self, items: Iterable[Item]) -> tuple[list[Any], Any]:
        """Sum up."""
        tally = self.fold.begin()
        facts = [tally.take(self.fold.read(item)) for item in items]
        return facts, tally.whole()

    def is_answer(self) -> Callable[[Any, int], bool]:
        """What tells whether something can be its results for so many items."""
        sums = returned(self.fold.begin)
        is_pair = fits(tuple[list[returned(sums.take)], Any])  # type: ignore[misc]
        return lambda pair, count: (
            is_pair(pair) and len(pair[0]) == count and self.fold.fits(pair[1])
        )


Work = Callable[[Iterable[Item]], Any]


def interpreter(module: str) -> list[str]:
    """The command that runs ``main`` of a module of bncli in a process of its own.

    It finds bncli where this process did, and takes nothing from the current folder.
    """
    start = f"import sys; sys.path.append({_ROOT!r}); from {module} import main; main()"
    return [sys.executable, "-P", "-c", start]


def chunks(items: Items, length: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == length:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def in_order(
    executor: Executor, task: Callable[[Given], Result], given: Iterable[Given], ahead: int,
    abandon: Callable[[], None] | None = None,
) -> Iterator[Result]:  # fmt: skip
    """The results of *task*, in the order of what is given, with at most *ahead* under way.

    What was not begun when the caller stops asking, or when a task fails, is never begun; then
    *abandon* is called, which may end what was begun, and all that was begun is waited for.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for one in given:
            waiting.append(executor.submit(task, one))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        if waiting and abandon is not None:
            abandon()
        # Who cleans up next must not meet a task that is still writing.
        wait(waiting)
