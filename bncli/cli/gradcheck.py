"""``bncli gradcheck``."""

from __future__ import annotations

from typing import Any

import click

from bncli.cli import check_types, options
from bncli.cli.help_page import section
from bncli.cli.values import Number, OneOf, Whole
from bncli.runs.options import DTYPES


@click.command("gradcheck")
@click.argument("target", required=False, type=check_types.Target())
@section(
    "Question",
    click.option(
        "--images",
        metavar="SRC",
        multiple=True,
        type=click.Path(readable=False),
        help="Check on these pictures at full size: a folder, file, glob, or .npy batch.",
    ),
    click.option(
        "--shape",
        type=check_types.BatchShape(),
        show_default="5,3,4,2",
        help="Of the probe, where there is no SRC.",
    ),
    click.option(
        "--delta", type=OneOf("FILE.npy|random"), default="random", help="Gradient of the loss."
    ),
    click.option(
        "--eps",
        type=Number(),
        show_default="the layer's own, or 1e-8",
        help="To make the layer with.",
    ),
    click.option("--dtype", type=click.Choice(DTYPES), default="float64", help="Of the backward."),
    click.option("--seed", type=Whole(min=0), default=0, help="Of everything random."),
    click.option(
        "--tolerance",
        type=Number(),
        show_default="derived per pixel",
        help="Relative error allowed.",
    ),
)
@section(
    "Target",
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default="60",
        help="The longest that any one call into TARGET may take.",
    ),
    click.option(
        "--protocol",
        metavar="KEY=VALUE",
        multiple=True,
        type=check_types.KeyValue(),
        help="What cannot be found out: gamma, beta, eps, input_shape, grad_gamma, grad_beta "
        "(names), layout (image, flat), delta (argument, attribute), "
        "grad_input (returned, overwritten, added, attribute:NAME).",
    ),
    click.option(
        "--argument",
        metavar="NAME=VALUE",
        multiple=True,
        type=check_types.KeyValue(),
        help="A further argument of the constructor or forward; VALUE is a Python literal or text.",
    ),
    click.option("--self-test", is_flag=True, help="Put planted bugs to the checker itself."),
)
@section(
    "Output",
    click.option(
        "--heatmap", metavar="DIR", type=click.Path(readable=False), help="Write error maps there."
    ),
    click.option(
        "--report",
        metavar="FILE.html",
        type=click.Path(readable=False),
        help="Write a page to read.",
    ),
)
@options.streams
def command(
    target: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    color: str,
    progress: str,
    debug: bool,
    self_test: bool,
    **chosen: Any,
) -> int:
    """Check the backward pass of TARGET against the derivative of its own forward.

    TARGET is module:Class, file.py:Class, or file.py:forward,backward; without it, bncli's own
    layer is checked. TARGET is code, and it is run, in a process of its own. Exit code 0: the
    gradient is right; 1: it is wrong; 2: TARGET cannot be used; 3: inconclusive.

    \b
    Examples:
      bncli gradcheck
      bncli gradcheck --images sample_images
      bncli gradcheck my_layer.py:BatchNorm
    """
    from bncli.cli.show import Display
    from bncli.cli.show_gradcheck import check_and_show, self_test_and_show

    del debug  # read by the entry point
    display = Display(as_json=as_json, quiet=quiet, verbose=verbose, color=color, progress=progress)
    if self_test:
        return self_test_and_show(display, chosen["seed"])
    return check_and_show(display, target, chosen)
