"""What the user asks of a run: plain facts, checked where that needs no file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from bncli.batchnorm.demands import check_update_options
from bncli.batchnorm.levels import Scale
from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.formats import FORMATS
from bncli.images.policy import ReadPolicy
from bncli.images.stores import is_url
from bncli.runs.drawn import DrawingAsked
from bncli.runs.engine import EngineAsked
from bncli.runs.options import Opt
from bncli.runs.source import Shard
from bncli.storage.statistics import Running

_STEP = {"lr": 0.01, "momentum": 0.0, "decay": 0.0, "lr_decay": 1.0}
_MOMENTUM = 0.1
"""PyTorch's, of running statistics."""

_READING = ("mode", "alpha", "frames", "resize", "max_pixels", "keep_metadata")


@dataclass(frozen=True, slots=True)
class Step:
    """The delta of the backward pass, and the step of gradient descent after it.

    Attributes:
        delta: ``ones``, ``random``, or the path of a .npy file of shape (batch, w, h, c).
        update: whether to take a step on gamma and beta.
        lr, momentum, decay, lr_decay: of the step, as for ``BatchNorm.update``.
        state: the state.npz of an earlier run, whose momentum and learning rate go on.
    """

    delta: str
    update: bool
    lr: float
    momentum: float
    decay: float
    lr_decay: float
    state: Path | None


@dataclass(frozen=True, slots=True)
class Asked:
    """One run of normalize, fit, apply or invert; what a command does not take has its default.

    Attributes:
        options: every option of the command by its name, defaults filled in; what follows is made
            of them where there are rules between them, or several commands share it.
        selection, policy: which files, and how they are read.
        statistics: the stats.npz of apply and invert, or None.
        out: the folder that is written; of fit, its file.
        format, depth, scale, dtype: of what is written; *format* may be ``auto`` until the
            statistics are read, and *scale* None where the input says it.
        gamma, beta: a number, ``random``, or the path of a .npy file of shape (w, h, c).
        seed, eps: of the layer.
        backward: the backward pass, or None.
        update_from, ddof, shard, running: of fit.
        exact: of invert: refuse what cannot be restored exactly.
        jobs: threads; None is every core allowed.
        max_memory: bytes as an int, a share of what is available as a float, or None for half.
        skip: go on without the files that cannot be used.
        overwrite, resume, dry_run: what becomes of what is there.
        engine, drawing: where work is done, and what is drawn of it.
    """

    options: Mapping[str, Any]
    selection: Selection
    policy: ReadPolicy
    statistics: Path | None
    out: Path
    format: str
    depth: str
    scale: Scale | None
    dtype: str
    gamma: str
    beta: str
    seed: int
    eps: float
    backward: Step | None
    update_from: Path | None
    ddof: int
    shard: Shard | None
    running: Running | None
    exact: bool
    jobs: int | None
    max_memory: int | float | None
    skip: bool
    overwrite: bool
    resume: bool
    dry_run: bool
    engine: EngineAsked
    drawing: DrawingAsked


def ask(
    known: type, sources: str | Path | Sequence[str | Path], out: Path,
    given: Mapping[str, Any], statistics: str | Path | None = None,
) -> Asked:  # fmt: skip
    """What is asked, each option as declared, and the rules between them kept.

    Args:
        known: the options of the command.
        sources: folders, files, globs, or one .npy batch.
        out: what is written.
        given: the options that were given, by name.
        statistics: the stats.npz that is read, of commands that read one.

    Raises:
        OptionError: an option is unknown, has an impossible value, or does not go with another.
    """
    options = _with_defaults(known, given)
    asked = Asked(
        options=options,
        selection=_selection(sources, options),
        policy=ReadPolicy(**{name: options[name] for name in _READING if name in options}),
        statistics=_path(statistics),
        out=out,
        format=options.get("format", "npy"),
        depth=options.get("depth", "auto"),
        scale=_scale(options),
        dtype=options.get("dtype", "float64"),
        gamma=_text("gamma", options.get("gamma", "1")),
        beta=_text("beta", options.get("beta", "0")),
        seed=options.get("seed", 0),
        eps=options.get("eps", 1e-8),
        backward=_step(given, options),
        update_from=_path(options.get("update_from")),
        ddof=options.get("ddof", 0),
        shard=_shard(options.get("shard")),
        running=_running(options),
        exact=options.get("exact", False),
        jobs=options["jobs"],
        max_memory=options["max_memory"],
        skip=options.get("on_error") == "skip",
        overwrite=options["overwrite"],
        resume=options.get("resume", False),
        dry_run=options["dry_run"],
        engine=EngineAsked.of(options),
        drawing=DrawingAsked.of(options),
    )
    _check_values(asked)
    _check_rules(asked, options)
    return asked


def declared(known: type) -> dict[str, Opt]:
    """The options of a command, by name, as they are declared."""
    return {
        name: next((each for each in get_args(hint)[1:] if isinstance(each, Opt)), Opt(""))
        for name, hint in get_type_hints(known, include_extras=True).items()
    }


def local_path(out: str | Path, kind: str) -> Path:
    """Where something is written: *kind*, a folder or a file, and no URL."""
    if not str(out):
        raise OptionError(f"--out is empty; name a {kind}")
    if is_url(out):
        raise OptionError(f"--out {out}: results go to a local {kind}; name one, and copy it there")
    return Path(out)


def statistics_path(out: str | Path) -> Path:
    """The file to write; OptionError unless its name ends in .npz."""
    path = local_path(out, "file")
    if path.suffix != ".npz":
        raise OptionError(f"--out {out}: name a file that ends in .npz")
    return path


def _with_defaults(known: type, given: Mapping[str, Any]) -> dict[str, Any]:
    options = declared(known)
    unknown = set(given) - set(options)
    if unknown:
        raise OptionError(f"there is no option {', '.join(sorted(unknown))}")
    for name, opt in options.items():
        if isinstance(opt.takes, tuple) and given.get(name, opt.default) not in opt.takes:
            raise OptionError(
                f"--{name.replace('_', '-')} is {given[name]}; choose {', '.join(opt.takes)}"
            )
    return {
        name: given.get(name, False if opt.takes is bool else opt.default)
        for name, opt in options.items()
    }


def _check_values(asked: Asked) -> None:
    """What each value must be."""
    size = asked.policy.resize
    if not (math.isfinite(asked.eps) and asked.eps > 0):
        raise OptionError(f"--eps is {asked.eps}; it must be a finite number above 0")
    if asked.seed < 0:
        raise OptionError(f"--seed is {asked.seed}; it must be at least 0")
    pair = size is None or (isinstance(size, tuple) and len(size) == 2)  # noqa: PLR2004 - width, height
    if not pair or (size is not None and min(size) < 1):
        raise OptionError(f"--resize is {size}; give a width and a height above 0")
    if asked.jobs is not None and asked.jobs < 1:
        raise OptionError(f"--jobs is {asked.jobs}; it must be at least 1, or auto")
    if asked.max_memory is not None and asked.max_memory <= 0:
        raise OptionError(f"--max-memory is {asked.max_memory}; it must be above 0")
    if asked.ddof not in (0, 1):
        raise OptionError(f"--ddof is {asked.ddof}; choose 0 or 1")


def _check_rules(asked: Asked, options: Mapping[str, Any]) -> None:
    """Which options go together."""
    if asked.backward is not None:
        asked.engine.must_be_local("--delta", "its sums depend on the order of the pictures")
        if asked.skip:
            raise OptionError(
                "--on-error skip does not go with --delta: its rows would belong to other pictures"
            )
    if "format" in options and asked.format != "auto":
        check_one_writer(asked.engine, asked.format)
        check_place_for_metadata(asked.policy, asked.format)
    if asked.running is None:
        return
    for name, value in (("--shard", asked.shard), ("--update-from", asked.update_from)):
        if value is not None:
            raise OptionError(
                f"{name} does not go with --batch-size: running statistics depend on the order "
                "of all pictures"
            )
    asked.engine.must_be_local("--batch-size", "running statistics depend on the order")
    if asked.ddof:
        raise OptionError(
            "--ddof 1 does not go with --batch-size: a running variance is unbiased already"
        )


def check_one_writer(engine: EngineAsked, name: str) -> None:
    """Raise OptionError if an array would be written by several processes."""
    if not FORMATS[name].suffix:
        engine.must_be_local(f"--format {name}", "one array has one writer")


def check_place_for_metadata(policy: ReadPolicy, name: str) -> None:
    """Raise OptionError if metadata is to be kept in one array."""
    if policy.keep_metadata and not FORMATS[name].suffix:
        raise OptionError(
            f"--keep-metadata does not go with --format {name}: one array has no place for it"
        )


def _selection(sources: str | Path | Sequence[str | Path], options: Mapping[str, Any]) -> Selection:
    listed = [sources] if isinstance(sources, str | Path) else sources
    if not all(map(str, listed)):
        raise OptionError("a source is empty; name folders or files")
    include, exclude = (
        (globs,) if isinstance(globs, str) else tuple(globs)
        for globs in (options["include"], options["exclude"])
    )
    return Selection(tuple(map(str, listed)), options["recursive"], include, exclude)


def _scale(options: Mapping[str, Any]) -> Scale | None:
    """How y is pixel values; None: as the summary beside the pictures says."""
    scale = options.get("scale")
    if "exact" in options:  # back from pixel values
        if scale is not None and Scale.parse(scale).kind != "range":
            raise OptionError("--scale: give LO:HI, the y that are black and white, or none (0:1)")
        return None if scale is None else Scale.parse(scale)
    name, depth = options.get("format", "png"), options.get("depth", "auto")
    if not FORMATS[name].levels:
        for option, given in (("scale", scale), ("depth", None if depth == "auto" else depth)):
            if given is not None:
                levels = " or ".join(row.name for row in FORMATS.values() if row.levels)
                raise OptionError(f"--{option} {given} is for --format {levels}; {name} holds y")
    return Scale.parse(scale or "minmax")


def _step(given: Mapping[str, Any], options: Mapping[str, Any]) -> Step | None:
    if "delta" not in options:
        return None
    delta, update, state = options["delta"], options["update"], options["state"]
    step = {name: given[name] for name in (*_STEP, "state") if given.get(name) is not None}
    if step and not update:
        name = next(iter(step)).replace("_", "-")
        raise OptionError(f"--{name} is of the step that --update takes: give --update too")
    if update and delta is None:
        raise OptionError("--update needs the gradients of a backward pass: give --delta")
    if delta is None:
        return None
    for name in _STEP:
        if not isinstance(step.get(name, 0), int | float):
            raise OptionError(f"--{name.replace('_', '-')} is {step[name]!r}; it must be a number")
    numbers = {name: float(step.get(name, usual)) for name, usual in _STEP.items()}
    check_update_options(**numbers)
    return Step(str(delta), update, state=_path(state), **numbers)


def _running(options: Mapping[str, Any]) -> Running | None:
    if "batch_size" not in options:
        return None
    momentum, size = options["momentum"], options["batch_size"]
    if size is None:
        if momentum is not None:
            raise OptionError("--momentum is of running statistics: give --batch-size too")
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 2:  # noqa: PLR2004 - several
        raise OptionError(f"--batch-size is {size}; it must be at least 2")
    if momentum == "none":
        return Running(None, size)
    try:
        share = _MOMENTUM if momentum is None else float(momentum)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise OptionError(f"--momentum is {momentum}; it must be above 0 and at most 1, or none")
    return Running(share, size)


def _shard(text: str | None) -> Shard | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(text))
    if match is None:
        raise OptionError(f"--shard {text}: give I/N with I from 1 to N")
    return Shard(int(match[1]), int(match[2]))


def _path(given: object) -> Path | None:
    return None if given is None else Path(str(given))


def _text(name: str, value: object) -> str:
    if isinstance(value, str | int | float | Path):
        return str(value)
    raise OptionError(f"{name} must be a number, 'random', or the path of a .npy file")
