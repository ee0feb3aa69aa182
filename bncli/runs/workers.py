"""What all workers must have in common before any of them writes: files, folder, versions."""

from __future__ import annotations

import os
import platform
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bncli.engines.work import Engine
from bncli.errors import EngineError, ImageError, OutputError
from bncli.images.codecs import codec_versions
from bncli.images.png import encoder_version
from bncli.images.stores import is_url
from bncli.storage.output import RunFolder
from bncli.storage.staging import SharedStaging
from bncli.version import __version__

Facts = dict[str, str]


def check_workers(engine: Engine, files: Sequence[str]) -> None:
    """See that every worker has the same programs and the same input.

    Args:
        engine: whose workers may be on other machines.
        files: of the input; of those that are no URLs the first, the last and the one between are
            looked at.

    Raises:
        EngineError: a worker has no bncli, or another version of what decides the results.
        ImageError: a worker sees other files.
    """
    local = array("Q", (place for place, file in enumerate(files) if not is_url(file)))
    some = {local[0], local[len(local) // 2], local[-1]} if local else set()
    sample = [Path(files[place]).absolute() for place in some]
    mine, seen = _versions(), _states(sample)
    for worker, answer in _answers(engine, _report, sample).items():
        theirs, there = answer
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise EngineError(
                    f"worker {worker}: its {name} is {theirs.get(name)}, here it is {value}; "
                    "install the same there, on the same kind of processor"
                )
        for path, here, found in zip(sample, seen, there, strict=True):
            if found != here:
                what = "does not see it" if found is None else "sees another file there"
                raise ImageError(
                    f"{path}: worker {worker} {what}; give all machines the folder at one path",
                    paths=(str(path),),
                )


def shared_staging(run: RunFolder, engine: Engine) -> SharedStaging:
    """Where the workers of an engine stage the files of a run.

    Raises:
        OutputError: a worker cannot write there.
    """
    stage = SharedStaging.open(run.staging)
    check_output(engine, stage)
    return stage


def check_output(engine: Engine, stage: SharedStaging) -> None:
    """See that every worker can write where this process will look.

    Raises:
        OutputError: a worker cannot.
    """
    stage.mark.write_text(stage.mark.name)
    for worker, own in _answers(engine, _try_to_write, stage.mark).items():
        if own is None or not stage.staging.part(own).exists():
            raise OutputError(
                f"{stage.staging.path.parent}: worker {worker} cannot write there; give all "
                "machines the output folder at one path, and the right to write"
            )
        stage.staging.part(own).unlink()


def _answers(engine: Engine, function: Any, *arguments: Any) -> Mapping[str, Any]:
    answers: dict[str, Any] = engine.everywhere(function, *arguments)
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            reason = f"{type(answer).__name__}: {answer}"
            raise EngineError(f"worker {worker}: it cannot run bncli ({reason}); install it there")
    return answers


def _report(sample: list[Path]) -> tuple[Facts, list[tuple[int, int] | None]]:
    return _versions(), _states(sample)


def _versions() -> Facts:
    return {
        "bncli": __version__,
        "numpy": np.__version__,
        **codec_versions(),
        "machine": platform.machine(),
        "PNG encoder": encoder_version(),
    }


def _states(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Size and time of change of each file, None for those that are not there."""
    states: list[tuple[int, int] | None] = []
    for path in paths:
        state = None
        with suppress(OSError):
            status = path.stat()
            state = status.st_size, status.st_mtime_ns
        states.append(state)
    return states


def _try_to_write(mark: Path) -> str | None:
    """Write a file beside the mark; its name, or None where that fails or the mark is another."""
    with suppress(OSError, UnicodeDecodeError):
        if mark.read_text() == mark.name:
            own = mark.with_name(os.urandom(16).hex())
            own.touch()
            return own.name
    return None
