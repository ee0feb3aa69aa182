"""What the comparison asks: a name and the steps, which are command lines or a little Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Step:
    """One process.

    Attributes:
        words: after the interpreter and what *how* stands for.
        how: `command`; `python`: code and its arguments, `shell`: one line.
    """

    words: tuple[str, ...]
    how: Literal["command", "python", "shell"] = "command"


Case = tuple[str, tuple[Step, ...]]

KILLED = """
import os, signal, sys, bncli
command, after, *places = sys.argv[1:]

def progress(stage, done, total):
    if stage not in ("read", "check") and done == int(after):
        os.kill(os.getpid(), signal.SIGKILL)

options = eval(places.pop())
getattr(bncli, f"{command}_folder")(*places, progress=progress, **options)
"""
"""The Python twin of a command, killed when the writing has come so far."""

WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from bncli.__main__ import main
main()
"""
"""The command, without an extra."""

FULL = """
import os, sys
real = os.statvfs
def told(path):
    fields = list(real(path))
    fields[:2], fields[3:5] = [1, 1], [300, 300]
    return os.statvfs_result(fields)
os.statvfs = told
from bncli.__main__ import main
main()
"""
"""The command, on a disk with next to no room."""

LAYER = """
import hashlib, numpy as np, bncli
x, delta = np.random.default_rng(0).standard_normal((2, 6, 5, 4, 3))
layer = bncli.BatchNorm(np.full((5, 4, 3), 1.5), np.full((5, 4, 3), 0.5))
layer.forward(x)
layer.delta = delta
layer.backward()
for name in ("output", "grad_input", "scales_updates", "bias_updates", "mean"):
    print(name, hashlib.sha256(np.ascontiguousarray(getattr(layer, name))).hexdigest())
layer.update(lr=0.1, momentum=0.5, decay=0.1)
print(hashlib.sha256(layer.scales).hexdigest(), hashlib.sha256(layer.bias).hexdigest())
print(hashlib.sha256(bncli.uniform("gamma", (5, 4, 3), 3)).hexdigest())
print(sorted(bncli.__all__))
"""
TWIN = """
import json, bncli
summary = bncli.normalize_folder("rgb", "out", delta="random", resize=(6, 4), depth="16")
print(json.dumps(summary.document()))
print(json.dumps(bncli.apply_folder("out/stats.npz", "rgb", "more").document()))
print(bncli.fit_folder("rgb", "s2.npz", mode="L").report)
for name, options in (("normalize", {"eps": 0}), ("normalize", {"gama": 1}), ("fit", {"ddof": 3})):
    try:
        getattr(bncli, name + "_folder")("rgb", "x.npz", **options)
    except bncli.BncliError as error:
        print(type(error).__name__, error, error.exit_code, error.paths)
"""


def steps(*lines: str) -> tuple[Step, ...]:
    """Command lines, without quoting."""
    return tuple(Step(tuple(line.split())) for line in lines)


def shell(line: str) -> Step:
    """A line of the shell, for what stands about."""
    return Step((line,), "shell")


def python(code: str, words: str = "") -> Step:
    """A little Python."""
    return Step((code, *words.split()), "python")


FORMATS = ("png", "tiff", "npy")
KINDS = (
    "rgb", "jpg", "grey", "grey16", "rgba", "la", "palette", "bits", "bmp", "webp", "float",
    "same", "deep", "floatrgb", "turned", "names", "batch.npy", "ints.npy", "shorts.npy",
    "nine.npy", "large",
)  # fmt: skip


def cases() -> Iterator[Case]:
    """All, in a fixed order; the name says what is asked."""
    for make in (_normalized, _layers, _outputs, _read, _refused, _running, _fitted, _merged,
                 _applied, _inverted, _inspected, _checked, _told, _python):  # fmt: skip
        room = make.__name__.removeprefix("_")
        for name, done in make():
            yield f"{room}/{name}", done


def _of(lines: str) -> Iterator[Case]:
    """A case a line: its name is the line."""
    for line in filter(None, map(str.strip, lines.splitlines())):
        yield line, steps(line)


def _normalized() -> Iterator[Case]:
    for kind in KINDS:
        for name in FORMATS:
            line = f"normalize {kind} -o out --format {name}"
            json = " --json" if name != "tiff" else ""
            yield f"{kind} {name}", steps(line + json)


def _layers() -> Iterator[Case]:
    delta = "normalize rgb -o out --delta"
    yield from _of(f"""
        {delta} ones
        {delta} random --dtype float32 --format npy --json
        {delta} delta.npy --gamma gamma.npy --beta random --seed 4
        {delta} random --update --lr 0.1 --momentum 0.9 --decay 0.1 --lr-decay 0.5 --json
        {delta} random --gamma random --seed 9 --eps 0.1 --format tiff
        normalize grey16 -o out --delta random --json
        normalize batch.npy -o out --delta random --format npy
        normalize same -o out --delta ones --beta 0.3 --format npy
        normalize rgb -o out --gamma -0.5 --beta 2 --format npy --dtype float32
        normalize rgb -o out --gamma random --beta random --json
        normalize rgb -o out --gamma 0 --json
        normalize rgb -o out --eps 5e-324
    """)
    step = "--delta delta.npy --update --momentum 0.9 --overwrite"
    state = "--gamma out/gamma.npy --beta out/beta.npy --state out/state.npz"
    first, again = f"normalize rgb -o out {step}", f"normalize rgb -o out {step} {state}"
    yield "three steps", steps(first, again, again)


def _outputs() -> Iterator[Case]:
    for scale in ("minmax", "image", "sigma:1.5", "-1:0.5", "none"):
        for depth in ("8", "16"):
            line = f"normalize rgb -o out --scale {scale} --depth {depth} --json"
            yield f"{scale} {depth}", steps(line)
        yield f"grey16 {scale}", steps(f"normalize grey16 -o out --scale {scale}")
    for alpha in ("keep", "drop", "normalize"):
        for name in FORMATS:
            line = f"normalize rgba -o out --alpha {alpha} --format {name} --json"
            yield f"alpha {alpha} {name}", steps(line, line.replace(" --json", " --overwrite"))
    yield (
        "sheet and page",
        steps(
            "normalize rgb -o out --delta random --contact-sheet sheet.png --report page.html",
            "apply s.npz rgb -o more --contact-sheet more.png --report more.html --json",
        ),
    )


def _read() -> Iterator[Case]:
    yield from _of("""
        normalize modes -o out --mode L --json
        normalize modes -o out --mode RGB --json
        normalize rgba -o out --mode L
        normalize alphas -o out --alpha drop
        normalize sizes -o out --resize 6x4 --json
        normalize grey16 -o out --resize 3x9
        normalize float -o out --resize 9x3 --format tiff
        normalize frames -o out --frames all --json
        normalize frames -o out --frames first
        normalize gif -o out --frames all
        normalize nested -o out
        normalize nested -r -o out --json
        normalize nested -r --include *1* -o out
        normalize rgb --exclude p1* -o out --json
        normalize rgb rgb/p1.png new -o out
        normalize rgb/p1.png rgb/p2.png -o out --json
        normalize rgb/*.png -o out
        normalize --files-from list.txt -o out --json
        normalize rgb -o out --config options.toml --json
        normalize rgb/ -o ./out/../out
    """)
    yield (
        "an empty variable",
        (shell('BNCLI_FORMAT=tiff "$PYTHON" -m bncli normalize rgb -o out -v'),),
    )
    yield "stdin", (shell('"$PYTHON" -m bncli normalize --files-from - -o out < list.txt'),)


def _refused() -> Iterator[Case]:
    lines = """
        normalize rgb
        normalize -o out
        normalize rgb -o out --bogus
        normalize rgb -o out --formt png
        normalize rgb -o out --eps 0
        normalize rgb -o out --eps nan
        normalize rgb -o out --scale wide
        normalize rgb -o out --scale 3:1
        normalize rgb -o out --resize 7
        normalize rgb -o out --jobs none
        normalize rgb -o out --jobs 0
        normalize rgb -o out --max-memory 200%
        normalize rgb -o out --max-memory 1M
        normalize rgb -o out --max-pixels 34
        normalize rgb -o out --seed -1
        normalize rgb -o out --gamma rondom
        normalize rgb -o out --gamma missing.npy
        normalize rgb -o out --gamma turned-gamma.npy
        normalize rgb -o out --gamma 1e308 --beta 1e308
        normalize rgb -o out --beta 1e39 --format tiff
        normalize rgb -o out --update
        normalize rgb -o out --lr 0.1
        normalize rgb -o out --delta ones --momentum 0.9
        normalize rgb -o out --delta delta-short.npy
        normalize rgb -o out --delta ones --on-error skip
        normalize rgb -o out --delta ones --engine processes
        normalize rgb -o out --state s.npz
        normalize rgb -o out --format npy --depth 16
        normalize rgb -o out --format tiff --scale image
        normalize rgb -o out --format npy --engine processes
        normalize rgb -o out --scheduler tcp://127.0.0.1:1
        normalize rgb -o out --engine dask
        normalize rgb -o out --config bad.toml
        normalize rgb -o out --config missing.toml
        normalize rgb -o rgb
        normalize rgb -o rgb/out --overwrite
        normalize rgb -o .
        normalize rgb -o n-png
        normalize rgb -o list.txt
        normalize one -o out
        normalize empty -o out
        normalize text -o out
        normalize missing -o out
        normalize rgb --include *.gif -o out
        normalize sizes -o out
        normalize modes -o out
        normalize depths -o out
        normalize alphas -o out
        normalize clash -o out
        normalize clash -o out --format npy
        normalize frames -o out
        normalize nan -o out
        normalize damaged -o out
        normalize rotten -o out --on-error skip
        normalize hole.npy -o out --format npy
        normalize flat.npy -o out --format npy
        normalize delta-short.npy gamma.npy -o out
        fit rgb -o rgb/s.npz
        fit rgb -o s.npz
        fit rgb -o out.png
        fit rgb -o out.npz --shard 0/4
        fit rgb -o out.npz --shard 99/99
        fit rgb -o out.npz --batch-size 1
        fit rgb -o out.npz --momentum 0.1
        fit rgb -o out.npz --ddof 2
        fit damaged -o out.npz
        merge s.npz -o out.npz
        merge s.npz s.npz -o out.npz
        merge s-1.npz missing.npz -o out.npz
        merge s-1.npz s-grey16.npz -o out.npz
        merge s-1.npz s-random.npz -o out.npz
        apply missing.npz rgb -o out
        apply bad.npz rgb -o out
        apply rgb/p1.png rgb -o out
        apply s-one.npz rgb -o out
        apply s.npz grey -o out
        apply s.npz grey16 -o out
        apply s.npz large -o out
        apply s.npz ints.npy -o out
        apply s.npz damaged -o out
        apply s.npz clash -o out
        apply s.npz rgb -o rgb
        apply s.npz rgb -o out --mode L
        apply s-rgba.npz rgba -o out --format npy
        apply s.npz rgb -o out --scale 0:1e-310
        invert s.npz rgb -o out
        invert s.npz n-image -o out
        invert s.npz n-tiff -o out
        invert s-grey16.npz n-tiff -o out
        invert n-tiff/stats.npz n-tiff -o n-tiff
        invert n-tiff/stats.npz n-tiff -o out --scale 0:1
        invert n-png/stats.npz n-png -o out --scale image
        invert n-png/stats.npz n-png -o out --exact
        invert n-float/stats.npz n-float -o out --format png
        inspect rgb
        inspect missing.npz
        inspect bad.npz
        gradcheck missing.py:BatchNorm
        gradcheck right.py:Nothing
        gradcheck --shape 1,2
        gradcheck --images missing
        normalise rgb
    """
    for line in filter(None, map(str.strip, lines.splitlines())):
        yield line, steps(line, f"{line} --json")
    yield (
        "a link to the output",
        (
            shell("mkdir out && mv rgb/p1.png out && ln -s ../out/p1.png rgb/p1.png"),
            *steps("normalize rgb -o out --overwrite", "apply s.npz rgb -o out --overwrite"),
        ),
    )
    for extra in ("tifffile", "imagecodecs", "jinja2", "isal", "PIL"):
        words = f"{extra} normalize {'deep' if 'i' in extra else 'rgb'} -o out --json"
        page = " --report page.html" if extra == "jinja2" else ""
        yield f"without {extra}", (python(WITHOUT, words + page),)
    for line in ("normalize rgb -o out --format npy", "normalize rgb -o out --delta ones"):
        yield f"no room: {line}", (python(FULL, line), python(FULL, f"{line} --json -n"))


def _running() -> Iterator[Case]:
    invert = "invert n-png16/stats.npz n-png16 -o out"
    wishes = ("--jobs 1", "--jobs 3 -v", "-q", "-q --json", "-n", "-n --json", "--color always",
              "--progress always", "--engine processes --jobs 2")  # fmt: skip
    for line in ("normalize rgb -o out", "apply s.npz rgb -o out", "fit rgb -o out.npz", invert):
        yield from ((f"{line} {options}", steps(f"{line} {options}")) for options in wishes)
    for line in (
        "normalize damaged -o out",
        "apply s.npz damaged -o out",
        "fit damaged -o out.npz",
    ):
        for options in ("", "--json", "-n", "--engine processes --json"):
            yield f"skip {line} {options}".strip(), steps(f"{line} --on-error skip {options}")
    again = "normalize rgb -o out --overwrite --format tiff"
    yield (
        "overwrite",
        (
            *steps("normalize rgb -o out --json"),
            shell("mkdir out/sub; echo mine > out/note.txt; echo mine > out/sub/p1.png"),
            *steps("normalize rgb -o out", again, "normalize new -o out --overwrite"),
        ),
    )
    for name in FORMATS:
        line = f"normalize rgb -o out --format {name} --delta random --resume"
        chosen = f"{{'resume':True,'jobs':1,'format':'{name}','delta':'random'}}"
        yield (
            f"resume {name}",
            (
                python(KILLED, f"normalize 4 rgb out {chosen}"),
                *steps(f"{line} -n --json", f"{line} --exclude p11.png", f"{line} --json", line),
            ),
        )
    yield (
        "swept",
        (
            python(KILLED, "normalize 4 rgb out {'jobs':1}"),
            *steps("normalize rgb -o out"),
        ),
    )
    yield (
        "resume after another engine",
        (
            python(KILLED, "normalize 4 rgb out {'resume':True,'jobs':1}"),
            *steps("normalize rgb -o out --resume --engine processes --jobs 2 --json"),
        ),
    )


def _fitted() -> Iterator[Case]:
    for kind in KINDS:
        yield kind, steps(f"fit {kind} -o out.npz --json")
    yield from _of("""
        fit rgb -o out.npz
        fit rgb -o out.npz --gamma random --beta random --seed 3 --eps 1e-4
        fit rgb -o out.npz --gamma gamma.npy --ddof 1 --json
        fit rgb -o out.npz --mode L --resize 6x4
        fit rgba -o out.npz --alpha drop
        fit rgba -o out.npz --alpha normalize --json
        fit rgb -o out.npz --batch-size 3
        fit rgb -o out.npz --batch-size 4 --momentum none --json
        fit new -o out.npz --update-from s.npz --json
        fit rgb -o out.npz --update-from s.npz
        fit one -o out.npz
        fit frames -o out.npz --frames all
        fit nested -r -o out.npz
        fit rgb -o s.npz --overwrite --eps 1
    """)


def _merged() -> Iterator[Case]:
    yield from _of("""
        merge s-1.npz s-2.npz -o out.npz
        merge s-2.npz s-1.npz -o out.npz --json
        merge s-1.npz s-one.npz -o out.npz
        merge s-1.npz s-running.npz -o out.npz
        merge s-1.npz s-2.npz -o s.npz
        merge s-1.npz s-2.npz -o s.npz --overwrite -q
    """)
    parts = [f"fit grey16 -o {number}.npz --shard {number}/3" for number in (1, 2, 3)]
    yield "three", steps(*parts, "merge 3.npz 1.npz 2.npz -o out.npz", "inspect out.npz")


def _applied() -> Iterator[Case]:
    for name in FORMATS:
        yield from _of(f"""
            apply s.npz rgb -o out --format {name}
            apply s-random.npz new -o out --format {name} --json
            apply s-grey16.npz grey16 -o out --format {name} --json
            apply s-float.npz float -o out --format {name}
            apply s-rgba-drop.npz rgba -o out --format {name} -q
            apply s-batch.npz batch.npy -o out --format {name}
        """)
    yield from _of("""
        apply s-drop.npz large -o out --json
        apply s-running.npz new -o out
        apply s-unbiased.npz new -o out --json
        apply s.npz rgb/p2.png -o out --scale image
        apply s.npz rgb -o out --scale sigma:1 --depth 16
        apply s.npz rgb -o out --scale -1:1 --json
        apply s-rgba.npz rgba -o out -q
        apply s.npz rgb -o out --format npy --dtype float32
        apply s.npz new one -o out
        apply n-step/stats.npz rgb -o out
    """)


def _inverted() -> Iterator[Case]:
    for name in ("auto", *FORMATS):
        for run in ("n-png", "n-png16", "n-tiff", "n-npy"):
            yield (
                f"{run} {name}",
                steps(f"invert {run}/stats.npz {run} -o out --format {name} --json"),
            )
    yield from _of("""
        invert n-sigma/stats.npz n-sigma -o out
        invert n-grey16/stats.npz n-grey16 -o out
        invert n-float/stats.npz n-float -o out --json
        invert n-batch/stats.npz n-batch -o out
        invert n-rgba/stats.npz n-rgba -o out --exact
        invert n-tiff/stats.npz n-tiff -o out --exact
        invert n-tiff/stats.npz n-tiff/p2.tiff -o out
        invert s.npz rgb -o out --scale -2:2 --json
        invert n-step/stats.npz n-step -o out --json
    """)


def _inspected() -> Iterator[Case]:
    for name in ("s", "s-random", "s-running", "s-unbiased", "s-1", "s-float", "s-batch", "s-one"):
        yield name, steps(f"inspect {name}.npz", f"inspect {name}.npz --json")


def _checked() -> Iterator[Case]:
    yield from _of("""
        gradcheck
        gradcheck --json
        gradcheck --dtype float32 --seed 3
        gradcheck --shape 4,2,3,1 --eps 0.1 --json
        gradcheck --images rgb --json
        gradcheck --images batch.npy
        gradcheck right.py:BatchNorm
        gradcheck right.py:BatchNorm --dtype float32 --json
        gradcheck wrong.py:BatchNorm
        gradcheck wrong.py:BatchNorm --json
        gradcheck slip.py:BatchNorm
        gradcheck published.py:BatchNormalization
        gradcheck published.py:BatchNormalization --images rgb --json
        gradcheck wrong.py:BatchNorm --heatmap maps --report page.html
        gradcheck --self-test
    """)


def _told() -> Iterator[Case]:
    yield from _of("""
        --help
        --version
        help
        help nothing
        completion bash
        completion zsh
        completion fish
    """)
    for name in ("normalize", "fit", "merge", "apply", "invert", "inspect", "gradcheck", "doctor"):
        yield f"help {name}", steps(f"help {name}")
    yield "nothing", steps("")


def _python() -> Iterator[Case]:
    yield "layer", (python(LAYER),)
    yield "twin", (python(TWIN),)
