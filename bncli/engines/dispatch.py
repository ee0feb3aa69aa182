"""Chunks of items on their way to the workers of a Dask cluster, and sums on their way back."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker

from bncli.engines.work import Fold, Item, Lost, Work
from bncli.errors import EngineError

Around = Callable[[], AbstractContextManager[Any]]

_JOINED_AT_ONCE = 8
ATTEMPTS = 5
DYING = "the workers of the cluster die again and again; see their logs"


@dataclass(frozen=True, slots=True)
class Surrounded:
    """Work done in a context, which is left after each chunk: the workers are not ours."""

    around: Around
    work: Work

    def __call__(self, items: Iterable[Item]) -> Any:
        """Do it."""
        with self.around():
            return self.work(items)


class Dispatch:
    """Chunks under way, with what is done to them sent to the workers once.

    Args:
        client: connected.
        work: what is done to every chunk.
        jobs: threads of all workers.
        wait: gives the result of a future.
        scattered: whether the work is large, so that it is sent by itself.
    """

    def __init__(
        self,
        client: Client,
        work: Work,
        jobs: int,
        wait: Callable[[Future], Any],
        *,
        scattered: bool,
    ) -> None:
        self._client = client
        self._work = work
        self._ahead = 2 * jobs + 2
        self._wait = wait
        self._scattered = scattered
        self._mended: dict[int, list[Item]] = {}
        self._shipped = self._ship()

    def results(
        self, given: Iterable[list[Item]], little: Callable[[Any], Any] | None
    ) -> Iterator[tuple[Future, Any]]:
        """Each chunk's future and its result, or what *little* takes of it, in order.

        It may be asked again, and knows then which items were lost.
        """
        waiting: deque[_Chunk] = deque()
        try:
            for number, items in enumerate(given):
                waiting.append(self._begin(number, self._mended.get(number, items), little))
                if len(waiting) >= self._ahead:
                    yield self._end(waiting, little)
            while waiting:
                yield self._end(waiting, little)
        finally:
            self._client.cancel([chunk.future for chunk in waiting], force=True)

    def _begin(self, number: int, items: list[Item], little: Callable[[Any], Any] | None) -> _Chunk:
        key = f"bncli-{uuid.uuid4().hex}"
        future = self._client.submit(_run_chunk, self._shipped, items, key=key, pure=False)
        wanted = future
        if little is not None:
            wanted = self._client.submit(little, future, key=f"{key}-little", pure=False)
        return _Chunk(number, items, future, wanted)

    def _end(
        self, waiting: deque[_Chunk], little: Callable[[Any], Any] | None
    ) -> tuple[Future, Any]:
        """The result of the first chunk that waits."""
        chunk = waiting.popleft()
        for _ in range(ATTEMPTS):
            try:
                return chunk.future, self._wait(chunk.wanted)
            except KilledWorker:
                # Whoever runs beside an item that ends its worker is blamed with it.
                for other in waiting:
                    self._settle(other.wanted)
                sound = self._sound(chunk.items)
                self._mended[chunk.number] = sound
                chunk = self._begin(chunk.number, sound, little)
            except CancelledError:
                if self._client.status != "running":
                    raise EngineError("the scheduler has gone away; run again") from None
                # Every worker died that had been sent the work.
                self._shipped = self._ship()
                chunk = self._begin(chunk.number, chunk.items, little)
        raise EngineError(DYING)

    def _sound(self, items: list[Item]) -> list[Item]:
        """The items of a chunk that ended its workers, with those replaced that do so alone."""
        sound: list[Item] = []
        for item in items:
            error = self._settle(self._begin(-1, [item], None).wanted)
            if isinstance(error, KilledWorker):
                reason = "it ends every process that reads it; remove it"
                sound.append(Lost(item.name, reason))
            else:
                sound.append(item)
            if isinstance(error, CancelledError):
                self._shipped = self._ship()
        return sound

    def _settle(self, future: Future) -> Exception | None:
        """Wait for a future; what it raised."""
        try:
            self._wait(future)
        except EngineError:
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - told when its turn comes
            return error
        return None

    def _ship(self) -> Any:
        if not self._scattered:
            return self._work
        return self._client.scatter(self._work, broadcast=True, hash=False)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Items under way.

    Attributes:
        number: of the chunk.
        items: of the chunk.
        future: of its result.
        wanted: of what is wanted of that here.
    """

    number: int
    items: list[Item]
    future: Future
    wanted: Future


class Joining:
    """Joins sums on the workers while they come in.

    Exact sums are joined as a tree; those that depend on their order as a chain from the left.
    """

    def __init__(self, client: Client, fold: Fold) -> None:
        self._client = client
        self._fold = fold
        self._levels: list[list[Future]] = [[]]

    def add(self, leaf: Future) -> None:
        """Take in the next chunk."""
        self._levels[0].append(leaf)
        level = 0
        while len(self._levels[level]) >= _JOINED_AT_ONCE:
            joined = self._joined(self._levels[level])
            if self._fold.ordered:
                self._levels[level] = [joined]
                return
            self._levels[level] = []
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(joined)

    def whole(self) -> Future:
        """The sums of all chunks."""
        # What was joined most often came first.
        return self._joined([part for level in reversed(self._levels) for part in level])

    def _joined(self, parts: list[Future]) -> Future:
        key = f"bncli-join-{uuid.uuid4().hex}"
        return self._client.submit(_join, self._fold, parts, key=key, pure=False)


def _run_chunk(work: Work, items: list[Item]) -> Any:
    return work(items)


def first(pair: tuple[Any, Any]) -> Any:
    """What is known of each item of a chunk, without its sums."""
    return pair[0]


def _join(fold: Fold, pairs: list[tuple[Any, Any]]) -> tuple[None, Any]:
    return None, fold.join([whole for _, whole in pairs])
