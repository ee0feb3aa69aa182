"""What an earlier run left in an output folder, and whether it is the same run."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bncli.errors import DataError, OutputError
from bncli.files import open_regular
from bncli.storage.disk import digest_of
from bncli.storage.journal import (
    Entry,
    Inputs,
    Key,
    Past,
    differences,
    input_differences,
    read_journal,
)
from bncli.storage.placing import SUMMARY, is_complete
from bncli.storage.staging import STAGING, Staging

_LARGEST_SUMMARY = 1 << 30


@dataclass(slots=True)
class Earlier:
    """What is known of the files of an earlier run.

    Attributes:
        staging: where those lie that are not at their places.
        past: what its journal tells.
        document: the summary of a run that is whole, or None.
        listed: the files that this summary names.
    """

    staging: Staging
    past: Past
    document: dict[str, Any] | None = None
    listed: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def none(cls, out: Path) -> Earlier:
        """Nothing is known of *out*."""
        return cls(Staging(out / STAGING), Past())

    @classmethod
    def read(cls, out: Path) -> Earlier:
        """What lies in *out*, which need not exist; writes nothing."""
        earlier = cls.none(out)
        past = read_journal(earlier.staging.journal)
        if not is_complete(earlier.staging, past):
            earlier.past = past
        document = _document(out / SUMMARY)
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a file of somebody else
            files = [*document["outputs"], *document["arrays"]]
            earlier.listed = {f["path"]: Entry(bytes.fromhex(f["sha256"]), None) for f in files}
            earlier.document = document
        return earlier

    @property
    def under_way(self) -> bool:
        """Whether a run has begun here and has not ended."""
        return self.past.key is not None

    @property
    def key(self) -> Key | None:
        """What the run was, or None where nobody knows."""
        if self.past.key is not None:
            return self.past.key
        found = (self.document or {}).get("run")
        return found if isinstance(found, dict) else None

    def forget_other(self, key: Key) -> None:
        """Forget the summary if it is that of a run of another key."""
        if self.document is None or self.document.get("run") != key:
            self.document, self.listed = None, {}

    def half_placed(self, name: str) -> bool:
        """Whether a killed run may have left this file at its place before all were there."""
        return self.past.made is not None and name in self.past.files

    def at_its_place(self, name: str) -> bool:
        """Whether the file is of a run that is whole."""
        return name in self.listed or (name == SUMMARY and self.document is not None)

    def knows(self, name: str) -> bool:
        """Whether a file of this name was once whole."""
        return name in self.past.files or name in self.listed

    def kept(self, name: str) -> tuple[Entry, bool] | None:
        """A file that is whole, and whether it is at its place; its bytes are read to know."""
        out = self.staging.path.parent
        for files, path, placed in (
            (self.past.files, self.staging.new(name), False),
            (self.past.files if self.half_placed(name) else {}, out / name, True),
            (self.listed, out / name, True),
        ):
            entry = files.get(name)
            if entry is not None and digest_of(path) == entry.digest:
                return entry, placed
        return None

    def refuse_other(self, key: Key, inputs: Inputs | None) -> None:
        """Refuse to go on with a run that was another.

        Args:
            key: of this run, as far as it is known.
            inputs: of this run, or None where they are not known yet.

        Raises:
            OutputError: the run was another; says what differs.
        """
        if self.key is None:
            return
        if inputs is None:
            unlike = differences({name: self.key.get(name) for name in key}, key)
        else:
            unlike = differences({**self.key, "inputs": None}, {**key, "inputs": None})
        if inputs is not None and self.key.get("inputs") != key.get("inputs"):
            before = self.past.inputs if self.past.key is not None else self._listed_inputs()
            unlike += [f"input {line}" for line in input_differences(before, inputs)] or [
                "the order of the inputs is another"
            ]
        if unlike:
            raise OutputError(
                f"{self.staging.path.parent}: --resume cannot go on with the run that is there: "
                f"{'; '.join(unlike)}; {self._remedy()}",
                paths=(str(self.staging.path.parent),),
            )

    def _remedy(self) -> str:
        if self.past.key is not None:
            return "leave --resume out to begin anew"
        return "choose another folder or --overwrite"

    def _listed_inputs(self) -> dict[str, str]:
        outputs = (self.document or {}).get("outputs", [])
        try:
            return {o["source"]: o["source_sha256"][:16] for o in outputs}
        except (KeyError, TypeError):
            return {}


def _document(path: Path) -> Any:
    try:
        with open_regular(path) as (file, state):
            return json.load(file) if state.size < _LARGEST_SUMMARY else None
    except (DataError, OSError, ValueError, RecursionError):
        return None
