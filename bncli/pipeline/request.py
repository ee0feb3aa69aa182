"""What the user asks of a run: plain facts, checked where that needs no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bncli.batchnorm.demands import check_update_options
from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.levels import Scale
from bncli.images.policy import ReadPolicy
from bncli.pipeline.choices import DEPTHS, DTYPES, FORMATS
from bncli.pipeline.engine import EngineOptions, EngineRequest, build_engine_request
from bncli.pipeline.shared_options import (
    build_policy,
    build_selection,
    check_choice,
    check_known,
    check_machine,
    check_policy,
    local_path,
)
from bncli.pipeline.showing import ShowRequest


@dataclass(frozen=True, slots=True)
class LayerRequest:
    """Gamma, beta and eps.

    Attributes:
        gamma, beta: a number, ``random``, or the path of a .npy file of shape (w, h, c).
        seed: of the random arrays, >= 0.
        eps: added to the variance, in squared value scale, finite and > 0.
    """

    gamma: str = "1"
    beta: str = "0"
    seed: int = 0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eps) and self.eps > 0):
            raise OptionError(f"--eps is {self.eps}; it must be a finite number above 0")
        if self.seed < 0:
            raise OptionError(f"--seed is {self.seed}; it must be at least 0")


@dataclass(frozen=True, slots=True)
class BackwardRequest:
    """The backward pass, and the step of gradient descent after it.

    Attributes:
        delta: ``ones``, ``random``, or the path of a .npy file of shape (batch, w, h, c).
        update: whether to take a step on gamma and beta.
        lr, momentum, decay, lr_decay: of the step, as for ``BatchNorm.update``.
        state: the state.npz of an earlier run, whose momentum and learning rate go on.
    """

    delta: str
    update: bool = False
    lr: float = 0.01
    momentum: float = 0.0
    decay: float = 0.0
    lr_decay: float = 1.0
    state: Path | None = None

    def __post_init__(self) -> None:
        check_update_options(self.momentum, self.decay, self.lr, self.lr_decay)


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """What is written and where.

    Attributes:
        folder: the output folder.
        picture_format: ``png``, ``tiff`` (float32) or ``npy`` (one array).
        depth: of PNG: ``auto`` (that of the input; 16 for floating-point input), ``8``, ``16``.
        scale: how y becomes pixel values.
        dtype: of all arrays written, ``float64`` or ``float32``.
        overwrite: whether files of an earlier run may be replaced.
        resume: go on with the same run where it was broken off.
    """

    folder: Path
    picture_format: str = "png"
    depth: str = "auto"
    scale: Scale = field(default_factory=lambda: Scale("minmax"))
    dtype: str = "float64"
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        check_choice("format", self.picture_format, FORMATS)
        check_choice("depth", self.depth, DEPTHS)
        check_choice("dtype", self.dtype, DTYPES)


@dataclass(frozen=True, slots=True)
class NormalizeRequest:
    """One run of ``bncli normalize``.

    Attributes:
        selection: which files.
        policy: how they are read.
        layer: gamma, beta and eps.
        backward: the backward pass, or None.
        output: what is written.
        jobs: threads; None is every core allowed.
        max_memory: bytes as an int, a share of what is available as a float, or None for half.
        skip: go on without the files that cannot be used.
        dry_run: check everything that can be checked and write nothing.
        show: what is to be drawn of it.
        engine: where pictures are read and written.
    """

    selection: Selection
    output: OutputRequest
    policy: ReadPolicy = field(default_factory=ReadPolicy)
    layer: LayerRequest = field(default_factory=LayerRequest)
    backward: BackwardRequest | None = None
    jobs: int | None = None
    max_memory: int | float | None = None
    skip: bool = False
    dry_run: bool = False
    show: ShowRequest = field(default_factory=ShowRequest)
    engine: EngineRequest = field(default_factory=EngineRequest)

    def __post_init__(self) -> None:
        check_policy(self.policy)
        check_machine(self.jobs, self.max_memory)
        if self.backward is not None:
            self.engine.must_be_local("--delta", "its sums depend on the order of the pictures")
        if self.output.picture_format == "npy":
            self.engine.must_be_local("--format npy", "one array has one writer")
        if self.skip and self.backward is not None:
            raise OptionError(
                "--on-error skip does not go with --delta: its rows would belong to other pictures"
            )


class NormalizeOptions(EngineOptions, total=False):
    """The options of ``bncli normalize``, by the names they have on the command line.

    ``command`` is the command line itself, which a report tells.
    """

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]
    gamma: str | float | Path
    beta: str | float | Path
    seed: int
    eps: float
    delta: str | Path | None
    update: bool
    lr: float | None
    momentum: float | None
    decay: float | None
    lr_decay: float | None
    state: str | Path | None
    mode: str
    alpha: str
    frames: str
    resize: tuple[int, int] | None
    max_pixels: int
    scale: str | None
    format: str
    depth: str
    dtype: str
    jobs: int | None
    max_memory: int | float | None
    on_error: str
    overwrite: bool
    resume: bool
    dry_run: bool
    contact_sheet: str | Path | None
    report: str | Path | None
    command: str


def build_request(
    sources: Sequence[str | Path], out: str | Path, options: NormalizeOptions
) -> NormalizeRequest:
    """Group the options of a run, and check those that need no file.

    Raises:
        OptionError: an option has an impossible value, or does not go with another.
    """
    check_known(options, NormalizeOptions)
    return NormalizeRequest(
        selection=build_selection(sources, options),
        output=build_output(out, options),
        policy=build_policy(options),
        layer=build_layer(options),
        backward=_backward_request(options),
        jobs=options.get("jobs"),
        max_memory=options.get("max_memory"),
        skip=options.get("on_error") == "skip",
        dry_run=options.get("dry_run", False),
        show=ShowRequest.of(options),
        engine=build_engine_request(options),
    )


def build_layer(options: Mapping[str, Any]) -> LayerRequest:
    """Gamma, beta and eps."""
    return LayerRequest(
        gamma=_parameter_text("gamma", options.get("gamma", "1")),
        beta=_parameter_text("beta", options.get("beta", "0")),
        seed=options.get("seed", 0),
        eps=options.get("eps", 1e-8),
    )


_STEP_DEFAULTS = {"lr": 0.01, "momentum": 0.0, "decay": 0.0, "lr_decay": 1.0}


def _backward_request(options: NormalizeOptions) -> BackwardRequest | None:
    delta, update, state = options.get("delta"), options.get("update", False), options.get("state")
    given = {name: value for name, value in options.items() if value is not None}
    step = {name: given[name] for name in (*_STEP_DEFAULTS, "state") if name in given}
    if step and not update:
        name = next(iter(step)).replace("_", "-")
        raise OptionError(f"--{name} is of the step that --update takes: give --update too")
    if update and delta is None:
        raise OptionError("--update needs the gradients of a backward pass: give --delta")
    if delta is None:
        return None
    numbers = {**_STEP_DEFAULTS, **step}
    return BackwardRequest(
        delta=str(delta),
        update=update,
        lr=_as_number("lr", numbers["lr"]),
        momentum=_as_number("momentum", numbers["momentum"]),
        decay=_as_number("decay", numbers["decay"]),
        lr_decay=_as_number("lr-decay", numbers["lr_decay"]),
        state=None if state is None else Path(state),
    )


def _as_number(name: str, value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise OptionError(f"--{name} is {value!r}; it must be a number")


def _parameter_text(name: str, value: object) -> str:
    if isinstance(value, str | int | float | Path):
        return str(value)
    raise OptionError(f"{name} must be a number, 'random', or the path of a .npy file")


def build_output(out: str | Path, options: Mapping[str, Any]) -> OutputRequest:
    """What is written and where."""
    folder = local_path(out, "folder")
    picture_format, scale = options.get("format", "png"), options.get("scale")
    depth = options.get("depth", "auto")
    if picture_format in FORMATS and picture_format != "png":
        for name, given in (("scale", scale), ("depth", None if depth == "auto" else depth)):
            if given is not None:
                raise OptionError(f"--{name} {given} is for --format png; {picture_format} holds y")
    return OutputRequest(
        folder=folder,
        picture_format=picture_format,
        depth=depth,
        scale=Scale.parse(scale or "minmax"),
        dtype=options.get("dtype", "float64"),
        overwrite=options.get("overwrite", False),
        resume=options.get("resume", False),
    )
