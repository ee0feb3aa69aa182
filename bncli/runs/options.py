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
LAYOUTS = ("image", "nchw", "flat", "ntd", "nhwc", "dn")
ENGINES = ("local", "processes", "dask")
SHELLS = ("bash", "zsh", "fish")
RESTORED_FORMATS = ("auto", *FORMATS)
_WHEN = ("auto", "always", "never")


class Opt(NamedTuple):
    """An option as a user meets it.

    Attributes:
        help: one sentence.
        takes: words to choose from; ``bool``, ``float``, or the least whole number; what a value
            may be, as the help shows it; or a type of the command line by its name, and what the
            help calls a value: ``:size WxH``, ``:file FILE.png``.
        default: where nothing is given.
        shown: the default in words, where it is not the value itself.
        short: its letter.
        decides: whether the bytes of a result depend on it, given the pictures of a run: those of
            equal pictures and equal options of this kind are equal.
        required: whether there is no run without it.
    """

    help: str
    takes: Any = bool
    default: Any = None
    shown: str = ""
    short: str = ""
    decides: bool = False
    required: bool = False


class Arg(NamedTuple):
    """An argument of a command, known by its place.

    Attributes:
        takes: as of :class:`Opt`.
        many: whether it is all that is named.
        required: whether there is no run without it.
    """

    takes: Any
    many: bool = False
    required: bool = True


class Statistics(TypedDict):
    """Input: saved statistics."""

    statistics: Annotated[str, Arg(":file FILE.npz")]


class Sources(TypedDict):
    """Input: where pictures are."""

    sources: Annotated[Sequence[str], Arg(":file [SRC]...", many=True, required=False)]
    files_from: Annotated[str | None, Opt(
        "Also take the files named in FILE, one a line (or ended by NUL); - is stdin.",
        ":list FILE")]  # fmt: skip


class Input(TypedDict, total=False):
    """Input: which files."""

    recursive: Annotated[bool, Opt("Search the folders inside SRC too.", short="-r")]
    include: Annotated[Sequence[str], Opt("Only files that match.", ":texts GLOB", ())]
    exclude: Annotated[Sequence[str], Opt("No files that match.", ":texts GLOB", ())]
    max_pixels: Annotated[int, Opt("Refuse larger pictures unread.", 1, MAX_PIXELS)]


class Frames(TypedDict, total=False):
    """Input: which pictures of a file."""

    frames: Annotated[str, Opt(
        "What to do with a file of several frames: refuse it, or take the first or all.",
        FRAMES, "error", decides=True)]  # fmt: skip


class Reading(TypedDict, total=False):
    """Input: how files become arrays."""

    mode: Annotated[str, Opt(
        "Colour mode; keep wants all files to agree.", MODES, "keep", decides=True)]  # fmt: skip
    alpha: Annotated[str, Opt(
        "Copy the alpha channel through, drop it, or normalize it like the others.",
        ALPHAS, "keep", decides=True)]  # fmt: skip
    resize: Annotated[tuple[int, int] | None, Opt(
        "Bring every picture to this size; else sizes must agree.",
        ":size WxH", decides=True)]  # fmt: skip


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
    lr: Annotated[float | None, Opt(
        "Learning rate of the step.", float, shown="0.01", decides=True)]  # fmt: skip
    momentum: Annotated[float | None, Opt(
        "How much of the last step is kept.", float, shown="0", decides=True)]  # fmt: skip
    decay: Annotated[float | None, Opt("Weight decay.", float, shown="0", decides=True)]
    lr_decay: Annotated[float | None, Opt(
        "Factor on the rate after each step.", float, shown="1", decides=True)]  # fmt: skip
    state: Annotated[str | Path | None, Opt(
        "The state.npz of the last run: momentum and rate go on from there.",
        ":file FILE.npz", decides=True)]  # fmt: skip


class Fitting(TypedDict, total=False):
    """Layer: which statistics are kept."""

    ddof: Annotated[int, Opt(
        "1: apply and invert divide the variance by the count less 1, as the paper infers.",
        ":0-1 N", 0, decides=True)]  # fmt: skip
    batch_size: Annotated[int | None, Opt(
        "Keep running statistics over batches of N, as the training mode of BatchNorm does.",
        2, decides=True)]  # fmt: skip
    momentum: Annotated[float | str | None, Opt(
        "Of running statistics; none averages.", "M|none", shown="0.1", decides=True)]  # fmt: skip


class OutFolder(TypedDict):
    """Output: where pictures go."""

    out: Annotated[str, Opt("Folder for the results.", ":file OUT", short="-o", required=True)]


class OutFile(TypedDict):
    """Output: where statistics go."""

    out: Annotated[str, Opt("The file to write.", ":file FILE.npz", short="-o", required=True)]


class Parts(TypedDict, total=False):
    """Output: statistics in parts."""

    shard: Annotated[str | None, Opt(
        "Every N-th picture from the I-th on, to be merged.", "I/N", decides=True)]  # fmt: skip
    update_from: Annotated[str | Path | None, Opt(
        "Add the pictures to those of this file.", ":file FILE.npz", decides=True)]  # fmt: skip


class Writing(TypedDict, total=False):
    """Output: how y is written."""

    scale: Annotated[str | None, Opt(
        "Which y are black and white: the least and greatest of the batch, or of each picture; "
        "mean -/+ K standard deviations; LO and HI; 0 and 1.",
        "minmax|image|sigma:K|LO:HI|none", shown="minmax", decides=True)]  # fmt: skip
    format: Annotated[str, Opt("Of the results.", tuple(FORMATS), "png", decides=True)]
    depth: Annotated[str, Opt("Bits of PNG.", DEPTHS, "auto", decides=True)]
    dtype: Annotated[str, Opt("Of all arrays.", DTYPES, "float64", decides=True)]


class Carrying(TypedDict, total=False):
    """Output: what is copied from each file."""

    keep_metadata: Annotated[bool, Opt(
        "Copy EXIF (saying upright), XMP and resolution to PNG and TIFF results.",
        decides=True)]  # fmt: skip


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

    jobs: Annotated[int | None, Opt("How many threads.", ":jobs auto|N", shown="auto")]
    max_memory: Annotated[int | float | None, Opt(
        "Memory the run may take: 512M, 2GiB, 50% of what is available.",
        ":memory auto|SIZE|N%", shown="auto")]  # fmt: skip
    overwrite: Annotated[bool, Opt("Replace the files of an earlier run.")]
    dry_run: Annotated[bool, Opt("Decode and check all, write nothing.", short="-n")]
    engine: Annotated[str, Opt(
        "Where pictures are read and written: on threads, in processes that may crash or stall, or "
        "on a Dask cluster.", ENGINES, "local")]  # fmt: skip
    timeout: Annotated[float | None, Opt(
        "What one file may take, with --engine processes.",
        ":number SECONDS", shown="60")]  # fmt: skip
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


class NormalizeOptions(Input, Reading, Frames, Layer, Writing, Carrying, Training, Skipping,
                       Running, Resuming, Drawing, total=False):  # fmt: skip
    """The options of ``bncli normalize``, by the names they have on the command line."""


class FitOptions(Input, Reading, Frames, Layer, Fitting, Parts, Skipping, Running, total=False):
    """The options of ``bncli fit``, by the names they have on the command line."""


class ApplyOptions(
    Input, Frames, Writing, Carrying, Skipping, Running, Resuming, Drawing, total=False
):
    """The options of ``bncli apply``, by the names they have on the command line."""


class InvertOptions(Input, Restoring, Carrying, Skipping, Running, Resuming, total=False):
    """The options of ``bncli invert``, by the names they have on the command line."""


class Merged(TypedDict):
    """Input: the files to join."""

    files: Annotated[Sequence[str], Arg(":file FILE.npz...", many=True)]


class MergeOptions(TypedDict, total=False):
    """Output: what becomes of an earlier file."""

    overwrite: Annotated[bool, Opt("Replace an earlier file.")]


class Inspected(TypedDict):
    """Input: the file to look into."""

    file: Annotated[str, Arg(":file FILE.npz")]


class CheckTarget(TypedDict):
    """Target: code, so it may stand on the command line alone."""

    target: Annotated[str | None, Arg(":target [TARGET]", required=False)]


class Question(TypedDict):
    """Question: on what a backward pass is checked."""

    images: Annotated[Sequence[str], Opt(
        "Check on these pictures at full size: a folder, file, glob, or .npy batch.",
        ":files SRC", ())]  # fmt: skip
    limit: Annotated[int | None, Opt(
        "At most so many of them, the first.", 2, shown="what takes a minute")]  # fmt: skip
    shape: Annotated[tuple[int, int, int, int] | None, Opt(
        "Of the probe, where there is no SRC.", ":shape B,W,H,C", shown="5,3,4,2")]  # fmt: skip
    delta: Annotated[str, Opt("Gradient of the loss.", "FILE.npy|random", "random")]
    eps: Annotated[float | None, Opt(
        "To make the layer with.", float, shown="the layer's own, or 1e-8")]  # fmt: skip
    dtype: Annotated[str, Opt("Of the backward.", DTYPES, "float64")]
    seed: Annotated[int, Opt("Of everything random.", 0, 0)]
    seeds: Annotated[int, Opt(
        "Check at so many seeds, from --seed on; the first failure is told.", 1, 1)]  # fmt: skip
    only: Annotated[Sequence[str], Opt(
        "Ask for these gradients alone: grad_input, grad_gamma, grad_beta; the verdict is on them.",
        ":texts GRADIENT,...", ())]  # fmt: skip
    tolerance: Annotated[float | None, Opt(
        "Relative error allowed.", float, shown="derived per pixel")]  # fmt: skip


class Calling(TypedDict):
    """Target: how it is called."""

    timeout: Annotated[float, Opt(
        "The longest that any one call into TARGET may take.",
        ":above-0 SECONDS", 60.0, "60")]  # fmt: skip
    layout: Annotated[str, Opt(
        "How it takes arrays: image is (batch, w, h, c), nchw (N, C, H, W), flat (N, D), ntd "
        "(N, T, D), nhwc (N, H, W, C), dn (D, N); auto asks in all in which it works.",
        ("auto", *LAYOUTS), "auto")]  # fmt: skip
    argument: Annotated[Sequence[tuple[str, str]], Opt(
        "A further argument, wherever it is taken by that name: by the constructor, forward or "
        "backward; VALUE is a Python literal or text.",
        ":pairs NAME=VALUE", ())]  # fmt: skip
    protocol: Annotated[Sequence[tuple[str, str]], Opt(
        "Where something is that cannot be found out. KEY is gamma, beta, eps, input_shape, "
        "forward, backward, delta, grad_input, grad_gamma or grad_beta; PLACE is a name or a path: "
        "params.g, grads[0], returned[1], returned.dx; forward=learn names the method.",
        ":pairs KEY=PLACE", ())]  # fmt: skip
    self_test: Annotated[bool, Opt("Put planted bugs to the checker itself.")]


class CheckFiles(TypedDict):
    """Output: what is drawn of a check."""

    heatmap: Annotated[str | None, Opt("Write error maps there.", ":file DIR")]
    report: Annotated[str | None, Opt("Write a page to read.", ":file FILE.html")]


class GradcheckOptions(Question, Calling, CheckFiles):
    """The options of ``bncli gradcheck``, by the names they have on the command line."""


class Shell(TypedDict):
    """Input: which shell."""

    shell: Annotated[str, Arg(SHELLS)]


class Streams(TypedDict):
    """Streams: what is printed."""

    json: Annotated[bool, Opt("Print one JSON document on stdout.")]
    quiet: Annotated[bool, Opt("Print nothing but warnings, errors and --json.", short="-q")]
    verbose: Annotated[bool, Opt("Say what was decided, on stderr.", short="-v")]
    color: Annotated[str, Opt(
        "Colours and boxes; auto wants a terminal, and minds NO_COLOR and FORCE_COLOR.",
        _WHEN, "auto")]  # fmt: skip
    progress: Annotated[str, Opt(
        "A bar on a terminal, else a line on stderr every 30 s; always: also with -q.",
        _WHEN, "auto")]  # fmt: skip
    debug: Annotated[bool, Opt("Show the trace of a bug.")]


class Config(TypedDict):
    """Options: where others come from."""

    config: Annotated[str | None, Opt(
        "Options that are not given here nor in the environment.",
        ":config FILE.toml")]  # fmt: skip


_GROUPS: tuple[Any, ...] = (
    Statistics, Merged, Inspected, CheckTarget, Shell, Sources, Input, Reading, Frames, Layer,
    Training, Fitting, OutFolder, OutFile, MergeOptions, Parts, Writing, Restoring, Carrying,
    Skipping, Running, Resuming, Drawing, Question, Calling, CheckFiles, Streams, Config,
)  # fmt: skip
"""In the order of every help page."""

COMMANDS: dict[str, tuple[Any, ...]] = {
    "normalize": (Sources, OutFolder, NormalizeOptions, Streams, Config),
    "fit": (Sources, OutFile, FitOptions, Streams, Config),
    "merge": (Merged, OutFile, MergeOptions, Streams, Config),
    "inspect": (Inspected, Streams, Config),
    "apply": (Statistics, Sources, OutFolder, ApplyOptions, Streams, Config),
    "invert": (Statistics, Sources, OutFolder, InvertOptions, Streams, Config),
    "gradcheck": (CheckTarget, GradcheckOptions, Streams, Config),
    "doctor": (Streams, Config),
    "completion": (Shell, Config),
}
"""Command -> what it takes; of those with a Python twin the keywords of that are one of them."""


def groups_of(command: str) -> list[Any]:
    """The groups that the options of a command are made of, in the order of its help."""
    names = {
        name: hint for part in COMMANDS[command] for name, hint in part.__annotations__.items()
    }
    return [
        group for group in _GROUPS
        if all(names.get(name) == hint for name, hint in group.__annotations__.items())
    ]  # fmt: skip
