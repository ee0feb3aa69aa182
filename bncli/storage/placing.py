"""Files brought from the staging folder to their places, all or none, whatever happens.

The old files are set aside first, the old summary before all others, and the new summary is placed
last. At every moment the disk shows, name by name, how far it came: a file of ours is either
staged or at its place. So what was begun can be taken back at any time, by another process too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from bncli.errors import OutputError
from bncli.storage.disk import (
    check_replaceable,
    digest_of,
    flush_folder,
    folders_of,
    locked,
    writing,
)
from bncli.storage.journal import Journal, Past, read_journal
from bncli.storage.staging import STAGING, Staging

SUMMARY = "summary.json"

MayReplace = Callable[[str], bool]
"""Whether a file of this name may be replaced."""


def check_names(out: Path, names: Collection[str], may_replace: MayReplace) -> None:
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
    present, where = [], str(out)
    for name in names:
        if not os.path.lexists(f"{where}/{name}"):  # text, since paths take long to make
            continue
        if not may_replace(name):
            present.append(out / name)
        else:
            check_replaceable(out / name)
    if present:
        raise _exists_error(present)


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


def place(staging: Staging, names: Collection[str], may_replace: MayReplace) -> None:
    """Bring staged files to their places, the summary last.

    Args:
        staging: where they are.
        names: of the files.
        may_replace: which files may be replaced.

    Raises:
        OutputError: a file that may not be replaced has appeared.
        OSError: as the system says.
    """
    out = staging.path.parent
    # While files of two runs lie side by side, no summary vouches for them.
    _set_aside(staging, SUMMARY, may_replace)
    for folder in folders_of(names):
        (out / folder).mkdir(exist_ok=True)
    for name in names:
        if name != SUMMARY:
            _set_aside(staging, name, may_replace)
            staging.new(name).replace(out / name)
    # And it comes back when all names are on the disk, in whatever order the disk takes them.
    _flush_folders(out, names)
    staging.new(SUMMARY).replace(out / SUMMARY)
    flush_folder(out)


def missing_folders(out: Path, names: Iterable[str]) -> list[str]:
    """The folders that must be made for files of these names, the outer ones first."""
    return [folder for folder in folders_of(names) if not (out / folder).exists()]


def take_back(staging: Staging, digests: Mapping[str, bytes], made: Sequence[str]) -> None:
    """Undo a placing that was cut short: all files are staged again, and the old ones are back.

    Only files whose bytes are ours are touched. It may itself be cut short, and begun again.

    Args:
        staging: where the files come from and go to.
        digests: of all files that the run may have placed.
        made: the folders that it made, relative, the outer ones first.

    Raises:
        OutputError: something else has taken the place of an old file.
        OSError: as the system says.
    """
    out = staging.path.parent
    stuck = False
    # The old summary comes back last, and only if all others have: it vouches for them.
    last = [SUMMARY] if SUMMARY in digests else []
    for name in itertools.chain((name for name in digests if name != SUMMARY), last):
        place, new, old = out / name, staging.new(name), staging.old(name)
        if any((out / folder).is_symlink() for folder in folders_of([name])):
            continue
        if not os.path.lexists(new) and digest_of(place) == digests[name]:
            place.replace(new)
        if not os.path.lexists(old):
            continue
        if os.path.lexists(place):
            stuck = True
        elif name != SUMMARY or not stuck:
            old.replace(place)
    if stuck:
        raise OutputError(
            f"{staging.path}: it holds files of an earlier run, whose places were taken since; "
            "move them where they belong, and then remove it"
        )
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            (out / folder).rmdir()
    _flush_folders(out, digests)


def is_complete(staging: Staging, past: Past) -> bool:
    """Whether the placing was through: the summary, which is the last, is at its place."""
    summary = past.files.get(SUMMARY)
    return past.done or (
        past.made is not None
        and summary is not None
        and not os.path.lexists(staging.new(SUMMARY))
        and digest_of(staging.path.parent / SUMMARY) == summary
    )


def undo_killed(out: Path) -> None:
    """Undo what a run was doing to the files of *out* when it was killed.

    To be called before anything is read: what a run reads may be what an earlier one replaces.

    Raises:
        OutputError: another run is writing there, or the folder cannot be written.
    """
    staging = Staging(out / STAGING)
    if not os.path.lexists(staging.path):
        return
    with writing(out), locked(out):
        staging.check()
        undo_killed_locked(staging)


def undo_killed_locked(staging: Staging) -> Past:
    """The same for who has locked the folder; returns what the journal tells."""
    past = read_journal(staging.journal, staging.knows_of)
    if past.made is not None and not is_complete(staging, past):
        staging.make(past.files)
        take_back(staging, past.files, past.made)
        past.made = None
        with contextlib.closing(Journal(staging.journal)) as journal:
            journal.taken_back()
    return past


def _flush_folders(out: Path, names: Iterable[str]) -> None:
    for path in (out, *(out / folder for folder in folders_of(names))):
        if path.is_dir():
            flush_folder(path)


def _set_aside(staging: Staging, name: str, may_replace: MayReplace) -> None:
    place, old = staging.path.parent / name, staging.old(name)
    if not os.path.lexists(place):
        return
    if not may_replace(name):
        raise _exists_error([place])
    check_replaceable(place)
    old.parent.mkdir(parents=True, exist_ok=True)
    place.replace(old)


def _exists_error(present: Sequence[Path]) -> OutputError:
    """Files are there that may not be replaced."""
    more = f" and {len(present) - 1} more" if len(present) > 1 else ""
    return OutputError(
        f"{present[0]}{more}: it exists; choose another folder or --overwrite",
        paths=tuple(map(str, present)),
    )
