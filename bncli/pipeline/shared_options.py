"""Options that several commands take: checked and grouped where that needs no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES, ReadPolicy
from bncli.images.remote import is_url
from bncli.pipeline.choices import ON_ERROR

_AXES = 2


def check_policy(policy: ReadPolicy) -> None:
    """Raise OptionError unless pictures can be read like that."""
    size = policy.resize
    pair = size is None or (isinstance(size, tuple) and len(size) == _AXES)
    if not pair or (size is not None and min(size) < 1):
        raise OptionError(f"--resize is {size}; give a width and a height above 0")
    check_choice("mode", policy.mode, MODES)
    check_choice("alpha", policy.alpha, ALPHAS)
    check_choice("frames", policy.frames, FRAMES)


def check_machine(jobs: int | None, max_memory: float | None) -> None:
    """Raise OptionError unless a run can have so many threads and so much memory."""
    if jobs is not None and jobs < 1:
        raise OptionError(f"--jobs is {jobs}; it must be at least 1, or auto")
    if max_memory is not None and max_memory <= 0:
        raise OptionError(f"--max-memory is {max_memory}; it must be above 0")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise OptionError unless *value* is one of the words that the option takes."""
    if value not in choices:
        raise OptionError(f"--{name} is {value}; choose {', '.join(choices)}")


def check_known(options: Mapping[str, Any], known: type) -> None:
    """Raise OptionError if there is an option that *known*, a TypedDict, does not name."""
    unknown = set(options) - set(known.__annotations__)
    if unknown:
        raise OptionError(f"there is no option {', '.join(sorted(unknown))}")
    check_choice("on-error", options.get("on_error", "fail"), ON_ERROR)


def local_path(out: str | Path, kind: str) -> Path:
    """Where something is written: *kind*, a folder or a file, and no URL."""
    if not str(out):
        raise OptionError(f"--out is empty; name a {kind}")
    if is_url(out):
        raise OptionError(f"--out {out}: results go to a local {kind}; name one, and copy it there")
    return Path(out)


def build_selection(sources: Sequence[str | Path], options: Mapping[str, Any]) -> Selection:
    """Which files."""
    if not all(map(str, sources)):
        raise OptionError("a source is empty; name folders or files")
    return Selection(
        sources=tuple(map(str, sources)),
        recursive=options.get("recursive", False),
        include=_globs(options.get("include", ())),
        exclude=_globs(options.get("exclude", ())),
    )


def build_policy(options: Mapping[str, Any]) -> ReadPolicy:
    """How files become arrays."""
    return ReadPolicy(
        mode=options.get("mode", "keep"),
        alpha=options.get("alpha", "keep"),
        frames=options.get("frames", "error"),
        resize=options.get("resize"),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
    )


def _globs(value: Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
