"""What a run has done so far, a line each: the next run goes on from it, or takes it back.

A line is one JSON object. The last may be torn, and any may be lost: what no line vouches for is
done again, and what a line vouches for is believed only where the bytes are those it names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from bncli.errors import DataError
from bncli.files import open_regular
from bncli.packed import Records, Table, Texts
from bncli.storage.staging import STAGING

_FORMAT = 1
_INPUTS_A_LINE = 1000
_SHORT, _LONG = 16, 60

DIGEST, BEGINNING = 32, 9
"""Bytes of a SHA-256, and of what is kept of one to tell inputs from others."""

_FIRST = 8
_UNKNOWN = bytes(BEGINNING)

_PLACE = struct.Struct("=I?")

_LONGEST_LINE = 32 << 20
"""Bytes: a thousand inputs of the longest names, each of its bytes escaped."""

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)

Key = Mapping[str, Any]
"""Whatever decides the bytes of a run, by name, as JSON knows it."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a run, in order.

    Attributes:
        names: what they are called.
        digests: the SHA-256 of each, in bytes; none where a run writes before it has read them all.
            What it writes is then kept only with the digest of its input in its facts.
    """

    names: Sequence[str] = ()
    digests: Sequence[bytes] = ()

    def digest(self) -> str:
        """One digest over all of them, hexadecimal; over the names alone without digests."""
        whole = hashlib.sha256()
        for name, digest in self._pairs():
            whole.update(f"{digest.hex()} {json.dumps(name)}\n".encode("ascii"))
        return whole.hexdigest()

    def short(self) -> Iterator[tuple[str, bytes]]:
        """Name and the first bytes of the digest of each: enough to tell which differ."""
        for name, digest in self._pairs():
            yield name, digest[:_FIRST]

    def _pairs(self) -> Iterator[tuple[str, bytes]]:
        digests = self.digests or repeat(b"", len(self.names))
        return zip(self.names, digests, strict=True)


class Entry(NamedTuple):
    """A file that was whole: SHA-256 of its bytes, and what its writer reported of it."""

    digest: bytes
    facts: Any


class Entries(Table):
    """Digests of files by their names, with what their writers reported, in little memory."""

    def __init__(self) -> None:
        super().__init__(DIGEST)
        # Of each name: a digest of which its facts speak, and where the rest of them is.
        self._told = Records(DIGEST + _PLACE.size)
        self._facts = Texts()

    def put(self, name: str, entry: Entry) -> None:
        """Keep an entry, in place of any other of its name.

        Raises:
            ValueError: its digest is none.
        """
        facts, source = entry.facts, None
        if isinstance(facts, dict) and _is_digest(facts.get("source")):
            # In half of the bytes, since every picture has one.
            facts, source = facts.copy(), bytes.fromhex(facts["source"])
            del facts["source"]
        told = (source or bytes(DIGEST)) + _PLACE.pack(len(self._facts), source is not None)
        number = self.number_of(name)
        self[name] = entry.digest
        self._facts.append(json.dumps(facts))
        if number is None:
            self._told.append(told)
        else:
            self._told[number] = told

    def entry(self, name: str) -> Entry | None:
        """The entry of a name, if there is one."""
        number = self.number_of(name)
        if number is None:
            return None
        told = self._told[number]
        place, has_source = _PLACE.unpack(told[DIGEST:])
        facts = json.loads(self._facts[place])
        if has_source:
            facts = {"source": told[:DIGEST].hex(), **facts}
        return Entry(self[name], facts)


class Journal:
    """A journal that is written; lines may come from any thread.

    Args:
        path: of the file, which is made where it is missing and otherwise continued.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_FOLLOW
        self._descriptor = os.open(path, flags, 0o666)
        self._lock = threading.Lock()

    def begin(self, key: Key, inputs: Inputs) -> None:
        """Say what the run is."""
        pairs = ((name, digest.hex()) for name, digest in inputs.short())
        while part := list(islice(pairs, _INPUTS_A_LINE)):
            self._note({"inputs": part})
        # The key last: where it is, the inputs are too.
        self._note({"bncli": _FORMAT, "key": key})

    def whole(self, name: str, entry: Entry) -> None:
        """A file is staged."""
        self._note({"file": name, "sha256": entry.digest.hex(), "facts": entry.facts})

    def commit(self, folders: Sequence[str]) -> None:
        """Files are about to be brought to their places, where these folders are to be made."""
        self._note({"commit": list(folders)})
        os.fsync(self._descriptor)

    def taken_back(self) -> None:
        """The files that the commit had placed are staged again."""
        self._note({"taken back": True})
        os.fsync(self._descriptor)

    def done(self) -> None:
        """All files are at their places."""
        self._note({"done": True})

    def close(self) -> None:
        """Leave the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _note(self, line: Mapping[str, Any]) -> None:
        # Each line begins one anew: what a full disk tore off spoils no other.
        rest = memoryview(b"\n" + json.dumps(line).encode("ascii") + b"\n")
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


@dataclass(slots=True)
class Past:
    """What a journal tells.

    Attributes:
        key: what the run was, or None where it had not begun.
        inputs: name of each input -> the :func:`beginning` of its digest.
        files: those that were staged whole.
        made: folders that the commit makes, or None where it had not begun or was taken back.
        done: whether the commit was through.
    """

    key: dict[str, Any] | None = None
    inputs: Table = field(default_factory=lambda: Table(BEGINNING))
    files: Entries = field(default_factory=Entries)
    made: list[str] | None = None
    done: bool = False

    def take(self, line: Mapping[str, Any]) -> None:
        """Add what one line tells."""
        if "file" in line:
            entry = Entry(bytes.fromhex(line["sha256"]), line["facts"])
            self.files.put(_inside(line["file"]), entry)
        elif "inputs" in line:
            for name, digest in line["inputs"]:
                self.inputs[name] = beginning(bytes.fromhex(digest))
        elif "key" in line:
            self.key = dict(line["key"]) if line["bncli"] == _FORMAT else None
        elif "commit" in line:
            self.made = [_inside(folder) for folder in line["commit"]]
        elif "taken back" in line:
            self.made = None
        elif "done" in line:
            self.done = True


def read_journal(path: Path, present: Callable[[str], bool]) -> Past:
    """What a journal tells, which anybody may have made; nothing where there is none.

    Args:
        path: of the file.
        present: whether there is a file that an entry of this name can tell of; others are left
            out, so that no journal takes more memory than the files beside it account for.
    """
    past = Past()
    with contextlib.suppress(DataError), open_regular(path) as (file, _):
        for line in _lines(file):
            # What is no line of ours vouches for nothing.
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, OSError):
                told = json.loads(line)
                if "file" not in told or present(_inside(told["file"])):
                    past.take(told)
    return past


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file but those that are longer than any of ours."""
    whole = True
    while line := file.readline(_LONGEST_LINE):
        ended = line.endswith(b"\n")
        if whole and (ended or len(line) < _LONGEST_LINE):
            yield line
        whole = ended
        del line  # before there is room to be found for the next


def beginning(digest: bytes) -> bytes:
    """What is kept of the digest of an input; an empty one was not known yet."""
    return b"\1" + digest[:_FIRST] if digest else _UNKNOWN


def as_read_back(key: Key) -> dict[str, Any]:
    """The key as a journal gives it back: tuples are lists there."""
    found: dict[str, Any] = json.loads(json.dumps(key))
    return found


def differences(before: Key, now: Key) -> list[str]:
    """Which parts of two keys differ, in words."""
    return [
        f"{name} was {_words(before.get(name))} and is {_words(now.get(name))}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def input_differences(before: Mapping[str, bytes], inputs: Inputs) -> list[str]:
    """Which inputs differ, in words; a digest that one side does not know differs from none."""
    now = Table(BEGINNING)
    for name, digest in inputs.short():
        now[name] = beginning(digest)
    kinds = {
        "changed": [
            name
            for name, digest in now.items()
            if digest != _UNKNOWN and before.get(name, digest) not in {_UNKNOWN, digest}
        ],
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
    }
    return [f"{kind}: {_some(names)}" for kind, names in kinds.items() if names]


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _words(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONG else f"{text[:_SHORT]}..."


def _is_digest(text: Any) -> bool:
    """Whether it is a SHA-256 as bncli writes it."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _inside(name: Any) -> str:
    """A relative name that leads nowhere else, as ours all are."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] in {(), (STAGING,)}:
        raise ValueError(name)
    return str(path)
