"""What the user asks of a run: plain facts, checked where that needs no file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from bncli.batchnorm.demands import check_update_options
from bncli.errors import OptionError
from bncli.images.folder import Selection
from bncli.images.levels import Scale
from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES, ReadPolicy
from bncli.pipeline.choices import DEPTHS, DTYPES, FORMATS, ON_ERROR


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
    """

    folder: Path
    picture_format: str = "png"
    depth: str = "auto"
    scale: Scale = field(default_factory=lambda: Scale("minmax"))
    dtype: str = "float64"
    overwrite: bool = False


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
        max_memory: bytes, a share of the available memory as a float up to 1, or None for half.
        skip: go on without the files that cannot be used.
        dry_run: check everything that can be checked and write nothing.
    """

    selection: Selection
    output: OutputRequest
    policy: ReadPolicy = field(default_factory=ReadPolicy)
    layer: LayerRequest = field(default_factory=LayerRequest)
    backward: BackwardRequest | None = None
    jobs: int | None = None
    max_memory: float | None = None
    skip: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        _choice("mode", self.policy.mode, MODES)
        _choice("alpha", self.policy.alpha, ALPHAS)
        _choice("frames", self.policy.frames, FRAMES)
        _choice("format", self.output.picture_format, FORMATS)
        _choice("depth", self.output.depth, DEPTHS)
        _choice("dtype", self.output.dtype, DTYPES)
        if self.jobs is not None and self.jobs < 1:
            raise OptionError(f"--jobs is {self.jobs}; it must be at least 1, or auto")
        if self.max_memory is not None and self.max_memory <= 0:
            raise OptionError(f"--max-memory is {self.max_memory}; it must be above 0")
        if self.skip and self.backward is not None:
            raise OptionError(
                "--on-error skip does not go with --delta: its rows would belong to other pictures"
            )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"--{name} is {value}; choose {', '.join(choices)}")


class NormalizeOptions(TypedDict, total=False):
    """The options of ``bncli normalize``, by the names they have on the command line."""

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]
    gamma: str | float | Path
    beta: str | float | Path
    seed: int
    eps: float
    delta: str | Path | None
    update: bool
    lr: float
    momentum: float
    decay: float
    lr_decay: float
    state: str | Path | None
    mode: str
    alpha: str
    frames: str
    resize: tuple[int, int] | None
    max_pixels: int
    scale: str
    format: str
    depth: str
    dtype: str
    jobs: int | None
    max_memory: float | None
    on_error: str
    overwrite: bool
    dry_run: bool


def build_request(
    sources: Sequence[str | Path], out: str | Path, options: NormalizeOptions
) -> NormalizeRequest:
    """Group the options of a run, and check those that need no file.

    Raises:
        OptionError: an option has an impossible value, or does not go with another.
    """
    _choice("on-error", options.get("on_error", "fail"), ON_ERROR)
    return NormalizeRequest(
        selection=Selection(
            sources=tuple(map(str, sources)),
            recursive=options.get("recursive", False),
            include=tuple(options.get("include", ())),
            exclude=tuple(options.get("exclude", ())),
        ),
        output=OutputRequest(
            folder=Path(out),
            picture_format=options.get("format", "png"),
            depth=options.get("depth", "auto"),
            scale=Scale.parse(options.get("scale", "minmax")),
            dtype=options.get("dtype", "float64"),
            overwrite=options.get("overwrite", False),
        ),
        policy=ReadPolicy(
            mode=options.get("mode", "keep"),
            alpha=options.get("alpha", "keep"),
            frames=options.get("frames", "error"),
            resize=options.get("resize"),
            max_pixels=options.get("max_pixels", MAX_PIXELS),
        ),
        layer=LayerRequest(
            gamma=str(options.get("gamma", "1")),
            beta=str(options.get("beta", "0")),
            seed=options.get("seed", 0),
            eps=options.get("eps", 1e-8),
        ),
        backward=_backward_request(options),
        jobs=options.get("jobs"),
        max_memory=options.get("max_memory"),
        skip=options.get("on_error") == "skip",
        dry_run=options.get("dry_run", False),
    )


def _backward_request(options: NormalizeOptions) -> BackwardRequest | None:
    delta, update, state = options.get("delta"), options.get("update", False), options.get("state")
    if delta is None:
        if update:
            raise OptionError("--update needs the gradients of a backward pass: give --delta")
        if state is not None:
            raise OptionError("--state goes on with a descent: give --delta and --update")
        return None
    if state is not None and not update:
        raise OptionError("--state goes on with a descent: give --update")
    return BackwardRequest(
        delta=str(delta),
        update=update,
        lr=options.get("lr", 0.01),
        momentum=options.get("momentum", 0.0),
        decay=options.get("decay", 0.0),
        lr_decay=options.get("lr_decay", 1.0),
        state=None if state is None else Path(state),
    )
