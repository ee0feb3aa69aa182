"""The names of a run, held against the output folder before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage.disk import folders_of
from bncli.storage.staging import STAGING, Staging

MayReplace = Callable[[str], bool]
"""Whether a file of this name may be replaced."""


def check_names(out: Path, names: Sequence[str], may_replace: MayReplace) -> None:
    """Refuse names that cannot be written below *out*.

    Raises:
        OutputError: a file is there that may not be replaced, or something that is no file.
    """
    for folder in folders_of(names):
        path = out / folder
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OutputError(f"{path}: it is a link or a file, not a folder; move it away")
        if folder == STAGING:
            raise OutputError(f"{path}: bncli keeps its own files there; rename that folder")
    present = []
    for name in names:
        path = out / name
        if not os.path.lexists(path):
            continue
        if not may_replace(name):
            present.append(path)
        elif path.is_dir():
            raise OutputError(f"{path}: it is a folder; move it away")
    if present:
        raise exists_error(present)


def check_folder(out: Path) -> Path:
    """The innermost folder above *out*, or *out* itself, that exists.

    Raises:
        OutputError: it is no folder, or may not be written to.
    """
    existing = out
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"{existing}: it exists and is not a folder; choose another")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{existing}: no permission to write; choose another folder")
    return existing


def exists_error(present: Sequence[Path]) -> OutputError:
    """Files are there that may not be replaced."""
    more = f" and {len(present) - 1} more" if len(present) > 1 else ""
    return OutputError(
        f"{present[0]}{more}: it exists; choose another folder or --overwrite",
        paths=tuple(map(str, present)),
    )


def check_lengths(out: Path, existing: Path, names: Sequence[str]) -> None:
    """Refuse names that the file system has no room for.

    Args:
        out: the output folder.
        existing: the innermost folder above it, or itself, that exists.
        names: of the files, relative to it.

    Raises:
        OutputError: one is too long.
    """
    if not hasattr(os, "pathconf"):
        return
    longest_name, longest_path = (
        os.pathconf(existing, limit) for limit in ("PC_NAME_MAX", "PC_PATH_MAX")
    )
    # The longest path is that of a file that waits to be placed, with the byte that ends it.
    room = longest_path - len(os.fsencode(Staging(out / STAGING).new("x")))
    for name in [str(out.relative_to(existing)), *names]:
        coded = os.fsencode(name)
        if len(coded) > room or max(map(len, coded.split(b"/"))) > longest_name:
            raise OutputError(
                f"{name}: the name is too long for the file system; choose shorter names",
                paths=(name,),
            )
