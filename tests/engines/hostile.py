"""Files that take over the process that reads them, by what they do there."""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import time
from dataclasses import dataclass

from bncli.engines.answers import BEGUN, DONE, RAISED, write_answer
from bncli.errors import ImageError, LimitError
from bncli.images.batch import Fault


def look(item) -> str | Fault:
    """What is made of each item."""
    try:
        return item.read()
    except (ImageError, LimitError) as error:
        return Fault(item.name, str(error))


@dataclass(frozen=True)
class File:
    name: str
    deed: str = ""
    mark: str = ""

    def read(self):
        if self.deed:
            DEEDS[self.deed](pipe(), self.mark)
        return f"read {self.name}"


def pipe():
    """The end of the pipe that answers go into, as who runs in the process finds it."""
    frame = sys._getframe()
    while "out" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["out"]


def frame(told, *, magic=b"bnc1", kind=DONE, blocks=b"", length=None, size=None):
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    length, size = len(text) if length is None else length, len(blocks) if size is None else size
    return struct.pack("<4sBQQ", magic, kind, length, size) + text + blocks


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def say(make):
    """Write something, and be gone."""

    def deed(out, mark):
        out.write(make(mark) if callable(make) else make)
        out.flush()
        os._exit(0)

    return deed


def endless(content):
    def deed(out, _mark):
        while True:
            out.write(content)
            out.flush()

    return deed


def drip(out, _mark):
    """A long answer, a byte at a time."""
    out.write(frame(b"", length=1 << 16))
    while True:
        out.write(b" ")
        out.flush()
        time.sleep(0.05)


def leave_a_child(out, _mark):
    """Another process keeps the pipe open, and this one ends."""
    if os.fork():
        os._exit(3)
    os.setsid()
    time.sleep(20)
    os._exit(0)


def leave_a_drip(out, mark):
    """Another process goes on with an answer without end, and this one ends."""
    if os.fork():
        os._exit(3)
    os.setsid()
    try:
        drip(out, mark)
    finally:
        os._exit(0)


def begin_again_and_again(out, _mark):
    while True:
        write_answer(out, BEGUN, 1)


def begin_another(out, _mark):
    """Blame another item."""
    write_answer(out, BEGUN, 2)
    out.write(b"?" * 100)
    out.flush()
    os._exit(0)


FRAMES = {
    "a pickle": lambda mark: pickle.dumps(Bomb(mark)),
    "a pickle in a frame": lambda mark: frame(pickle.dumps(Bomb(mark))),
    "garbage": bytes(range(256)),
    "another magic": frame(["list"], magic=b"bnc0"),
    "another kind": frame(["list"], kind=9),
    "a beginning alone": frame(["list"])[:10],
    "half a text": frame(["list", 1, 2])[:-3],
    "half a block": frame(["bytes", 9], blocks=bytes(9))[:-3],
    "a huge text": frame(["list"], length=1 << 62),
    "huge blocks": frame(["array", "|u1", 1 << 61], size=1 << 61),
    "no JSON": frame(b"{"),
    "no text": frame(b""),
    "no UTF-8": frame(b'"\xff"'),
    "deep lists": frame(b"[" * 100_000 + b"]" * 100_000),
    "deep words": frame(b'["list",' * 900 + b"1" + b"]" * 900),
    "a long number": frame(b"9" * 10_000),
    "no list": frame(7),
    "an empty list": frame([]),
    "a list of no word": frame([[]]),
    "too few results": frame(["list"]),
    "results of another type": frame(["list", 1, 2, 3]),
    "a class that does not travel": frame(["list", ["Bomb", "x"], 0, 0]),
    "a class of Python": frame(["list", ["os.system", "x"], 0, 0]),
    "too few fields": frame(["list", ["Fault", "x"], 0, 0]),
    "fields of another type": frame(["list", *[["Fault", "x", 3, False]] * 3]),
    "objects": frame(["array", "|O", 1], blocks=bytes(8)),
    "strings": frame(["array", "<U1", 1], blocks=bytes(4)),
    "a dtype of fields": frame(["dtype", "i4,i4"]),
    "a dtype of no name": frame(["dtype", ["i4"]]),
    "less than nothing": frame(["array", "|u1", -1]),
    "nothing of much": frame(["array", "<f8", 0, 1 << 60, 1 << 60]),
    "more axes": frame(["array", "|u1", *[1] * 99], blocks=b"1"),
    "an array of no size": frame(["array", "|u1", "1"], blocks=b"1"),
    "more than there is": frame(["array", "|u1", 9], blocks=bytes(8)),
    "less than there is": frame(["array", "|u1", 9], blocks=bytes(10)),
    "no bits": frame(["float", "00"]),
    "what was never told": frame(["same", 0]),
    "what is told before the first": frame(["list", "x" * 40, ["same", -1]]),
    "an error of no kind": frame({"name": "SystemExit"}, kind=RAISED),
    "an error that is none": frame(["list"], kind=RAISED),
    "a beginning of nothing": frame(None, kind=BEGUN),
}  # fmt: skip
"""What is no answer, whatever was asked."""

DEEDS = {name: say(content) for name, content in FRAMES.items()} | {
    "garbage without end": endless(bytes(1 << 16)),
    "beginnings without end": begin_again_and_again,
    "a text without end": lambda out, _: (
        out.write(frame(b"", length=1 << 20)), endless(b" " * 4096)(out, _)
    ),
    "blame": begin_another,
    "a drip": drip,
    "a child": leave_a_child,
    "a child that drips": leave_a_drip,
    "silence": lambda *_: time.sleep(1000),
    "an end": lambda *_: os._exit(3),
}  # fmt: skip
