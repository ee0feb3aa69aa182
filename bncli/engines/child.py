"""A process that works on items for another one, and may crash or be ended at any of them."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any, BinaryIO

from bncli.engines.answers import BEGUN, DONE, RAISED, write_answer
from bncli.engines.raised import told_error
from bncli.engines.work import Item
from bncli.machine import allowed_memory, limit_own_memory


def main() -> None:
    """Work until nothing more is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this
    limit_own_memory(allowed_memory())  # a hostile file must not take that of other programs
    asked, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what decoders print must not get between the messages
        os.dup2(nowhere, descriptor)
    orders: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked, orders), daemon=True).start()
    works: dict[int, Any] = {}
    with orders.get()():  # how the surroundings of all work are to be
        while True:
            number, content, items = orders.get()
            if content is not None:
                works = {number: pickle.loads(content)}  # noqa: S301 - from the parent
            try:
                _say(out, DONE, works[number](_announced(items, out)))
            except Exception as error:  # noqa: BLE001 - it is the parent's
                _say(out, RAISED, told_error(error))


def _announced(items: Iterable[Item], out: BinaryIO) -> Iterator[Item]:
    """The items, each announced before it is worked on: it may be the last that is heard."""
    for position, item in enumerate(items):
        _say(out, BEGUN, position)
        yield item


def _listen(asked: BinaryIO, orders: SimpleQueue[Any]) -> None:
    """Hand on what is asked for; when the parent goes away, leave in the middle of whatever."""
    while True:
        try:
            orders.put(pickle.load(asked))  # noqa: S301 - from the parent
        except Exception:  # noqa: BLE001 - whatever it is, there is nobody to tell
            os._exit(1)


def _say(out: BinaryIO, kind: int, fact: Any) -> None:
    try:
        write_answer(out, kind, fact)
    except OSError:
        os._exit(1)
