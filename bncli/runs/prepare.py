"""A request found possible: everything that can be checked without decoding is checked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bncli.engines.work import Engine
from bncli.errors import OptionError, OutputError, SinglePictureError
from bncli.images.encode import output_name
from bncli.images.folder import Found
from bncli.images.png import encoder_name
from bncli.runs.asked import Asked, Output
from bncli.runs.identity import key_so_far
from bncli.runs.parameters import Descent, Parameter, delta_rows, load_parameter
from bncli.runs.plan import Plan, check_disk, free_disk, make_plan
from bncli.runs.reading import DeltaRows, refuse
from bncli.runs.showing import Showing
from bncli.runs.source import Source, open_source
from bncli.runs.summary import PlanFacts, RunSummary
from bncli.storage.apart import check_apart, check_not_read
from bncli.storage.output import RunFolder
from bncli.storage.placing import settle
from bncli.version import __version__

NORMALIZED, STATS, STATE = "normalized.npy", "stats.npz", "state.npz"
GRAD_INPUT, GRAD_GAMMA, GRAD_BETA = "grad_input.npy", "grad_gamma.npy", "grad_beta.npy"
_WRITABLE_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What a run needs to begin.

    Attributes:
        request: what the user asked.
        source: the pictures.
        plan: how the machine is used.
        gamma, beta: the parameters.
        delta: gives the delta of one picture; None without a backward pass.
        descent: where the descent stands; None without an update.
        folder: where the results go.
        names: the file that each picture of the source is written to; none for one array.
        showing: the files in which the run is drawn.
        summary: of the run, as far as it is known.
    """

    request: Asked
    source: Source
    plan: Plan
    gamma: Parameter
    beta: Parameter
    delta: DeltaRows | None
    descent: Descent | None
    folder: RunFolder
    names: Sequence[str]
    showing: Showing
    summary: RunSummary

    def decisions(self) -> list[str]:
        """What was decided, in words."""
        names, plan = self.source.names, self.plan
        decoded = "once, and kept" if plan.cached else "twice, and not kept"
        memory, limit, disk = (size / 1e6 for size in (plan.memory, plan.limit, plan.disk))
        encoder = {"isal": "isal", "zlib": "zlib (the extra fast is several times as fast)"}
        lines = [
            f"{len(names)} pictures in natural order, from {names[0]} to {names[-1]}",
            f"each is decoded {decoded}; {plan.jobs} {'threads' if plan.jobs > 1 else 'thread'}",
            f"{memory:,.0f} MB of memory of {limit:,.0f} MB allowed; {disk:,.0f} MB of disk",
        ]
        if self.request.output.picture_format == "png":
            lines.append(f"PNG is packed by {encoder[encoder_name()]}")
        return lines


class WritesPictures(Protocol):
    """A request that says what is written."""

    @property
    def output(self) -> Output:
        """What is written and where."""


def prepare(request: Asked, engine: Engine) -> Job:
    """Look at everything a run will use, and write nothing.

    Raises:
        BncliError: something cannot be used.
    """
    source, found = open_source(request.selection, request.policy, engine)
    check_apart(request.output.folder, found.roots, found.parents)
    if not request.dry_run:
        settle(request.output.folder)
    if source.faults and not request.skip:
        refuse(source, engine)
    count, backward = len(source.names), request.backward
    if count == 1:
        raise SinglePictureError(
            f"{source.names[0]}: it is the only picture, so every output would be beta; give two "
            "or more",
            paths=(source.names[0],),
        )
    gamma, beta = (load_parameter(name, request.layer, source.shape) for name in ("gamma", "beta"))
    delta = descent = None
    if backward is not None:
        delta = delta_rows(backward, request.layer.seed, count, source.shape)
        if backward.update:
            descent = Descent.start(len(gamma.values))
            if backward.state is not None:
                descent = Descent.load(backward.state, source.shape)
    summary = _blank_summary(request, source, found, gamma, beta)
    plan = _planned(request, source, summary)
    engine.narrow(plan.jobs)
    check_alpha(request, source)
    pictures = planned_pictures(request, source.names, source.shape[2])
    names = [*pictures, *array_names(request, gamma, beta)]
    key = key_so_far(request, source, gamma, beta, descent)
    folder = _folder(request, source, names, key)
    showing = Showing(request.show, request.output, names)
    showing.check_apart(found.roots, source.paths)
    return Job(
        request, source, plan, gamma, beta, delta, descent, folder, pictures, showing, summary
    )


def _blank_summary(
    request: Asked, source: Source, found: Found, gamma: Parameter, beta: Parameter
) -> RunSummary:
    return RunSummary(
        version=__version__,
        count=len(source.names),
        shape=source.shape,
        dtype=source.dtype.name,
        ignored=found.ignored,
        excluded=found.excluded,
        eps=request.layer.eps,
        gamma=gamma.origin,
        beta=beta.origin,
        seed=request.layer.seed,
        faults=source.faults,
        alpha=request.policy.alpha,
        with_alpha=source.with_alpha,
    )


def _folder(
    request: Asked, source: Source, names: Sequence[str], key: Mapping[str, Any]
) -> RunFolder:
    check_not_read(request.output.folder, names, source.paths)
    output = request.output
    return RunFolder(
        output.folder, names, overwrite=output.overwrite, resume=output.resume, key=key
    )


def _planned(request: Asked, source: Source, summary: RunSummary) -> Plan:
    """The plan, found possible; of a dry run it is what the summary tells."""
    plan = make_plan(source, request)
    if not request.output.resume:  # what is there already takes no more room
        check_disk(plan, request.output.folder)
    if request.dry_run:
        decodes, free = 1 if plan.cached else 2, free_disk(request.output.folder)
        summary.plan = PlanFacts(plan.jobs, plan.memory, plan.disk, decodes, disk_free_bytes=free)
    return plan


def check_alpha(request: WritesPictures, source: Source) -> None:
    """One array has no place for the alpha channel that is to be copied through."""
    if request.output.picture_format == "npy" and source.alpha_kept:
        raise OptionError(
            "--format npy has no place for the alpha channel of the pictures; choose --alpha drop "
            "or --alpha normalize, or another format"
        )


def planned_pictures(request: WritesPictures, names: Sequence[str], channels: int) -> list[str]:
    """The picture files of a run, found to be all different; none for one array.

    Raises:
        OptionError: the pictures have more channels than picture files.
        OutputError: two pictures would be written to one file.
    """
    picture_format = request.output.picture_format
    if picture_format == "npy":
        return []
    if channels > _WRITABLE_CHANNELS:
        raise OptionError(
            f"--format {picture_format}: the pictures have {channels} channels, and "
            f"picture files at most {_WRITABLE_CHANNELS}; choose --format npy"
        )
    outputs = [output_name(name, picture_format) for name in names]
    times = Counter(outputs)
    shared = defaultdict(list)
    for name, output in zip(names, outputs, strict=True):
        if times[output] > 1:
            shared[output].append(name)
    if shared:
        raise OutputError(
            *(
                f"{' and '.join(names)}: all would be written to {output}; rename them or "
                "choose --format npy"
                for output, names in shared.items()
            ),
            paths=tuple(name for names in shared.values() for name in names),
        )
    return outputs


def array_names(request: Asked, gamma: Parameter, beta: Parameter) -> list[str]:
    """The arrays that the run leaves."""
    backward = request.backward
    update = backward is not None and backward.update
    wanted = {
        NORMALIZED: request.output.picture_format == "npy",
        GRAD_INPUT: backward is not None,
        GRAD_GAMMA: backward is not None,
        GRAD_BETA: backward is not None,
        "gamma.npy": gamma.random or update,
        "beta.npy": beta.random or update,
        STATE: update,
        STATS: True,
    }
    return [name for name, written in wanted.items() if written]
