"""Every option of every command, declared once: its type, its words, its default and its help.

The functions of the package take them by these names; the command line is made from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

from bncli.images.formats import FORMATS
from bncli.images.policy import ALPHAS, FRAMES, MAX_PIXELS, MODES

DEPTHS = ("auto", "8", "16")
DTYPES = ("float64", "float32")
ENGINES = ("local", "processes", "dask")
RESTORED_FORMATS = ("auto", *FORMATS)


class Opt(NamedTuple):
    """An option as a user meets it.

    Attributes:
        help: one sentence.
        takes: words to choose from; ``bool``, ``float``, or the least whole number; what a value
            may be, as the help shows it; or the name of a type of the command line: ``:size``.
        default: where nothing is given.
        shown: the default in words, where it is not the value itself.
        short: its letter.
        decides: whether the bytes of a result depend on it.
    """

    help: str
    takes: Any = bool
    default: Any = None
    shown: str = ""
    short: str = ""
    decides: bool = False


class Input(TypedDict, total=False):
    """Input: which files."""

    recursive: Annotated[bool, Opt("Search the folders inside SRC too.", short="-r")]
    include: Annotated[Sequence[str], Opt("Only files that match.", ":globs", ())]
    exclude: Annotated[Sequence[str], Opt("No files that match.", ":globs", ())]
    max_pixels: Annotated[int, Opt("Refuse larger pictures unread.", 1, MAX_PIXELS)]


class Frames(TypedDict, total=False):
    """Input: which pictures of a file."""

    frames: Annotated[str, Opt(
        "What to do with a file of several frames: refuse it, or take the first or all.",
        FRAMES, "error", decides=True)]  # fmt: skip


class Reading(TypedDict, total=False):
    """Input: how files become arrays."""

    mode: Annotated[
        str, Opt("Colour mode; keep wants all files to agree.", MODES, "keep", decides=True)
    ]
    alpha: Annotated[str, Opt(
        "Copy the alpha channel through, drop it, or normalize it like the others.",
        ALPHAS, "keep", decides=True)]  # fmt: skip
    resize: Annotated[tuple[int, int] | None, Opt(
        "Bring every picture to this size; else sizes must agree.", ":size", decides=True)]  # fmt: skip


class Layer(TypedDict, total=False):
    """Layer: gamma, beta and eps."""

    gamma: Annotated[str | float | Path, Opt(
        "Scale, of shape (w, h, c).", "NUMBER|random|FILE.npy", "1", decides=True)]  # fmt: skip
    beta: Annotated[str | float | Path, Opt(
        "Shift, of shape (w, h, c).", "NUMBER|random|FILE.npy", "0", decides=True)]  # fmt: skip
    seed: Annotated[int, Opt("Of everything random.", 0, 0, decides=True)]
    eps: Annotated[float, Opt("Added to the variance, above 0.", float, 1e-8, decides=True)]


class Training(TypedDict, total=False):
    """Layer: the backward pass, and the step after it."""

    delta: Annotated[str | Path | None, Opt(
        "Run the backward with this gradient of the loss, of shape (batch, w, h, c).",
        "FILE.npy|ones|random", decides=True)]  # fmt: skip
    update: Annotated[bool, Opt("Take a step of SGD on gamma and beta.", decides=True)]
    lr: Annotated[
        float | None, Opt("Learning rate of the step.", float, shown="0.01", decides=True)
    ]
    momentum: Annotated[float | None, Opt("How much of the last step is kept.", float, shown="0")]
    decay: Annotated[float | None, Opt("Weight decay.", float, shown="0", decides=True)]
    lr_decay: Annotated[
        float | None, Opt("Factor on the rate after each step.", float, shown="1", decides=True)
    ]
    state: Annotated[str | Path | None, Opt(
        "The state.npz of the last run: momentum and rate go on from there.",
        ":file FILE.npz", decides=True)]  # fmt: skip


class Fitting(TypedDict, total=False):
    """Layer: which statistics are kept."""

    ddof: Annotated[int, Opt(
        "1: apply and invert divide the variance by the count less 1, as the paper infers.",
        ":0-1", 0)]  # fmt: skip
    batch_size: Annotated[int | None, Opt(
        "Keep running statistics over batches of N, as the training mode of BatchNorm does.",
        2)]  # fmt: skip
    momentum: Annotated[float | str | None, Opt(
        "Of running statistics; none averages.", "M|none", shown="0.1")]  # fmt: skip


class Parts(TypedDict, total=False):
    """Output: statistics in parts."""

    shard: Annotated[str | None, Opt("Every N-th picture from the I-th on, to be merged.", "I/N")]
    update_from: Annotated[str | Path | None, Opt(
        "Add the pictures to those of this file.", ":file FILE.npz")]  # fmt: skip


class Writing(TypedDict, total=False):
    """Output: how y is written."""

    scale: Annotated[str | None, Opt(
        "Which y are black and white: the least and greatest of the batch, or of each picture; "
        "mean -/+ K standard deviations; LO and HI; 0 and 1.",
        "minmax|image|sigma:K|LO:HI|none", shown="minmax", decides=True)]  # fmt: skip
    format: Annotated[str, Opt("Of the results.", tuple(FORMATS), "png", decides=True)]
    depth: Annotated[str, Opt("Bits of PNG.", DEPTHS, "auto", decides=True)]
    dtype: Annotated[str, Opt("Of all arrays.", DTYPES, "float64", decides=True)]


class Restoring(TypedDict, total=False):
    """Output: how pixel values are restored."""

    scale: Annotated[str | None, Opt(
        "The y that are black and white, where no summary.json beside the PNG files says so.",
        "LO:HI|none", decides=True)]  # fmt: skip
    format: Annotated[str, Opt(
        "Of the results; auto is png, tiff for floating-point pictures, npy for a .npy batch.",
        RESTORED_FORMATS, "auto", decides=True)]  # fmt: skip
    exact: Annotated[bool, Opt("Refuse what cannot be restored exactly.")]


class Skipping(TypedDict, total=False):
    """Running: what becomes of a batch with faults."""

    on_error: Annotated[str, Opt(
        "Refuse the batch, or go on without the files that cannot be used (exit 3).",
        ("fail", "skip"), "fail")]  # fmt: skip


class Running(TypedDict, total=False):
    """Running: how a run goes, and where."""

    jobs: Annotated[int | None, Opt("How many threads.", ":jobs")]
    max_memory: Annotated[int | float | None, Opt(
        "Memory the run may take: 512M, 2GiB, 50% of what is available.", ":memory")]  # fmt: skip
    overwrite: Annotated[bool, Opt("Replace the files of an earlier run.")]
    dry_run: Annotated[bool, Opt("Decode and check all, write nothing.", short="-n")]
    engine: Annotated[str, Opt(
        "Where pictures are read and written: on threads, in processes that may crash or stall, or "
        "on a Dask cluster.", ENGINES, "local")]  # fmt: skip
    timeout: Annotated[float | None, Opt(
        "What one file may take, with --engine processes.", ":seconds", shown="60")]  # fmt: skip
    scheduler: Annotated[str | None, Opt(
        "Of the Dask cluster; without it, workers are started on this machine.",
        "ADDRESS|FILE")]  # fmt: skip
    tls_ca: Annotated[str | Path | None, Opt("Whom to trust, for tls://.", ":file FILE")]
    tls_cert: Annotated[str | Path | None, Opt("Own certificate.", ":file FILE")]
    tls_key: Annotated[str | Path | None, Opt("Own key.", ":file FILE")]


class Resuming(TypedDict, total=False):
    """Running: what becomes of a run that was broken off."""

    resume: Annotated[bool, Opt(
        "Go on with the same run where it was broken off; keep what is whole if this one is.",
    )]  # fmt: skip


class Drawing(TypedDict, total=False):
    """Drawings: what is drawn of a run; ``command`` is the command line, which a report tells."""

    contact_sheet: Annotated[str | Path | None, Opt(
        "Draw some pictures before and after, mean, deviation and gradients.",
        ":file FILE.png")]  # fmt: skip
    report: Annotated[str | Path | None, Opt(
        "Write a page to read: numbers, pictures, histograms, hashes (extra: report).",
        ":file FILE.html")]  # fmt: skip
    command: str


class NormalizeOptions(Input, Reading, Frames, Layer, Training, Writing, Skipping, Running,
                       Resuming, Drawing, total=False):  # fmt: skip
    """The options of ``bncli normalize``, by the names they have on the command line."""


class FitOptions(Input, Reading, Frames, Layer, Fitting, Parts, Skipping, Running, total=False):
    """The options of ``bncli fit``, by the names they have on the command line."""


class ApplyOptions(Input, Frames, Writing, Skipping, Running, Resuming, Drawing, total=False):
    """The options of ``bncli apply``, by the names they have on the command line."""


class InvertOptions(Input, Restoring, Skipping, Running, Resuming, total=False):
    """The options of ``bncli invert``, by the names they have on the command line."""


_GROUPS: tuple[Any, ...] = (
    Input, Reading, Frames, Layer, Training, Fitting, Parts, Writing, Restoring, Skipping, Running,
    Resuming, Drawing,
)  # fmt: skip


def groups_of(command: Any) -> list[Any]:
    """The groups that the options of a command are made of, in the order of its help."""
    names = command.__annotations__
    return [
        group for group in _GROUPS
        if all(names.get(name) is hint for name, hint in group.__annotations__.items())
    ]  # fmt: skip
